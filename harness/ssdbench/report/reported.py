"""What the paper only reports: systems of other publications, beside which nothing of ours is measured."""

from __future__ import annotations

from collections.abc import Sequence

from ssdbench.report.published import PaperRow, PaperTable
from ssdbench.report.rows import Row

REPORTED = "as the paper reports it from another publication; nothing of it runs here"


def reported_after(rows: Sequence[Row], paper: PaperTable | None) -> dict[int, list[PaperRow]]:
    """Return the reported rows by the ``id`` of the row that they follow in print.

    That is the last one of ``rows`` printed before, or else the first of all. Empty at any scale but the paper's.
    """
    shown = {id(row.published): row for row in rows if row.published is not None}
    if paper is None or not shown:
        return {}
    after: dict[int, list[PaperRow]] = {}
    last = next(row for row in rows if row.published is not None)
    for printed in paper.rows:
        last = shown.get(id(printed), last)
        if printed.reported:
            after.setdefault(id(last), []).append(printed)
    return after
