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
    """All latents of a folder, in memory.

    Raises:
        InputError: the folder holds no shards.
    """

    def __init__(self, folder: Path) -> None:
        shards = [load_file(path) for path in sorted(folder.glob("latents-*.safetensors"))]
        if not shards:
            raise InputError(f"{folder}: no latents-*.safetensors found")
        self.mean, self.std, self.labels = (
            torch.cat([s[k] for s in shards]) for k in ("mean", "std", "labels")
        )

    def __len__(self) -> int:
        return len(self.mean)

    def draw(self, chosen: Sequence[int], seed: int, positions: Iterable[int]) -> tuple[Tensor, Tensor]:
        """A sample from the posteriors of the ``chosen`` images, and their labels; the draw belongs to the position."""
        mean, std = self.mean[chosen], self.std[chosen]
        return mean + std * noise.normal(mean.shape[1:], seed, "train/latent", positions), self.labels[chosen]
