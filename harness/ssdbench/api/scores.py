"""What ``ssdbench.evaluate`` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ssdbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from ssdbench.metrics.intervals import Interval


@dataclass(frozen=True)
class Scores:
    """The metrics of one set of images; ``scores["fid"]`` is a value.

    Args:
        metrics: by name. ``fid`` and ``sfid`` are said of the FID Inception alone; of any other network they are ``fd``
            and ``sfd``. Distances and IS are unbounded, precision and recall are shares in [0, 1].
        intervals: 95 % confidence intervals of the metrics, each with how it was found.
        missing: metrics that cannot be had, with the reason.
        samples: how many images were measured.
        reference: what they were measured against.
        reference_samples: of how many images that is; None where it is not known.
        network: the feature network.
        network_digest: SHA-256 of its weights.
        notes: remarks that belong to every report of these numbers.

    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    missing: dict[str, str]
    samples: int
    reference: str
    reference_samples: int | None
    network: str
    network_digest: str
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, metric: str) -> float:
        if metric in self.metrics:
            return self.metrics[metric]
        if metric in self.missing:
            raise UsageError(f"{metric}: there is no value: {self.missing[metric]}")
        raise UsageError(f"{metric!r} was not measured; measured were {', '.join(self.metrics)}")

    def table(self) -> pd.DataFrame:
        """Return a row a metric: its value, the ends of its interval, how that was found, and why there is no value."""
        import pandas as pd

        rows = []
        for name in [*self.metrics, *self.missing]:
            found = self.intervals.get(name)
            low, high, method = found or (None, None, None)
            value = self.metrics.get(name)
            rows.append({"value": value, "low": low, "high": high, "interval": method})
            rows[-1]["missing"] = self.missing.get(name)
        return pd.DataFrame(rows, index=pd.Index([*self.metrics, *self.missing], name="metric"))

    def __str__(self) -> str:
        of = "" if self.reference_samples is None else f", {self.reference_samples:,} images"
        head = f"{self.samples:,} images against {self.reference}{of}, by {self.network}"
        lines = []
        for name, value in self.metrics.items():
            found = self.intervals.get(name)
            span = f"  {found.low:.6g} to {found.high:.6g} (95 %, {found.method})" if found else ""
            lines.append(f"{name:<10}  {value:<12.6g}{span}".rstrip())
        lines += [f"{name:<10}  none: {reason}" for name, reason in self.missing.items()]
        return "\n".join([head, *lines, *(f"- {note}" for note in self.notes)])
