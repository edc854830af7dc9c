"""What a stage's labels stand for: classes that the model knows by number, or captions that a text encoder has read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssdbench.data.folders import NO_LABEL
from ssdbench.data.labels import BALANCED, Labels, read_labels
from ssdbench.data.latents import Texts
from ssdbench.diffusion import noise
from ssdbench.errors import InputError
from ssdbench.models.shapes import Shape


@dataclass(frozen=True)
class Conditions:
    """Labels of samples, and what a denoiser takes for labels.

    Args:
        count: how many labels there are, 0..count - 1.
        known: that in words.
        drawn: from a seed and the indices of samples to their labels, int64 (B,).
        of: from labels to what the denoiser takes, (B, ...); :data:`NO_LABEL` is the null condition.
        null: the embedded empty text (1, L, D); None for classes, whose null label the model knows.
    """

    count: int
    known: str
    drawn: Callable[[int, Sequence[int]], Tensor]
    of: Callable[[Tensor], Tensor]
    null: Tensor | None = None

    def check(self, labels: Tensor) -> None:
        """Refuse labels that nothing is known of.

        Raises:
            InputError: there are any.
        """
        if int(labels.max()) >= self.count:
            raise InputError(f"the data has labels up to {int(labels.max())}, {self.known}")


def of_classes(count: int, labels: Labels = None, samples: int = 0) -> Conditions:
    """Labels 0..count - 1, of a sample by (seed, index) alone, and the null label after them.

    Balanced ones are a new permutation of all classes for every ``count`` indices, so that each class comes equally
    often, or once more, whatever the number of samples. A file has those of ``samples`` at least.

    Raises:
        InputError: the file is malformed.
    """
    if labels is None:

        def drawn(seed: int, indices: Sequence[int]) -> Tensor:
            return noise.integers(count, seed, _STREAM, indices)

    elif labels == BALANCED:

        def drawn(seed: int, indices: Sequence[int]) -> Tensor:
            return torch.tensor(noise.shuffled(count, seed, indices, _STREAM), dtype=torch.int64)

    else:
        given = torch.from_numpy(read_labels(Path(labels.path), samples, count))

        def drawn(seed: int, indices: Sequence[int]) -> Tensor:
            return given[list(indices)]

    return Conditions(
        count,
        f"the model takes 0..{count - 1}",
        drawn=drawn,
        of=lambda labels: torch.where(labels == NO_LABEL, count, labels),
    )


_STREAM = "sample/label"


def open_conditions(
    shape: Shape, inputs: dict[str, Path], labels: Labels = None, samples: int = 0
) -> Conditions:
    """What the labels of a stage mean to a model of this shape: classes, or the numbers of captions, the role ``text``.

    Samples take captions in the order of the data set, whatever the seed; classes as :func:`of_classes` says.

    Raises:
        InputError: a model that takes texts has none.
    """
    if shape.texts is None:
        return of_classes(shape.num_classes, labels, samples)
    if "text" not in inputs:
        raise InputError("the model takes texts, and the stage was given no captions")
    texts = Texts(inputs["text"])
    return Conditions(
        len(texts),
        f"and there are {len(texts)} captions",
        drawn=lambda seed, indices: texts.drawn(indices),
        of=texts.states,
        null=texts.null,
    )
