"""The ``train`` stage's work: what its settings make it optimise, what it reads, and what it leaves."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ssdbench.data.datasets import load_images
from ssdbench.data.latents import Latents
from ssdbench.diffusion import noise
from ssdbench.diffusion.process import Discrete, LinearFlow, Process
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError, SsdbenchError
from ssdbench.methods import Plain, method_of
from ssdbench.methods.setup import Setup
from ssdbench.metrics.reference import load_reference
from ssdbench.models.catalog import load_denoiser, save_denoiser
from ssdbench.models.conditional import Conditional
from ssdbench.models.parts import Place
from ssdbench.models.unet import adapt, merge
from ssdbench.models.vae import build_vae, latent_scale, to_float
from ssdbench.own import running
from ssdbench.stages.conditioning import Conditions, open_conditions
from ssdbench.stages.spec import JSON, Runtime
from ssdbench.stages.weights import model_folder, model_place
from ssdbench.training.drift import Anchored, drift
from ssdbench.training.loop import LOSSES, kept, optimise
from ssdbench.training.objectives import Batch, Objective, Shared, reconstruction_loss
from ssdbench.training.ranks import Ranks

if TYPE_CHECKING:
    from ssdbench.stages.train import Reconstruct, TrainSpec

DRIFT = "drift"
"""Of a training's facts: how far the student's prediction is from that of the model that it starts from."""

DRIFT_PASSES, DRIFT_SAMPLES = 2048, 256  # at most: samples at all timesteps together, and at one


def train_denoiser(
    spec: TrainSpec, inputs: dict[str, Path], output: Path, runtime: Runtime, ranks: Ranks
) -> dict[str, JSON]:
    """Train a denoiser by the objective of a method; return the stage's facts."""
    assert spec.shape is not None
    start = model_place(spec.weights, inputs)
    noise.seed_torch(spec.seed)  # the initialisation of a model from scratch
    conditions = open_conditions(spec.shape, inputs)
    model = load_denoiser(start, spec.shape, conditions.null)
    adapt(model, spec.lora_rank, spec.gradient_checkpointing)
    features = read_features(inputs["features"]) if "features" in inputs else None
    width = 0 if features is None else features.shape[1]
    model.to(runtime.device)
    setup = make_setup(spec, model, start, runtime.device, width, conditions.null)
    objective = make_objective(spec, setup)
    loss = make_loss(setup, objective)
    data = TrainingData(inputs, conditions)

    def loss_of(positions: range, first: int) -> Tensor:
        chosen, x0, cond = data.draw(spec.seed, positions)
        known = None if features is None else features[chosen].to(runtime.device)
        return loss(
            model, Batch(x0.to(runtime.device), cond.to(runtime.device), spec.seed, positions, known, first)
        )

    _optimise(spec, model, loss_of, output, runtime, ranks, objective)
    passes = spec.forwards()
    facts: dict[str, JSON] = {
        "steps": spec.steps,
        "frozen_forwards": passes.frozen,
        "student_forwards": passes.student,
    }
    return facts | (finish(spec, model, setup, data, output, runtime) if ranks.first else {})


def train_autoencoder(
    spec: TrainSpec, setting: Reconstruct, output: Path, runtime: Runtime, ranks: Ranks
) -> dict[str, JSON]:
    """Train an autoencoder from scratch; return the stage's facts."""
    images = load_images(setting.dataset, setting.resolution, setting.data.path)
    count = min(setting.images or len(images), len(images))
    noise.seed_torch(spec.seed)
    model = build_vae(setting.channels, images.pixels.shape[-1], setting.latent_channels).to(runtime.device)

    def loss_of(positions: range, first: int) -> Tensor:
        chosen = noise.shuffled(count, spec.seed, positions)
        x0 = to_float(torch.from_numpy(images.pixels[chosen])).to(runtime.device)
        batch = Batch(x0, torch.from_numpy(images.labels[chosen]), spec.seed, positions, first=first)
        return reconstruction_loss(model, batch, setting.kl_weight)

    _optimise(spec, model, loss_of, output, runtime, ranks)
    # The first thousand images in data order suffice for one number, and are the same for everybody.
    model.register_to_config(scaling_factor=latent_scale(model, images.pixels[:1000], runtime.device))
    if ranks.first:
        model.save_pretrained(output / "model", safe_serialization=True)
    return {"steps": spec.steps, "scaling_factor": model.config.scaling_factor}


