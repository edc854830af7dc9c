"""Batches that become smaller where a device's memory is too small for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from ssdbench.errors import StageFailed

Part = TypeVar("Part")


def halving(produce: Callable[[range], Part], indices: range, size: int) -> Iterator[tuple[range, Part]]:
    """Yield ``produce(batch)`` for the consecutive batches of ``indices``, of ``size`` at most.

    Where a batch is too large for the device's memory, it and those after it are halved, down to one; the log is told
    once how many go at a time. Nothing may depend on the batch but the time it takes: the rows of ``produce`` belong
    to the index alone.

    Raises:
        StageFailed: not even one fits.
    """
    first = 0
    size = told = min(size, len(indices))
    while first < len(indices):
        batch = indices[first : first + size]
        try:
            part = produce(batch)
        except torch.cuda.OutOfMemoryError as error:
            if len(batch) == 1:
                raise StageFailed(f"out of memory with one sample at a time: {error}") from error
            size = (len(batch) + 1) // 2
            continue
        if size < told:
            print(f"out of memory with {told} samples at a time: going on with {size}", file=sys.stderr)
            told = size
        yield batch, part
        first += len(batch)
