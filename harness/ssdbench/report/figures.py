"""Curves as PNG and SVG, for papers and slides: quality against NFE with the published points, and Figure 4."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.errors import UsageError
from ssdbench.layouts import LAYOUTS
from ssdbench.metrics.catalog import plain_name
from ssdbench.report.columns import column
from ssdbench.report.curves import Chart, Series, charts
from ssdbench.store.files import writing

if TYPE_CHECKING:
    from ssdbench.report.document import SuiteReport

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#555555", "#b3261e")
_PANEL = (3.6, 2.9)  # inches
_ACROSS = 4
# The salt makes the names inside an SVG the same each time.
_STYLE = {"font.size": 8, "svg.hashsalt": "ssdbench", "axes.spines.top": False, "axes.spines.right": False}


def draw(reports: Sequence[SuiteReport], directory: Path, *, paper: bool = True) -> list[Path]:
    """Write ``<suite>.png`` and ``.svg`` for each suite whose rows make curves; return what was written.

    A row of panels shows one of the metrics that the suite's layout draws.

    Raises:
        UsageError: matplotlib is not installed, or the directory cannot be written to.

    """
    try:
        import matplotlib
    except ImportError:
        raise UsageError("figures need matplotlib: pip install 'ssdbench[figures]'") from None
    matplotlib.use("Agg")
    written = []
    for report in reports:
        found = charts(report.rows)
        panels = [
            (chart, name)
            for wanted in LAYOUTS.named(report.layout).drawn
            for chart in found
            for name in chart.metrics
            if plain_name(name) == wanted
        ]
        if panels:
            name = re.sub(r"[^A-Za-z0-9_.-]", "-", _unique(report, reports))
            with matplotlib.rc_context(_STYLE):
                written += _write(_figure(panels, len(found), paper), directory, name)
    return written


def _unique(report: SuiteReport, reports: Sequence[SuiteReport]) -> str:
    """The suite's name, with its scale where the suite is there at several."""
    if sum(other.name == report.name for other in reports) == 1:
        return report.name
    return f"{report.name}.{report.results[0].run.scale}"


def _write(figure: Any, directory: Path, name: str) -> list[Path]:
    paths = [directory / f"{name}.{form}" for form in ("png", "svg")]
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for path in paths:
            # Without a date the same results make the same file.
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            figure.savefig(path, dpi=160, bbox_inches="tight", metadata=metadata)
    return paths


def _figure(panels: Sequence[tuple[Chart, str]], charts_found: int, paper: bool) -> Any:
    from matplotlib.figure import Figure

    across = min(_ACROSS, charts_found)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(_PANEL[0] * across, _PANEL[1] * down), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for place, (chart, metric) in zip(axes, panels, strict=False):
        _panel(place, chart, metric, paper)
    for place in axes[len(panels) :]:
        place.set_visible(False)
    return figure


def _panel(axes: Any, chart: Chart, metric: str, paper: bool) -> None:
    names = list(dict.fromkeys(_bare(series) for series in chart.series))
    for series in chart.series:
        if series.published and not paper:
            continue
        _curve(axes, series, metric, _COLOURS[names.index(_bare(series)) % len(_COLOURS)])
    if chart.log:
        axes.set_xscale("log")
    axes.set_xticks([x for x, _ in chart.ticks], [text for _, text in chart.ticks])
    axes.minorticks_off()
    if sum(len(text) for _, text in chart.ticks) > 40:
        axes.tick_params(axis="x", labelrotation=45)
    axes.set_xlabel(chart.axis)
    axes.set_ylabel(column(metric).header(chart.network))
    axes.set_title(chart.title, fontsize=8, loc="left", wrap=True)
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    axes.legend(frameon=False, fontsize=6.5)


def _bare(series: Series) -> str:
    """A published curve has the colour of the measured one."""
    return series.name.removesuffix(" (paper)")


def _curve(axes: Any, series: Series, metric: str, colour: str) -> None:
    points, level = series.of(metric)
    if level is not None:
        axes.axhline(level.mean, color=colour, linestyle="--", linewidth=1.1, label=series.name)
    if not points:
        return
    axes.errorbar(
        [x for x, _ in points],
        [value.mean for _, value in points],
        yerr=[value.spread or 0.0 for _, value in points],
        color=colour,
        label=series.name,
        linestyle="--" if series.published else "-",
        marker="o",
        markersize=3.5,
        markerfacecolor="white" if series.published else colour,
        linewidth=1.3,
        elinewidth=0.9,
    )
