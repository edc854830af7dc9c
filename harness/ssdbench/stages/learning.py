"""What a training of a denoiser reads and leaves: latents with their conditions; models, and how far they drifted."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssdbench.data.latents import Latents
from ssdbench.diffusion import noise
from ssdbench.methods import method_of
from ssdbench.methods.setup import Setup
from ssdbench.models.adapting import merge
from ssdbench.models.conditional import Conditional
from ssdbench.models.load import save_denoiser
from ssdbench.stages.conditioning import Conditions
from ssdbench.stages.objective import grid_of
from ssdbench.stages.runtime import Runtime
from ssdbench.stages.spec import JSON
from ssdbench.stages.weights import model_folder
from ssdbench.training.drift import drift
from ssdbench.training.loop import kept

if TYPE_CHECKING:
    from ssdbench.stages.train import TrainSpec

DRIFT = "drift"
"""Of a training's facts: how far the student's prediction is from that of the model that it starts from."""

DRIFT_PASSES, DRIFT_SAMPLES = 2048, 256  # at most: samples at all timesteps together, and at one


class Learning:
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
    data: Learning,
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
    grid = grid_of(spec.objective, spec.flow, spec.shape.pipeline)
    times = setup.sampled_times if setup.starts_from_model and not method_of(spec.objective).predicts else ()
    count = min(DRIFT_SAMPLES, DRIFT_PASSES // max(len(times), 1) or 1, spec.steps * spec.batch_size)
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
        rms = drift(one, setup.frozen, setup.process, times, x0, cond, batch) if times else ()
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
