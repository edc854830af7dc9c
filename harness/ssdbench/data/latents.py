"""Latents and embedded captions on disk: safetensors shards.

Of an image there are the mean and standard deviation of its posterior, and its label.
Of captions there are the hidden states, the empty text's, and which caption each image has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import ConcatDataset

from ssdbench.diffusion import noise
from ssdbench.errors import InputError

INDEX, CAPTIONS = "index.safetensors", "captions.json"


def shard_name(index: int, kind: str = "latents") -> str:
    """File name of shard ``index`` of ``latents`` or ``texts``; names sort in order."""
    return f"{kind}-{index:05d}.safetensors"


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
        self._joined: ConcatDataset[Tensor] = ConcatDataset(parts)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._joined)

    def __getitem__(self, chosen: Sequence[int]) -> Tensor:
        if len(self._parts) == 1:
            return self._parts[0][chosen]
        return torch.stack([self._joined[i] for i in chosen])


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


# ---- captions


def save_index(folder: Path, null: Tensor, order: Tensor, captions: Sequence[str]) -> None:
    """Write the empty text's states (1, L, D), the caption of each image, int64 (N,), and the captions themselves."""
    save_file({"null": null.contiguous(), "order": order.contiguous()}, folder / INDEX)
    text = json.dumps(list(captions), ensure_ascii=False, indent=0)
    (folder / CAPTIONS).write_text(text + "\n", encoding="utf-8")


def save_texts(folder: Path, index: int, states: Tensor) -> None:
    """Write the hidden states of some captions, float32 (M, L, D), whole or not at all."""
    write_whole(folder / shard_name(index, "texts"), {"states": states})


def read_captions(folder: Path, count: int) -> tuple[str, ...]:
    """Return the captions of the first ``count`` samples, as :meth:`Texts.drawn` numbers them.

    Raises:
        InputError: the folder holds none.
    """
    if not (folder / INDEX).is_file() or not (folder / CAPTIONS).is_file():
        raise InputError(f"{folder}: expected {INDEX} and {CAPTIONS} of embedded captions")
    captions = json.loads((folder / CAPTIONS).read_text(encoding="utf-8"))
    order = load_file(folder / INDEX)["order"].tolist()
    return tuple(captions[order[index % len(order)]] for index in range(count))


class Texts:
    """Embedded captions, which stay on disk and are read as they are asked for.

    ``null`` is the empty text, float32 (1, L, D); ``order`` the caption of each image, or of each line of a file of
    captions, int64 (N,).

    Raises:
        InputError: the folder holds none.
    """

    def __init__(self, folder: Path) -> None:
        shards = [load_file(path)["states"] for path in sorted(folder.glob("texts-*.safetensors"))]
        if not shards or not (folder / INDEX).is_file():
            raise InputError(f"{folder}: expected {INDEX} and texts-*.safetensors of embedded captions")
        index = load_file(folder / INDEX)
        self.null, self.order, self._states = index["null"], index["order"], Rows(shards)

    def __len__(self) -> int:
        return len(self._states)

    def drawn(self, indices: Sequence[int]) -> Tensor:
        """The captions of samples, int64 (B,): in order, and from the first again after the last."""
        found: Tensor = self.order[torch.tensor(indices) % len(self.order)]
        return found

    def states(self, labels: Tensor) -> Tensor:
        """The hidden states (B, L, D) of captions by their labels (B,); a negative label is the empty text."""
        found = self._states[labels.clamp(min=0).tolist()]
        return torch.where((labels < 0)[:, None, None], self.null, found)
