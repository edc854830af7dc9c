"""The five metrics as columns: their names by network, which way is better, how many decimals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssdbench.metrics.names import INCEPTION


@dataclass(frozen=True)
class MetricColumn:
    """One metric. ``keys``, ``short`` and ``decimals`` come in pairs: for the FID network, and for any other.

    The FID network's decimals are the paper's; others' values need not be of that size.
    """

    name: str
    keys: tuple[str, str]
    short: tuple[str, str]
    higher_is_better: bool
    decimals: tuple[int, int]

    def value(self, metrics: Mapping[str, float]) -> float | None:
        """Return this metric of a record, or None when it was not measured."""
        for key in self.keys:
            if key in metrics:
                return metrics[key]
        return None

    def header(self, network: str, *, always_name: bool = False) -> str:
        """Return the honest header: ``FID ↓`` only for the FID network, else ``FD(network) ↓``.

        Precision and recall name their network only when ``always_name`` asks for it, as a table with two
        networks must.
        """
        arrow = "↑" if self.higher_is_better else "↓"
        published = network == INCEPTION
        short = self.short[0 if published else 1]
        if (published or self.name in ("precision", "recall")) and not always_name:
            return f"{short} {arrow}"
        return f"{short}({network}) {arrow}"

    def format(self, value: float, network: str) -> str:
        """Return ``value`` with the decimals for ``network``."""
        return f"{value:.{self.decimals[network != INCEPTION]}f}"


METRICS: dict[str, MetricColumn] = {
    column.name: column
    for column in (
        MetricColumn("is", ("is", "is"), ("IS", "IS"), True, (1, 2)),
        MetricColumn("fid", ("fid", "fd"), ("FID", "FD"), False, (2, 2)),
        MetricColumn("sfid", ("sfid", "sfd"), ("sFID", "sFD"), False, (2, 2)),
        MetricColumn("precision", ("precision", "precision"), ("Prec.", "Prec."), True, (2, 3)),
        MetricColumn("recall", ("recall", "recall"), ("Rec.", "Rec."), True, (2, 3)),
    )
}
