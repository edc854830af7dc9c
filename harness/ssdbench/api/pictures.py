"""The images of a run that its metrics were computed from, with what they were asked to show, and pictures of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from ssdbench.api.records import find_record, inputs_of
from ssdbench.errors import UsageError
from ssdbench.report.rows import run_of
from ssdbench.store import Record, Store
from ssdbench.suite.facts import starts_far_from_noise


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


def shards_of(record: Record, store: Store) -> dict[str, Path]:
    """Return the files of the samples that a run was scored on, in their order, by the keys of their stages.

    Raises:
        UsageError: the record does not know them, or they were dropped.

    """
    if given := record.run.get("samples"):
        raise UsageError(
            f"the samples of {record.key[:12]} were made elsewhere: they are in {given}, not in the store"
        )
    roles = inputs_of(record, store, record.key)
    keys = [roles[role] for role in sorted(roles) if role.startswith("samples/")]
    if not keys or any(store.manifest(key) is None for key in keys):
        raise UsageError(
            f"the samples of {record.key[:12]} are no longer in {store.name}: run its suite again with 'keep: samples'"
        )
    return {key: store.directory(key) / "samples.safetensors" for key in keys}


def read_samples(record: Record, store: Store) -> Samples:
    """All samples of a run that are still in the store, in their order; raises as :func:`shards_of`."""
    from safetensors.numpy import load_file

    shards = shards_of(record, store)
    read = [load_file(path) for path in shards.values()]
    images, labels = (np.concatenate([shard[name] for shard in read]) for name in ("images", "labels"))
    return Samples(images[: record.samples], labels[: record.samples], captions_of(record, store))


def captions_of(record: Record, store: Store) -> tuple[str, ...] | None:
    """The captions that the labels of a run's samples number, while they are in the store; None of classes."""
    text = inputs_of(record, store, next(iter(shards_of(record, store)))).get("text")
    if text is None or store.manifest(text) is None:
        return None
    path = store.directory(text) / "captions.json"
    return tuple(json.loads(path.read_text(encoding="utf-8")))


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


def sample_grid(
    store: Store,
    runs: Sequence[str],
    shape: str = "runs",
    *,
    first: int = 8,
    indices: Sequence[int] | None = None,
    scale: int = 2,
    say: Callable[[str], None] = lambda note: None,
) -> Image:
    """Draw the samples that runs were scored on, with what they were asked to show.

    Args:
        store: where the runs are.
        runs: keys, or their beginnings; ``NAME=KEY`` is drawn as NAME.
        shape: ``runs``, a row for each run; ``prompts``, a column for each run; ``classes`` or captions of one run.
        first: so many samples; of classes, of each.
        indices: these samples instead, from 0.
        scale: each pixel is repeated so often.
        say: called with what is worth a line.

    Raises:
        UsageError: a run or its samples are not there, the images differ in size, or an index is beyond them.

    """
    from ssdbench.data.pictures import labelled_grid

    found: list[tuple[str, Samples]] = []
    for text in runs:
        name, _, prefix = text.rpartition("=")
        record = find_record(store, prefix)
        known = f"{record.run['variant']}, {record.run['sampler']}, {record.nfe} NFE"
        for told in starts_far_from_noise(run_of(record)):
            say(f"{name or known}: {told}")
        found.append((name or known, read_samples(record, store)))
    if len({samples.images.shape[1:] for _, samples in found}) > 1:
        raise UsageError("the runs have images of different sizes")
    fewest = min(len(samples.images) for _, samples in found)
    chosen = range(min(first, fewest)) if indices is None else indices
    if any(not 0 <= i < fewest for i in chosen):
        listed = ",".join(map(str, chosen))
        raise UsageError(f"--indices {listed}: all runs have samples 0..{fewest - 1} alone")
    if shape == "classes":
        if len(found) > 1:
            raise UsageError("--shape classes draws one run")
        cells, rows, columns = by_label(found[0][1], first)
    else:
        cells, rows, columns = (by_run if shape == "runs" else by_prompt)(found, chosen)
    return labelled_grid(cells, rows, columns, scale)