def _optimise(
    spec: TrainSpec,
    model: nn.Module,
    loss_of: Callable[[range, int], Tensor],
    output: Path,
    runtime: Runtime,
    ranks: Ranks,
    objective: Objective | None = None,
) -> None:
    """Train on one batch after the other, of which this rank takes its part, and keep the losses."""

    def loss_at(step: int) -> Tensor:
        whole = range(step * spec.batch_size, (step + 1) * spec.batch_size)
        return loss_of(ranks.part(whole), whole[0]) * ranks.share(whole)

    optimise(
        model,
        loss_at,
        spec,
        scratch=runtime.scratch,
        watch=runtime,
        device=runtime.device,
        checkpoint_seconds=runtime.checkpoint_seconds,
        ranks=ranks,
        objective=objective,
    )
    if ranks.first:
        shutil.copyfile(runtime.scratch / LOSSES, output / LOSSES)


def read_features(folder: Path) -> Tensor:
    """Features of the data set's images, float32 (N, K), in data order; a reference holds them in the order drawn."""
    drawn = load_reference(folder / "reference.safetensors").features
    assert drawn is not None  # a reference stage computes them
    features = torch.empty(drawn.shape)
    features[noise.shuffled(len(drawn), 0, range(len(drawn)))] = torch.from_numpy(drawn).float()
    return features


def make_setup(
    spec: TrainSpec,
    student: Conditional,
    start: Place | None,
    device: str,
    features: int = 0,
    null: Tensor | None = None,
) -> Setup:
    """What a stage's objective is built of. ``start`` is where the model that training starts from lies.

    ``features`` is their width, ``null`` the embedded empty text of a model that takes texts.

    Raises:
        InputError: a method of the user's own cannot be found.
    """
    shape, setting = student.shape, spec.objective
    method, flow = method_of(setting), spec.flow
    process: Process = Discrete(alphas_cumprod(shape.schedule)) if flow is None else LinearFlow(flow)

    def load() -> Conditional:
        if not setup.starts_from_model:
            raise InputError(f"the objective {setting.kind} needs a model to start from")
        return load_denoiser(start, shape, null)

    setup = Setup(
        spec=setting,
        settings=method.read_settings(setting.settings) if isinstance(setting, Plain) else None,
        student=student,
        process=process,
        shared=Shared(spec.label_dropout, spec.loss_channels, spec.timestep == "per_batch"),
        device=device,
        load=load,
        starts_from_model=start is not None or spec.weights is not None,
        features=features,
    )
    return setup


def make_objective(spec: TrainSpec, setup: Setup) -> Objective:
    """What a stage optimises. What it draws while it is built, as weights of its own, depends on the seed alone.

    Raises:
        InputError: a method of the user's own cannot be found, fails, or builds something else.
    """
    setting, method = setup.spec, method_of(setup.spec)
    noise.seed_torch(spec.seed)
    build = method.load()
    with running(f"{setting.method} failed", SsdbenchError) if isinstance(setting, Plain) else nullcontext():
        built = build(setup)
    if not isinstance(built, Objective):
        raise InputError(
            f"{method.body} returned {type(built).__name__}: expected ssdbench.training.objectives.Objective"
        )
    return built


def make_loss(setup: Setup, objective: Objective) -> Callable[[Conditional, Batch], Tensor]:
    """The loss of the student on a batch: the objective's, on all samples but those that are anchored.

    Raises:
        InputError: all timesteps are trained, so that there is none to anchor.
    """
    if not setup.spec.anchor:
        return objective.loss
    process, untrained, share = setup.process, setup.untrained, setup.spec.anchor
    return Anchored(objective, setup.teacher, process, untrained, setup.shared, share, setup.leads(untrained))


