"""Random numbers that depend on (seed, stream, index) alone: never on batch size, order, device or process count.

Each sample has a generator of its own (as in edm2's sampler). It is a counter-based Philox: torch's CPU generator keeps
only 32 bits of its seed, which would give two of 50,000 samples the same noise about once in four runs.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def generator(seed: int, stream: str, index: int) -> np.random.Generator:
    """The generator of sample ``index`` in the named ``stream`` of draws (noise, label, ...)."""
    word = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    key = np.array([int.from_bytes(word, "little"), index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def normal(shape: Sequence[int], seed: int, stream: str, indices: Iterable[int]) -> Tensor:
    """Standard normal noise, float32 on the CPU, shape (len(indices), *shape): row i belongs to indices[i] alone."""
    rows = [generator(seed, stream, i).standard_normal(tuple(shape), dtype=np.float32) for i in indices]
    return torch.from_numpy(np.stack(rows))


def uniform(seed: int, stream: str, indices: Iterable[int]) -> Tensor:
    """Uniform numbers in [0, 1), float64 of shape (len(indices),)."""
    return torch.tensor([generator(seed, stream, i).random() for i in indices], dtype=torch.float64)


def integers(bound: int, seed: int, stream: str, indices: Iterable[int]) -> Tensor:
    """Uniform integers in [0, bound), int64 of shape (len(indices),)."""
    return torch.tensor([int(generator(seed, stream, i).integers(bound)) for i in indices], dtype=torch.int64)


def shuffled(size: int, seed: int, positions: Iterable[int]) -> list[int]:
    """Where positions 0, 1, 2, ... of an endless walk over ``size`` items lead: a new permutation every epoch."""
    return [int(_permutation(size, seed, p // size)[p % size]) for p in positions]


@functools.lru_cache(maxsize=2)  # a batch spans two epochs at most
def _permutation(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return generator(seed, "order", epoch).permutation(size)
