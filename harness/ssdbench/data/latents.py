"""Latents on disk: safetensors shards with the mean and standard deviation of each image's posterior, and its label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """Write a shard: ``mean`` and ``std`` float32 (B, C, h, w), ``labels`` int64 (B,)."""
    tensors = {"mean": mean.contiguous(), "std": std.contiguous(), "labels": labels.contiguous()}
    save_file(tensors, folder / shard_name(index))


class Latents:
    """All latents of a data set, in memory: float32 (N, C, h, w), and their labels, int64 (N,).

    ``std`` is None where a latent is a point and no posterior.
    """

    def __init__(self, mean: Tensor, std: Tensor | None, labels: Tensor) -> None:
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
        return cls(*(torch.cat([shard[name] for shard in shards]) for name in ("mean", "std", "labels")))

    @classmethod
    def sampled(cls, files: Sequence[Path]) -> Latents:
        """Latents that a model sampled, as they came out of it: nothing is decoded and encoded again."""
        shards = [load_file(path) for path in files]
        return cls(
            torch.cat([shard["latents"] for shard in shards]),
            None,
            torch.cat([shard["labels"] for shard in shards]),
        )

    def __len__(self) -> int:
        return len(self.mean)

    def draw(self, chosen: Sequence[int], seed: int, positions: Iterable[int]) -> tuple[Tensor, Tensor]:
        """A sample from the posteriors of the ``chosen`` images, and their labels; the draw belongs to the position."""
        if self.std is None:
            return self.mean[chosen], self.labels[chosen]
        mean, std = self.mean[chosen], self.std[chosen]
        return mean + std * noise.normal(mean.shape[1:], seed, "train/latent", positions), self.labels[chosen]
