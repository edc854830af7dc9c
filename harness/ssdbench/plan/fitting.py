"""What a model's files and training data say of themselves, against what a run is about to do: before any work."""

from __future__ import annotations

from pathlib import Path

from ssdbench.diffusion.schedule import TRAIN_TIMESTEPS
from ssdbench.errors import InputError
from ssdbench.metrics.sources import open_images
from ssdbench.models.family import Model
from ssdbench.models.inspection import read_latents
from ssdbench.models.schedulers import as_trained, scheduler_config, stated
from ssdbench.models.shapes import Shape
from ssdbench.plan.sources import Data
from ssdbench.samplers import GRIDS, SAMPLERS
from ssdbench.samplers.walks import walked
from ssdbench.stages import Source
from ssdbench.suite import ResolvedRun
from ssdbench.suite.rules_data import unlike_labels, unlike_pixels
from ssdbench.suite.variant import variant_of


def check_autoencoder(source: Source, shape: Shape, resolution: int) -> None:
    """Make sure that an autoencoder's latents are what the model denoises.

    Raises:
        InputError: the config is malformed, or its latents are of another size than the model's; names the file.
    """
    folder = Path(source.path)
    if not folder.is_dir():  # which is told where its weights are looked at
        return
    latents = read_latents(folder)
    if latents.channels != shape.in_channels:
        found = f"{latents.channels} latent channels"
        raise InputError(f"{folder}: has {found}, the model takes {shape.in_channels}")
    side = latents.factor * shape.input_size
    if side != resolution:
        raise InputError(
            f"{folder}: an image's side is {latents.factor} times its latents', so that the model's {shape.input_size}"
            f" are {side} pixels, not {resolution}"
        )


def fitting_pixels(source: Source, data: Data, name: str, model: str) -> None:
    """Compare the channels of a folder's images, which are read as RGB, with those that an autoencoder takes.

    Raises:
        InputError: they differ; says what to add to the suite.
    """
    problem = None if data.files is None else unlike_pixels(model, Path(source.path), name)
    if problem is not None:
        raise InputError(problem)


def trained_shape(run: ResolvedRun, model: Model, source: Source) -> Shape:
    """The model's shape with its own prediction and noise schedule, once the run is found to be possible with them.

    Raises:
        InputError: the files are malformed or of a model that cannot be run here; or the run's grid, sampler or
            training does not fit the schedule. Names the file.
    """
    path, flow = Path(source.path), model.flow is not None
    shape = as_trained(model.shapes[run.resolution], path, flow)
    if run.predicts is not None:
        shape = stated(shape, path, run.predicts)
    problem = None if flow else _problem(run, shape)
    if problem is not None:
        raise InputError(f"{scheduler_config(path) or path}: {problem}")
    return shape


def _problem(run: ResolvedRun, shape: Shape) -> str | None:
    """What does not fit the schedule that a model was trained with, or None."""
    own, sampler = shape.pipeline, SAMPLERS.named(run.sampler)
    visited = sampler.timesteps(run.nfe, run.train.pairs)
    if own is not None and GRIDS.named(run.grid).of_pipeline:
        if own.spacing not in ("leading", "trailing"):
            near = " (as close as a grid comes is 'even')" if own.spacing == "linspace" else ""
            spaced = f"timestep_spacing is {own.spacing!r}, which the grid {run.grid!r} cannot be"
            return f"{spaced}: name another grid{near}"
        if own.spacing == "leading" and own.offset != 1:
            return (
                f"steps_offset is {own.offset}: diffusers' schedulers walk from there, and its StableDiffusionPipeline"
                f" puts 1 in its place, so that the grid {run.grid!r} could be either: write 1, or name another grid"
            )
        if sampler.to_first and own.spacing == "trailing":
            return f"timestep_spacing is 'trailing', whose first timestep is noisy, and {run.sampler!r} ends there"
    if not shape.schedule.zero_snr:
        return None
    last = TRAIN_TIMESTEPS - 1

    def reached(timesteps: int) -> bool:
        return last in walked(run.grid, timesteps, pipeline=own)

    noise = f"rescale_betas_zero_snr is true, so that timestep {last} is pure noise, where"
    where = f"rescale_betas_zero_snr is true, so that timestep {last} of the grid {run.grid!r} is pure noise, where"
    variant = variant_of(run.variant)
    if run.train.vb_loss and variant.reads("train.vb_loss"):
        return f"{noise} the variational bound is infinite: leave out train.vb_loss"
    if made := next((method.name for method in variant.methods if method.predicts and method.trains), None):
        return f"{noise} eps implies no x_0: {made!r} cannot train it"
    trained = [teacher for step in variant.steps for teacher in step.teachers] or [run.train.nfe or visited]
    if variant.trains and any(map(reached, trained)):
        return f"{where} no eps can be distilled: name a grid that leaves it out, as 'leading'"
    if not sampler.from_pure_noise and reached(visited):
        return f"{where} the sampler {run.sampler!r} cannot start: name another, or the grid 'leading'"
    return None


def fitting_samples(path: Path, resolution: int, count: int, classes: int | None) -> None:
    """Look at images of another program: at how many there are, the size of each, and their labels.

    Raises:
        InputError: there are fewer than ``count``, one is not of ``resolution`` pixels a side, or a label is none of so
            many ``classes``.
    """
    source = open_images(str(path))
    if source.count < count:
        raise InputError(
            f"samples {path}: holds {source.count:,} images, and eval.samples is {count:,}: lower it for this row"
        )
    for name, width, height in source.sizes():
        if (width, height) != (resolution, resolution):
            raise InputError(
                f"samples {name}: {width}x{height} pixels, expected {resolution}x{resolution}, the row's resolution"
            )
    if source.labels is None or classes is None:
        return
    low, high = int(source.labels.min()), int(source.labels.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"samples {path}: labels from {low} to {high}, expected 0 to {classes - 1}, the model's"
        )


def checked_labels(name: str, data: Data, model: str, shape: Shape) -> tuple[str, ...]:
    """Return what is to be told of the labels of the data set that the suite calls ``name``.

    What is not known before it is read passes.

    Raises:
        InputError: a model that takes captions would be trained without, one of classes on captions, or on fewer or
            more classes than it has.
    """
    mapping = "" if data.files is None else data.files.mapping
    # A folder without classes trains the null class.
    problem = unlike_labels(model, shape, name, data.captions, data.classes or None, mapping)
    if problem is not None:
        raise InputError(f"data set {name!r}: {problem}")
    if data.files is None or shape.texts is not None:
        return ()
    if not data.files.classes:
        return (f"{data.source.path}: the images have no classes: all of them train the null class",)
    return (f"{data.source.path}: classes {mapping}",)
