"""Embedded captions on disk: shards of hidden states, the empty text's, and which caption each image has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ssdbench.errors import InputError

SHARD = 1000
INDEX, CAPTIONS = "index.safetensors", "captions.json"


def shard_name(index: int) -> str:
    """File name of shard ``index``; names sort in order."""
    return f"texts-{index:05d}.safetensors"


def save_index(folder: Path, null: Tensor, order: Tensor, captions: Sequence[str]) -> None:
    """Write the empty text's states (1, L, D), the caption of each image, int64 (N,), and the captions themselves."""
    save_file({"null": null.contiguous(), "order": order.contiguous()}, folder / INDEX)
    (folder / CAPTIONS).write_text(json.dumps(list(captions), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def save_texts(folder: Path, index: int, states: Tensor) -> None:
    """Write the hidden states of :data:`SHARD` captions (fewer in the last shard), float32 (M, L, D)."""
    save_file({"states": states.contiguous()}, folder / shard_name(index))


class Texts:
    """Embedded captions, read from disk as they are asked for.

    ``null`` is the empty text, float32 (1, L, D); ``order`` the caption of each image, or of each line of a file of
    captions, int64 (N,).

    Raises:
        InputError: the folder holds none.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / INDEX).is_file():
            raise InputError(f"{folder}: no {INDEX} of embedded texts found")
        index = load_file(folder / INDEX)
        self.folder, self.null, self.order = folder, index["null"], index["order"]
        self._shards: dict[int, Tensor] = {}

    def captions(self) -> list[str]:
        """The captions, in the order of the labels that name them."""
        found: list[str] = json.loads((self.folder / CAPTIONS).read_text(encoding="utf-8"))
        return found

    def drawn(self, indices: Sequence[int]) -> Tensor:
        """The captions of samples, int64 (B,): in order, and from the first again after the last."""
        return self.order[torch.tensor(indices) % len(self.order)]

    def states(self, labels: Tensor) -> Tensor:
        """The hidden states of captions by their labels (B,): float32 (B, L, D). A negative label is the empty text."""
        rows = [self.null[0] if label < 0 else self._state(label) for label in labels.tolist()]
        return torch.stack(rows)

    def _state(self, label: int) -> Tensor:
        shard, row = divmod(label, SHARD)
        if shard not in self._shards:
            path = self.folder / shard_name(shard)
            # Mapped into memory: only what is read of it takes any.
            with safe_open(path, framework="pt") as tensors:
                self._shards[shard] = tensors.get_tensor("states")
        return self._shards[shard][row]
