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

from ssdbench.errors import InputError


def generator(seed: int, stream: str, index: int) -> np.random.Generator:
    """The generator of sample ``index`` in the named ``stream`` of draws (noise, label, ...)."""
    word = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    key = np.array([int.from_bytes(word, "little"), index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def seed_torch(seed: int) -> None:
    """Seed torch's own generators with all 63 bits of a seed: for the weights that a new module starts with.

    ``torch.manual_seed`` does so on GPUs. On the CPU it starts a Mersenne Twister from the seed's lower 32 bits, and
    5 and 2^32 + 5 give the same weights. From 2^32 on, the twister's state is therefore the one that its authors' own
    rule for longer keys gives (``init_by_array``, Matsumoto and Nishimura, 2002, as in numpy).

    Args:
        seed: a whole number from 0 to 2^63 - 1. Below 2^32 this is ``torch.manual_seed``, bit for bit.

    Raises:
        InputError: the seed is no such number, or this torch keeps the twister's state in another form.
    """
    if not 0 <= seed < SEEDS:
        raise InputError(f"seed {seed}: expected a whole number from 0 to 2^63 - 1")
    torch.manual_seed(seed)
    low, high = seed % 2**32, seed >> 32
    if not high:
        return
    state = torch.get_rng_state()
    words = state[_TWISTER].numpy()  # a view: what is written to it stands in ``state``
    if words.tobytes() != _twister(low):
        raise InputError(
            f"seed {seed}: this version of torch keeps its generator's state in an unknown form: take one below 2^32"
        )
    words[:] = np.frombuffer(_twister([low, high]), np.uint8)
    torch.set_rng_state(state)


SEEDS = 2**63
_TWISTER = slice(24, 24 + 8 * 624)  # of torch's state on the CPU: 624 words, each in 8 bytes


def _twister(seed: int | list[int]) -> bytes:
    """The words of a Mersenne Twister just after seeding, each in 8 bytes."""
    words: NDArray[np.uint32] = np.random.RandomState(seed).get_state(legacy=False)["state"]["key"]
    return words.astype(np.uint64).tobytes()


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


def shuffled(size: int, seed: int, positions: Iterable[int], stream: str = "order") -> list[int]:
    """Where positions 0, 1, 2, ... of an endless walk over ``size`` items lead: a new permutation every epoch."""
    return [int(_permutation(size, seed, stream, p // size)[p % size]) for p in positions]


@functools.lru_cache(maxsize=2)  # a batch spans two epochs at most
def _permutation(size: int, seed: int, stream: str, epoch: int) -> NDArray[np.int64]:
    return generator(seed, stream, epoch).permutation(size)