class TrainingData:
    """The data of a ``train`` stage: the roles ``data`` and ``flipped``, or ``data/00000``, ``data/00001``, ...

    Raises:
        InputError: there are no latents, or labels that nothing is known of.
    """

    def __init__(self, inputs: Mapping[str, Path], conditions: Conditions) -> None:
        samples = [
            inputs[role] / "samples.safetensors" for role in sorted(inputs) if role.startswith("data/")
        ]
        self.latents = Latents.sampled(samples) if samples else Latents.encoded(inputs["data"])
        self.flipped = Latents.encoded(inputs["flipped"]) if "flipped" in inputs else None
        self.conditions = conditions
        conditions.check(self.latents.labels)

    def draw(self, seed: int, positions: Sequence[int]) -> tuple[Sequence[int], Tensor, Tensor]:
        """(which images, x_0, conditions) at these positions of the endless data order, on the CPU."""
        chosen = noise.shuffled(len(self.latents), seed, positions)
        x0, labels = self.latents.draw(chosen, seed, positions)
        if self.flipped is not None:
            turned = noise.uniform(seed, "train/flip", positions) < 0.5
            x0 = torch.where(turned.reshape(-1, 1, 1, 1), self.flipped.draw(chosen, seed, positions)[0], x0)
        return chosen, x0, self.conditions.of(labels)


def finish(
    spec: TrainSpec,
    model: Conditional,
    setup: Setup,
    data: TrainingData,
    output: Path,
    runtime: Runtime,
) -> dict[str, JSON]:
    """Write the trained model and what it was after each checkpoint; return the facts :data:`DRIFT` of them.

    These are root mean squares at each timestep of the student's grid over the first images in the order of seed 0,
    with their own conditions: the same for every student of a data set. ``untrained`` are the timesteps that no pair
    trains. Of a model from scratch, or one that predicts something else than what it starts from, there is nothing
    to tell.
    """
    assert spec.shape is not None
    prediction = spec.shape.prediction if spec.flow is None else "v"
    # The timesteps that the student is for, which its weights carry along; a flow's steps are always equal ones.
    on_grid = spec.flow is None and spec.objective.result() is not None
    grid: dict[str, Any] = {"grid": setup.sampled_times} if on_grid else {}
    times = setup.sampled_times if setup.starts_from_model and not method_of(spec.objective).predicts else ()
    passes = min(DRIFT_PASSES, spec.steps * spec.batch_size)  # it is not to take longer than the training
    count = min(DRIFT_SAMPLES, passes // max(len(times), 1) or 1)
    _, x0, cond = data.draw(0, range(count))
    x0, cond = x0.to(setup.device), cond.to(setup.device)
    batch = max(1, spec.batch_size // runtime.ranks)  # which fits, since as many did with their gradients
    found: dict[str, JSON] = {}
    for step in (*spec.checkpoints, None):
        one = model if step is None else copy.deepcopy(model)
        if step is not None:
            kept(runtime.scratch, one, step)
        merge(one)
        save_denoiser(one, model_folder(output, step), prediction=prediction, **grid)
        leads = setup.leads(times) if times and setup.spec.grid is not None else None
        rms = drift(one, setup.frozen, setup.process, times, x0, cond, batch, leads) if times else ()
        found[str(step or spec.steps)] = {
            f"{time:g}": float(f"{value:.4g}") for time, value in zip(times, rms, strict=True)
        }
    if not times:
        return {}
    facts: dict[str, JSON] = {
        "samples": count,
        "untrained": [f"{time:g}" for time in setup.untrained],
        "rms": found.pop(str(spec.steps)),
    }
    return {DRIFT: facts | ({"rms_at_step": found} if found else {})}
