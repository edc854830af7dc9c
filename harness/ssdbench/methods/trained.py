"""What a table's footnote can tell of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ssdbench.models.shapes import OUTPUT

if TYPE_CHECKING:
    from ssdbench.suite.training import Train


def layer_names(layers: Sequence[int]) -> str:
    """Fused layers as a reader is told of them: ``0, 1, output``."""
    return ", ".join("output" if layer == OUTPUT else str(layer) for layer in layers)


@dataclass(frozen=True)
class Trained:
    """What a table's footnote can tell of a training.

    Args:
        train: the run's section ``train``.
        layers: the fused layers, if any.
        w: the weight of the states from s at each of them.
    """

    train: Train
    layers: tuple[int, ...] = ()
    w: float | None = None

    @property
    def fusion(self) -> str:
        """The weight, the fused layers and the share; nothing where nothing is fused."""
        if self.w is None or not self.layers:
            return ""
        share = 1.0 - (1.0 - self.w) ** len(self.layers)
        noun = "layer" if len(self.layers) == 1 else "layers"
        return f"w = {self.w:.3g} at fused {noun} {layer_names(self.layers)} (share W = {share:.3g})"

    @property
    def pairs(self) -> str:
        """Which pairs are trained, and what of it is not as usual: their weights, the anchor, another grid."""
        train = self.train
        pairs, weights = (
            given if isinstance(given, str) else f"{list(given)}"
            for given in (train.pairs, train.pair_weights)
        )
        further = {
            f"weights {weights}": weights != "equal",
            f"anchor {train.anchor:g}": train.anchor,
            f"distilled on the grid of {train.nfe} evaluations": train.nfe is not None,
        }
        return ", ".join([pairs, *(text for text, said in further.items() if said)])
