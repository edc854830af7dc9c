"""Students as whole pipelines of diffusers': of a run, with all that it sampled by, or of weights and what one says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.api.export import appearing_whole, refuse_to_replace, weights_of
from ssdbench.diffusion.schedule import CLEAN
from ssdbench.errors import InputError, UsageError
from ssdbench.inputs import load_json
from ssdbench.models import hub
from ssdbench.models.catalog import MODELS
from ssdbench.models.parts import CONFIG, ENCODER, FACTS, INDEX, TOKENIZER, TRANSFORMER, UNET, VAE
from ssdbench.models.schedulers import as_trained
from ssdbench.models.shapes import DiTShape
from ssdbench.models.unet_files import CLASS, find_unet
from ssdbench.models.unet_shape import UNetShape
from ssdbench.plan.links import Weights, sampling
from ssdbench.plan.needs import Needs
from ssdbench.plan.sources import Finder
from ssdbench.report.rows import run_of
from ssdbench.samplers.ddim import DDIM
from ssdbench.samplers.grids import EVEN, SD, UNIFORM, is_listed, read_list
from ssdbench.samplers.walks import end_of, flow_times, timesteps
from ssdbench.store import Record, Store

if TYPE_CHECKING:
    from ssdbench.models.pipelines import Sampled
    from ssdbench.models.respaced import Walk
    from ssdbench.stages.sample import Sampling

Say = Callable[[str], None]


def export_pipeline(record: Record, store: Store, target: Path, say: Say = lambda line: None) -> None:
    """Write the model that a run trained as a pipeline that samples as the run did, to a new directory.

    Args:
        record: of the run.
        store: where its artifacts lie.
        target: appears whole or not at all.
        say: called with what the pipeline does otherwise than the run.

    Raises:
        UsageError: the run trained nothing, or did not sample by DDIM and its one model; weights are gone or damaged;
            or ``target`` exists.
        InputError: diffusers has no such model, scheduler or autoencoder.

    """
    from ssdbench.models.pipelines import Sampled

    refuse_to_replace(target, force=False)
    source, run = weights_of(record, store, "model"), run_of(record, f"{store.name}/")
    needs = Needs(run, Finder())
    how = sampling(needs, run, Weights(), Weights())
    if run.sampler != DDIM.name or how.fused is not None or how.along_grid is not None:
        by = "two models" if how.along_grid or how.fused else f"the sampler {run.sampler!r}"
        raise UsageError(
            f"the run samples by {by}, which no pipeline of diffusers does: export the weights without --pipeline, and"
            f" see 'ssdbench convert --pipeline', which writes one that samples by {DDIM.title}"
        )
    try:
        vae: Path | None = weights_of(record, store, "vae")
    except UsageError:
        vae = None if needs.vae is None else Path(needs.vae.path)
    if vae is None:
        raise UsageError(
            "\n".join(["the run's autoencoder is not here, and the pipeline needs one", *needs.missing])
        )
    files = None if needs.data is None else needs.data.files
    classes = () if files is None or len(files.classes) != needs.shape.num_classes else files.classes
    text = None if needs.text is None else Path(needs.text.path)
    sampled = Sampled(_walk_of(how), how.guidance, classes, target.name)
    _write(source, target, how.shape, vae, text, sampled, say)


@dataclass(frozen=True)
class PipelineOf:
    """What weights do not say of the pipeline that is made of them.

    Args:
        nfe: how many evaluations; by default as many as the grid that the weights were trained on.
        grid: of timesteps, by name or listed; by default that one, else ``even``, or of a UNet ``sd``.
        parts: a folder or ``hub:OWNER/NAME`` with the autoencoder, of a UNet the text encoder and its tokenizer too.
        noise_at: of a flow, its time of pure noise: 0 for SiT, 1 for REPA.

    """

    nfe: int | None = None
    grid: str | None = None
    parts: str | None = None
    noise_at: int | None = None


def convert_pipeline(
    source: str,
    target: Path,
    given: PipelineOf,
    weights: str = "",
    force: bool = False,
    say: Say = lambda line: None,
) -> None:
    """Write weights in any layout as a pipeline; arguments as the options of ``ssdbench convert``.

    Raises:
        UsageError: ``target`` exists, or something is to be given.
        InputError: the weights cannot be read, or diffusers has no such model, scheduler or autoencoder.

    """
    from ssdbench.models.pipelines import Sampled

    refuse_to_replace(target, force)
    path = hub.fetch(source) if source.startswith(hub.PREFIX) else Path(source).expanduser()
    shape: DiTShape | UNetShape
    if (shape_of_unet := _unet_at(path, weights)) is not None:
        shape, noted = shape_of_unet, _noted(path / UNET) or _noted(path)
    else:
        from ssdbench.models.dit_files import find_checkpoint

        found = find_checkpoint(path, part=weights)
        shape, noted = found.shape, found.extra
    # A note of a velocity without a schedule is a flow's.
    flow = noted.get("prediction") == "v" and "schedule" not in noted
    if flow and given.noise_at is None:
        raise UsageError(f"{source} is a flow model: say where its noise is, --noise-at 0 (SiT) or 1 (REPA)")
    if noted.get("prediction") and not flow and given.noise_at is not None:
        raise UsageError(f"{source} is no flow model: leave out --noise-at")
    root = path.parent if path.name in (UNET, TRANSFORMER) else path
    parts = _parts(given.parts, root, isinstance(shape, UNetShape))
    walk = _walk(source, given, shape, noted.get("grid") or ())
    index = load_json(root / INDEX) if (root / INDEX).is_file() else {}
    names = index.get("id2label") or {}
    classes = (
        tuple(str(names.get(str(number), number)) for number in range(shape.num_classes)) if names else ()
    )
    vae, text = (parts / VAE, parts) if (parts / VAE).is_dir() else (parts, None)
    sampled = Sampled(walk, classes=classes, name=target.name)
    _write(path, target, shape, vae, text, sampled, say, weights, force)


def _write(
    source: Path,
    target: Path,
    shape: Any,
    vae: Path,
    text: Path | None,
    how: Sampled,
    say: Say,
    part: str = "",
    force: bool = False,
) -> None:
    from ssdbench.models.dit_files import read_checkpoint
    from ssdbench.models.pipelines import write_dit_pipeline, write_unet_pipeline

    with appearing_whole(target, force=force) as new:
        if isinstance(shape, UNetShape):
            assert text is not None
            told = write_unet_pipeline(source, new, shape, vae, text, how, part)
        elif isinstance(shape, DiTShape):
            told = write_dit_pipeline(read_checkpoint(source, part=part), new, vae, how)
        else:
            raise UsageError("a model of the user's own code is of no pipeline of diffusers")
    for line in told:
        say(line)


def _walk_of(how: Sampling) -> Walk:
    from ssdbench.models.respaced import Walk

    if how.flow is not None:
        return Walk(tuple(how.times()[:-1]), noise_at=how.flow)
    return Walk(tuple(how.timesteps()[::-1]), end_of(how.grid, how.shape.pipeline))


def _walk(source: str, given: PipelineOf, shape: DiTShape | UNetShape, trained_on: Sequence[float]) -> Walk:
    """The walk that is asked for, or that of the grid on which the weights were trained."""
    from ssdbench.models.respaced import Walk

    nfe, grid = given.nfe, given.grid
    if given.noise_at is not None:
        if nfe is None:
            raise UsageError(f"say for how many evaluations the pipeline is: --nfe N ({source} does not)")
        return Walk(
            tuple(flow_times(grid or UNIFORM.name, nfe, given.noise_at)[:-1]), noise_at=given.noise_at
        )
    own = SD if isinstance(shape, UNetShape) else EVEN
    if grid is None and trained_on:
        if nfe not in (None, len(trained_on)):
            raise UsageError(
                f"{source} was trained on the {len(trained_on)} timesteps {', '.join(map(str, trained_on))}: leave"
                f" out --nfe, or name another --grid than these too"
            )
        usual = own.of_pipeline and list(trained_on) == timesteps(own.name, len(trained_on), shape.pipeline)
        return Walk(tuple(trained_on[::-1]), end_of(own.name, shape.pipeline) if usual else CLEAN)
    if nfe is None and grid is not None and is_listed(grid):
        nfe = len(read_list(grid))
    if nfe is None:
        raise UsageError(f"say for how many evaluations the pipeline is: --nfe N ({source} does not)")
    name = grid or own.name
    return Walk(tuple(timesteps(name, nfe, shape.pipeline)[::-1]), end_of(name, shape.pipeline))


def _parts(given: str | None, source: Path, texts: bool) -> Path:
    """The folder with the autoencoder, or of which it is a part, and of a UNet the text encoder."""
    needed = (VAE, ENCODER, TOKENIZER) if texts else (VAE,)
    if given is None:
        root = source
    else:
        hubs = given.startswith(hub.PREFIX)
        root = hub.fetch_pipeline(given, needed) if hubs else Path(given).expanduser()
    if all((root / part).is_dir() for part in needed):
        return root
    if given is not None and not texts and (root / CONFIG).is_file():
        return root
    what = (
        f"a folder with {', '.join(needed)}" if texts else f"the folder of an autoencoder, or one with {VAE}"
    )
    raise UsageError(f"{given or source}: has no {', '.join(needed)}: give --parts, {what}")


def _unet_at(path: Path, weights: str) -> UNetShape | None:
    """The shape of the UNet in a folder, if it is one of a model that is known here; None where there is no UNet."""
    if not path.is_dir() or not ((path / UNET).is_dir() or _class_of(path) == CLASS):
        return None
    problems = []
    for shape in (shape for model in MODELS.values() for shape in model.shapes.values()):
        if isinstance(shape, UNetShape):
            try:
                find_unet(path, shape, weights)
            except InputError as error:
                problems.append(error)
            else:
                return as_trained(shape, path / UNET if (path / UNET).is_dir() else path)
    raise problems[0]


def _class_of(folder: Path) -> Any:
    return load_json(folder / CONFIG).get("_class_name") if (folder / CONFIG).is_file() else None


def _noted(folder: Path) -> dict[str, Any]:
    return load_json(folder / FACTS) if (folder / FACTS).is_file() else {}
