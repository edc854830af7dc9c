"""The images of a run that its metrics were computed from, with what they were asked to show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import UsageError

if TYPE_CHECKING:
    from ssdbench.store import Record, Store


@dataclass(frozen=True)
class Samples:
    """The first images of a run, uint8 (N, H, W, C), and their labels (N,), which may number captions."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    captions: tuple[str, ...] | None = None

    def name(self, index: int) -> str:
        """What sample ``index`` was asked to show. Empty where it was asked for nothing (label -1)."""
        label = int(self.labels[index])
        if label < 0:
            return ""
        return self.captions[label] if self.captions is not None else f"class {label}"


def read_samples(record: Record, store: Store) -> Samples:
    """All samples of a run that are still in the store, in their order.

    Raises:
        UsageError: the record does not know them, or they were dropped.

    """
    from safetensors.numpy import load_file

    score = record.stages.get(record.key)
    roles = {} if score is None else score.inputs
    keys = [roles[role] for role in sorted(roles) if role.startswith("samples/")]
    if not keys or any(store.manifest(key) is None for key in keys):
        raise UsageError(
            f"the samples of run {record.key[:12]} are no longer in {store.name}: run its suite with keep: samples"
        )
    shards = [load_file(store.directory(key) / "samples.safetensors") for key in keys]
    images, labels = (np.concatenate([shard[name] for shard in shards]) for name in ("images", "labels"))
    text = record.stages[keys[0]].inputs.get("text") if keys[0] in record.stages else None
    captions = None
    if text is not None and store.manifest(text) is not None:
        path = store.directory(text) / "captions.json"
        captions = tuple(json.loads(path.read_text(encoding="utf-8")))
    return Samples(images[: record.samples], labels[: record.samples], captions)


Grid = tuple[list[list[NDArray[np.uint8] | None]], list[str], list[str]]
"""Rows of pictures, their names, and the columns' names."""


def by_run(runs: Sequence[tuple[str, Samples]], indices: Sequence[int]) -> Grid:
    """Figure 1: a row for each run, a column for each sample: the same noise and label in all rows.

    Raises:
        UsageError: the runs were not asked for the same.

    """
    shown = [[samples.images[i] for i in indices] for _, samples in runs]
    return [list(row) for row in shown], [name for name, _ in runs], _shared_names(runs, indices)


def by_prompt(runs: Sequence[tuple[str, Samples]], indices: Sequence[int]) -> Grid:
    """Figure 3: a column for each run, a row for each sample, named by its caption or class.

    Raises:
        UsageError: the runs were not asked for the same.

    """
    rows, names, samples = by_run(runs, indices)
    return [list(row) for row in zip(*rows, strict=True)], samples, names


def _shared_names(runs: Sequence[tuple[str, Samples]], indices: Sequence[int]) -> list[str]:
    first, reference = runs[0]
    for name, samples in runs[1:]:
        for i in indices:
            ours, theirs = reference.name(i), samples.name(i)
            if ours != theirs:
                raise UsageError(
                    f"sample {i} is {ours or 'of no class'!r} in {first} and {theirs or 'of no class'!r} in {name}:"
                    " expected runs of one seed and the same captions"
                )
    return [reference.name(i) for i in indices]


def by_label(samples: Samples, columns: int) -> Grid:
    """A row for each label that occurs, with the first samples that have it."""
    rows: list[list[NDArray[np.uint8] | None]] = []
    names = []
    for label in np.unique(samples.labels):
        found = np.flatnonzero(samples.labels == label)[:columns]
        names.append(samples.name(int(found[0])))
        rows.append([samples.images[i] for i in found] + [None] * (columns - len(found)))
    return rows, names, [""] * columns
