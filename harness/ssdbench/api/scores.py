"""What ``ssdbench.evaluate`` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ssdbench.api.words import aligned
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
        name: what the images are.

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
    name: str = "images"

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

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as data for JSON."""
        return {
            "schema_version": 1,
            "samples": {"name": self.name, "count": self.samples},
            "reference": {"name": self.reference, "count": self.reference_samples},
            "network": {"name": self.network, "digest": self.network_digest},
            "metrics": self.metrics,
            "intervals": {name: found._asdict() for name, found in self.intervals.items()},
            "missing": self.missing,
            "notes": [*self.notes],
        }

    def __str__(self) -> str:
        """Return the table that ``ssdbench eval`` prints, with its notes."""
        from ssdbench.metrics.catalog import find_metric

        of = "" if self.reference_samples is None else f", {self.reference_samples:,} images"
        rows = [("", "value", "95 % interval", "")]
        for key, value in self.metrics.items():
            metric, found = find_metric(key), self.intervals.get(key)
            digits = metric.decimals + 1
            span = f"{found.low:.{digits}f} to {found.high:.{digits}f}" if found else ""
            how = found.method if found else ""
            rows.append((metric.title_for(self.network), f"{value:.{digits}f}", span, how))
        for key, reason in self.missing.items():
            rows.append((find_metric(key).title_for(self.network), "none", "", reason))
        head = f"{self.name}, {self.samples:,} images, against {self.reference}{of}"
        notes = [""] if self.notes else []
        notes += [f"- {note}" for note in self.notes]
        return "\n".join([head, "", *aligned(rows, right={1}), *notes])
