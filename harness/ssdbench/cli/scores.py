"""What ``ssdbench eval`` prints: the metrics of an evaluation as JSON's content and as a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from ssdbench.metrics.catalog import find_metric

if TYPE_CHECKING:
    from ssdbench.metrics.evaluate import Evaluation
    from ssdbench.metrics.sources import ImageSource

SCHEMA = 1


def content_of(
    result: Evaluation,
    samples: ImageSource,
    reference_count: int | None,
    wanted: Collection[str],
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what ``--json`` prints; metrics in the order of ``wanted``, ``remarks`` on the reference's images."""
    notes = [*samples.notes(order=any(find_metric(key).ordered for key in wanted)), *remarks]
    return {
        "schema_version": SCHEMA,
        "samples": {"name": samples.name, "count": result.samples},
        "reference": {"name": result.reference, "count": reference_count},
        "network": {"name": result.network, "digest": result.network_digest},
        "metrics": {key: result.metrics[key] for key in wanted if key in result.metrics},
        "intervals": {key: result.intervals[key]._asdict() for key in wanted if key in result.intervals},
        "missing": result.missing,
        "notes": [*notes, *result.stamps],
    }


def describe(content: dict[str, Any]) -> str:
    """Return what ``content_of`` does as a table with its notes."""
    network, samples, reference = (content[name] for name in ("network", "samples", "reference"))
    count = "" if reference["count"] is None else f", {reference['count']:,} images"
    lines = [
        f"{samples['name']}, {samples['count']:,} images, against {reference['name']}{count}",
        "",
    ]
    rows = [("", "value", "95 % interval", "")]
    for key, value in content["metrics"].items():
        metric = find_metric(key)
        digits = metric.decimals + 1
        name = metric.title_for(network["name"])
        found = content["intervals"].get(key)
        span = f"{found['low']:.{digits}f} to {found['high']:.{digits}f}" if found else ""
        rows.append((name, f"{value:.{digits}f}", span, found["method"] if found else ""))
    for key, reason in content["missing"].items():
        rows.append((find_metric(key).title_for(network["name"]), "none", "", reason))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, value, span, how in rows:
        lines.append(f"{name:<{widths[0]}}  {value:>{widths[1]}}  {span:<{widths[2]}}  {how}".rstrip())
    notes = content["notes"]
    return "\n".join([*lines, *([""] if notes else []), *(f"- {note}" for note in notes)])
