"""What a stage's labels stand for: classes that the model knows by number, or captions that a text encoder has read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ssdbench.data.folders import NO_LABEL
from ssdbench.data.texts import Texts
from ssdbench.diffusion import noise
from ssdbench.errors import InputError
from ssdbench.models.shapes import Shape


class Conditions(ABC):
    """Labels of samples, and what a denoiser takes for labels.

    ``null`` is the embedded empty text (1, L, D); None for classes, whose null label the model knows. There are
    ``count`` labels, which ``known`` says in words.
    """

    def __init__(self, count: int, known: str, null: Tensor | None = None) -> None:
        self.count, self.known, self.null = count, known, null

    @abstractmethod
    def drawn(self, seed: int, indices: Sequence[int]) -> Tensor:
        """The labels of samples, int64 (B,)."""

    @abstractmethod
    def of(self, labels: Tensor) -> Tensor:
        """What the denoiser takes, (B, ...); :data:`NO_LABEL` is the null condition."""

    def check(self, labels: Tensor) -> None:
        """Refuse labels that nothing is known of.

        Raises:
            InputError: there are any.
        """
        if int(labels.max()) >= self.count:
            raise InputError(f"the data has labels up to {int(labels.max())}, {self.known}")


class Classes(Conditions):
    """Labels 0..classes - 1, and the null label after them."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, f"the model takes 0..{classes - 1}")

    def drawn(self, seed: int, indices: Sequence[int]) -> Tensor:
        """At random, by (seed, index)."""
        return noise.integers(self.count, seed, "sample/label", indices)

    def of(self, labels: Tensor) -> Tensor:
        """The labels themselves."""
        return torch.where(labels == NO_LABEL, self.count, labels)


class Captions(Conditions):
    """Captions by their numbers; samples take them in the order of the data set, whatever the seed."""

    def __init__(self, texts: Texts) -> None:
        super().__init__(len(texts), f"and there are {len(texts)} captions", texts.null)
        self.texts = texts

    def drawn(self, seed: int, indices: Sequence[int]) -> Tensor:
        """The caption of each index."""
        del seed
        return self.texts.drawn(indices)

    def of(self, labels: Tensor) -> Tensor:
        """Embedded texts (B, L, D)."""
        return self.texts.states(labels)


def open_conditions(shape: Shape, inputs: dict[str, Path]) -> Conditions:
    """What the labels of a stage mean to a model of this shape; captions are the role ``text``.

    Raises:
        InputError: a model that takes texts has none.
    """
    if shape.texts is None:
        return Classes(shape.num_classes)
    if "text" not in inputs:
        raise InputError("the model takes texts, and the stage was given no captions")
    return Captions(Texts(inputs["text"]))
