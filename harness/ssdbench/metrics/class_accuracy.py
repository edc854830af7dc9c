"""How many samples are what they were made as, to a classifier of their data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.metrics.accumulator import Value
from ssdbench.metrics.intervals import share_interval

if TYPE_CHECKING:
    from ssdbench.metrics.accumulator import Setup
    from ssdbench.metrics.features import Batch


class ClassAccuracy:
    """The share of samples whose largest logit is that of their label, and Wilson's interval of it."""

    def __init__(self, setup: Setup) -> None:
        labels: NDArray[np.integer] = setup.given["labels"]
        classes = setup.network.dims.logits
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise InputError(
                f"class accuracy of samples with labels from {labels.min()} to {labels.max()}: {setup.network.name}"
                f" knows the classes 0 to {classes - 1}"
            )
        self._labels = labels
        self._count = self._right = 0

    def update(self, batch: Batch) -> None:
        """Compare the logits of the next images with their labels."""
        predicted = batch.logits.argmax(axis=1)
        self._right += int((predicted == self._labels[self._count :][: len(predicted)]).sum())
        self._count += len(predicted)

    def compute(self) -> Value:
        """Return the share."""
        share = self._right / self._count
        return Value(share, share_interval(share, self._count))
