"""Where a stage finds the weights of its models."""

from __future__ import annotations

from pathlib import Path

from ssdbench.models.parts import Place
from ssdbench.stages.spec import Source


def model_folder(artifact: Path, step: int | None = None) -> Path:
    """Where in a training's artifact the model lies: the last, or what it was after one of the checkpoints."""
    return artifact / ("model" if step is None else f"step-{step}")


def model_place(
    weights: Source | None, inputs: dict[str, Path], role: str = "model", step: int | None = None
) -> Place | None:
    """Where the denoiser lies: a trained one's artifact, or the source; None: a function of the user's own makes it.

    Of a trained one, the weights after a ``step`` that its stage kept; None: after the last.
    """
    if role in inputs:
        return Place(model_folder(inputs[role], step))
    return Place(Path(weights.path), weights.part) if weights is not None and weights.path else None


def vae_folder(source: Source | None, inputs: dict[str, Path]) -> Path | None:
    """Where the autoencoder lies: the trained one's artifact, or the source; None: there is none."""
    if source is not None:
        return Path(source.path)
    return inputs["vae"] / "model" if "vae" in inputs else None
