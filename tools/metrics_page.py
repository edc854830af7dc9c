"""Write the tables of docs/metrics.md from the declarations: ``python tools/metrics_page.py``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ssdbench.metrics.builtin import BUILTIN
from ssdbench.metrics.conventions import CONVENTIONS, Convention
from ssdbench.metrics.metric import Metric
from ssdbench.metrics.networks import NETWORKS, Network

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [tuple(heads), *map(tuple, rows)]
    texts = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([texts[0], "|---" * len(lines[0]) + "|", *texts[1:]])


def metrics() -> str:
    """Return the table of definitions."""
    heads = ("", "name", "definition", "unit", "better", "needs at least", "95 % interval", "source")
    return table(heads, map(_metric, BUILTIN))


def _metric(metric: Metric) -> tuple[str, ...]:
    names = " / ".join(f"`{key}`" for key in metric.keys)
    low, high = ("" if bound is None else f"{bound:g}" for bound in (metric.low, metric.high))
    bounds = f", {low} to {high}" if low and high else f", from {low}" if low else ""
    counts = f"{metric.least:,}"
    if metric.reference is not None:
        counts += f" and {metric.least_reference:,}"
    better = metric.better or "neither"
    title = metric.label + ("" if metric.elsewhere is None else f" / {metric.elsewhere.title}")
    return (
        title,
        names,
        metric.definition,
        metric.unit + bounds,
        better,
        counts,
        metric.interval,
        metric.cite,
    )


def networks() -> str:
    """Return the table of networks."""
    heads = ("name", "what", "input", "pooled", "spatial", "logits", "FID", "source")
    return table(heads, map(_network, NETWORKS.builtin.values()))


def _network(network: Network) -> tuple[str, ...]:
    assert network.dims is not None
    taps = (
        f"{network.dims.of(tap):,}: {getattr(network, tap)}" if network.dims.of(tap) else "none"
        for tap in ("pooled", "spatial", "logits")
    )
    return (
        f"`{network.name}`",
        network.help,
        network.input,
        *taps,
        "yes" if network.fid else "no",
        network.cite,
    )


def conventions() -> str:
    """Return the table of conventions."""
    return table(("name", "step", "what", "who does it"), map(_convention, CONVENTIONS))


def _convention(convention: Convention) -> tuple[str, ...]:
    step = "several" if convention.of else convention.step
    return (f"`{convention.name}`", step, convention.help, convention.cite)


def written(page: str) -> str:
    """Return the page with its tables made anew."""
    for name, made in (("metrics", metrics), ("networks", networks), ("conventions", conventions)):
        start, end = f"<!-- {name}: written by tools/metrics_page.py -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"({re.escape(start)}\n).*?({re.escape(end)})", re.DOTALL)
        page, count = pattern.subn(lambda found, made=made: f"{found[1]}{made()}\n{found[2]}", page)
        assert count == 1, f"the page has no place for {name}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
