"""Latents on disk: safetensors shards with the mean and standard deviation of each image's posterior, and its label."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ssdbench.diffusion import noise
from ssdbench.errors import InputError


def shard_name(index: int) -> str:
    """File name of shard ``index``; names sort in order."""
    return f"latents-{index:05d}.safetensors"


def save_shard(folder: Path, index: int, mean: Tensor, std: Tensor, labels: Tensor) -> None:
    """Write a shard, whole or not at all: ``mean`` and ``std`` float32 (B, C, h, w), ``labels`` int64 (B,)."""
    write_whole(folder / shard_name(index), {"mean": mean, "std": std, "labels": labels})


def write_whole(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file, whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


class Rows:
    """Tensors (n_1, ...), (n_2, ...), ... one after another, which stay where they are.

    :func:`safetensors.torch.load_file` maps a file into memory, so that of a data set larger than the machine's memory
    the rows are read that are asked for.
    """

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self._parts = parts
        self._ends = list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, chosen: Sequence[int]) -> Tensor:
        if len(self._parts) == 1:
            return self._parts[0][chosen]
        return torch.stack([self._row(i) for i in chosen])

    def _row(self, i: int) -> Tensor:
        part = bisect_right(self._ends, i)
        return self._parts[part][i - self._ends[part]]


class Latents:
    """All latents of a data set, float32 (N, C, h, w), read as they are drawn, and their labels, int64 (N,).

    ``std`` is None where a latent is a point and no posterior.
    """

    def __init__(self, mean: Rows, std: Rows | None, labels: Tensor) -> None:
        self.mean, self.std, self.labels = mean, std, labels

    @classmethod
    def encoded(cls, folder: Path) -> Latents:
        """What :func:`save_shard` wrote into a folder.

        Raises:
            InputError: the folder holds no shards.
        """
        shards = [load_file(path) for path in sorted(folder.glob("latents-*.safetensors"))]
        if not shards:
            raise InputError(f"{folder}: no latents-*.safetensors found")
        mean, std = (Rows([shard[name] for shard in shards]) for name in ("mean", "std"))
        return cls(mean, std, torch.cat([shard["labels"] for shard in shards]))

    @classmethod
    def sampled(cls, files: Sequence[Path]) -> Latents:
        """Latents that a model sampled, as they came out of it: nothing is decoded and encoded again."""
        shards = [load_file(path) for path in files]
        labels = torch.cat([shard["labels"] for shard in shards])
        return cls(Rows([shard["latents"] for shard in shards]), None, labels)

    def __len__(self) -> int:
        return len(self.mean)

    def draw(self, chosen: Sequence[int], seed: int, positions: Iterable[int]) -> tuple[Tensor, Tensor]:
        """A sample from the posteriors of the ``chosen`` images, and their labels; the draw belongs to the position."""
        if self.std is None:
            return self.mean[chosen], self.labels[chosen]
        mean, std = self.mean[chosen], self.std[chosen]
        return mean + std * noise.normal(mean.shape[1:], seed, "train/latent", positions), self.labels[chosen]
