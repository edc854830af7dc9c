"""Samples of runs side by side, as one labelled picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ssdbench.api.lookup import find_record
from ssdbench.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from ssdbench.report.samples import Samples
    from ssdbench.store import Store


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
    from ssdbench.report.rows import run_of
    from ssdbench.report.samples import by_label, by_prompt, by_run, read_samples
    from ssdbench.suite.facts import starts_far_from_noise

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
