"""The metrics as columns: their names by network, which way is better, how many decimals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssdbench.metrics import names
from ssdbench.metrics.names import INCEPTION


@dataclass(frozen=True)
class MetricColumn:
    """One metric. ``keys`` and ``decimals`` come in pairs: for the FID network, and for any other.

    The FID network's decimals are the paper's; others' values need not be of that size. ``short`` is the paper's name
    for the column where it is not the metric's own. Of a diagnostic neither way is better.
    """

    name: str
    keys: tuple[str, str]
    higher_is_better: bool | None
    decimals: tuple[int, int]
    short: str | None = None

    def value(self, metrics: Mapping[str, float]) -> float | None:
        """Return this metric of a record, or None when it was not measured."""
        for key in self.keys:
            if key in metrics:
                return metrics[key]
        return None

    def header(self, network: str, *, always_name: bool = False) -> str:
        """Return the honest header and which way is better: ``FID ↓``, ``FD(effnet-lite0) ↓``.

        See :func:`ssdbench.metrics.names.header`.
        """
        key = self.keys[network != INCEPTION]
        arrow = {True: " ↑", False: " ↓", None: ""}[self.higher_is_better]
        return names.header(key, network, short=self.short, always=always_name) + arrow

    def format(self, value: float, network: str) -> str:
        """Return ``value`` with the decimals for ``network``."""
        return f"{value:.{self.decimals[network != INCEPTION]}f}"


METRICS: dict[str, MetricColumn] = {
    column.name: column
    for column in (
        MetricColumn("is", ("is", "is"), True, (1, 2)),
        MetricColumn("fid", ("fid", "fd"), False, (2, 2)),
        MetricColumn("sfid", ("sfid", "sfd"), False, (2, 2)),
        MetricColumn("precision", ("precision", "precision"), True, (2, 3), "Prec."),
        MetricColumn("recall", ("recall", "recall"), True, (2, 3), "Rec."),
        *(MetricColumn(name, (name, name), None, (3, 3)) for name in names.DIAGNOSTICS),
    )
}
