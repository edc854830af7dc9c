"""Embedded captions on disk: shards of hidden states, the empty text's, and which caption each image has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ssdbench.data.latents import Rows, write_whole
from ssdbench.errors import InputError

INDEX, CAPTIONS = "index.safetensors", "captions.json"


def shard_name(index: int) -> str:
    """File name of shard ``index``; names sort in order."""
    return f"texts-{index:05d}.safetensors"


def save_index(folder: Path, null: Tensor, order: Tensor, captions: Sequence[str]) -> None:
    """Write the empty text's states (1, L, D), the caption of each image, int64 (N,), and the captions themselves."""
    save_file({"null": null.contiguous(), "order": order.contiguous()}, folder / INDEX)
    text = json.dumps(list(captions), ensure_ascii=False, indent=0)
    (folder / CAPTIONS).write_text(text + "\n", encoding="utf-8")


def save_texts(folder: Path, index: int, states: Tensor) -> None:
    """Write the hidden states of some captions, float32 (M, L, D), whole or not at all."""
    write_whole(folder / shard_name(index), {"states": states})


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
