"""The ``train`` stage: one loop for all trainings, which differ only in their objective."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, SerializeAsAny

from ssdbench.methods import ObjectiveSpec, Plain, method_of, objective_class
from ssdbench.methods.method import Passes
from ssdbench.models.shapes import Shape
from ssdbench.stages.spec import JSON, Runtime, Source, StageSpec
from ssdbench.training.optimisation import Optimisation


class Reconstruct(ObjectiveSpec):
    """An autoencoder from scratch, on images of ``resolution`` pixels."""

    kind: Literal["reconstruct"]
    dataset: str
    data: Source
    resolution: int
    images: int = 0  # the first so many of the data set; 0: all
    channels: tuple[int, ...]
    latent_channels: int = 4
    kl_weight: float


def _objective(value: Any) -> Any:
    """Rebuild an objective from a dump, as an instance of the class of its kind."""
    if not isinstance(value, dict):
        return value
    kind = value.get("kind")
    found = Reconstruct if kind in Reconstruct.kinds() else objective_class(str(kind))
    if found is None:
        raise ValueError(f"no objective is of kind {kind!r}")
    return found.model_validate(value)


class TrainSpec(StageSpec, Optimisation):
    """One training.

    Roles of the inputs:

    - ``model``: the model that the training starts from. Without it, ``weights`` names the model's file; without
      both, training starts from random weights.
    - ``data``: a folder of latents, and ``flipped``, the same images flipped, from which half of the samples come. Or
      ``data/00000``, ``data/00001``, ...: samples of a model, read as latents.
    - ``text``: captions, which the labels of the data number, for a model that takes texts.

    The artifact has the weights after each of the ``checkpoints`` in ``step-N``, beside ``model``.
    """

    KIND: ClassVar[Literal["train"]] = "train"
    VERSION: ClassVar[int] = 1
    LOWER: ClassVar[str] = "train.batch_size (which makes it another run)"
    SHARED: ClassVar[bool] = True

    objective: Annotated[SerializeAsAny[ObjectiveSpec], BeforeValidator(_objective)]
    shape: Shape | None = None
    #: the time of pure noise of a flow model: 0 for SiT, 1 for REPA; None: timesteps
    flow: Literal[0, 1] | None = None
    weights: Source | None = None
    seed: int = 0
    batch_size: int
    lr: float
    label_dropout: float = 0.1
    #: train low-rank updates of the attentions instead of all weights, and add them to these at the end
    lora_rank: int | None = None
    #: compute hidden states again in the backward pass instead of keeping them
    gradient_checkpointing: bool = False
    loss_channels: Literal["eps", "all"] = "eps"
    timestep: Literal["per_sample", "per_batch"] = "per_sample"

    def canonical(self) -> dict[str, JSON]:
        """Return the settings of the key, and for a seed of 2^32 or more the number of bits that are used.

        Earlier versions drew initial weights from the lower 32 bits only: their result is another one.
        """
        return super().canonical() | ({"seed_bits": 63} if self.seed >= 2**32 else {})

    @property
    def title(self) -> str:
        """Objective, steps and seed."""
        objective = self.objective
        name = objective.method if isinstance(objective, Plain) else objective.kind
        return f"train {name} {self.steps} steps, seed {self.seed}"

    def flops(self) -> float:
        """Count the frozen passes, guidance's second branch too, and the student's; a backward pass costs two."""
        if self.shape is None:
            return self.images * 3 * 0.4e9  # an autoencoder of the embedded size
        found = self.forwards()
        return (found.frozen + found.second + 3 * found.student) * self.shape.forward_flops()

    @property
    def images(self) -> int:
        """How many images the training sees, each as often as it is drawn."""
        return self.steps * self.batch_size

    def forwards(self) -> Passes:
        """Return the forward passes of the whole training, one a sample."""
        objective = self.objective
        one = method_of(objective).passes(objective)
        anchored = math.floor(self.images * objective.anchor)  # one frozen and one student pass each
        guided = objective.teacher_guidance != 1.0
        alone = Passes(frozen=1, student=1, second=guided)
        whole = (a * anchored + o * (self.images - anchored) for a, o in zip(alone, one, strict=True))
        return Passes(*map(round, whole))

    def disk_bytes(self) -> float:
        """The weights in float32, at the end and after each checkpoint."""
        return (1 + len(self.checkpoints)) * self._weight_bytes()

    def scratch_bytes(self) -> float:
        """Count two states, because a new one is written before the old one goes, and the weights of each checkpoint.

        A state holds the weights, AdamW's two moments, and the moving average if there is one.
        """
        return (2 * (4 if self.ema else 3) + len(self.checkpoints)) * self._weight_bytes()

    def _weight_bytes(self) -> float:
        return 4.0 * ((self.shape.weights() if self.shape is not None else 0) or 1e6)


def body(spec: TrainSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Train; the artifact is a model folder, one more for each checkpoint, and ``loss.jsonl``."""
    from ssdbench.stages.learning import train_autoencoder, train_denoiser
    from ssdbench.training.ranks import joined

    with joined(runtime.rank, runtime.ranks, runtime.meeting, runtime.device) as ranks:
        if isinstance(spec.objective, Reconstruct):
            return train_autoencoder(spec, spec.objective, output, runtime, ranks)
        return train_denoiser(spec, inputs, output, runtime, ranks)
