"""Curves as PNG and SVG, for papers and slides: quality against NFE with the published points, and Figure 4."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.errors import UsageError
from ssdbench.layouts import LAYOUTS
from ssdbench.metrics.catalog import plain_name
from ssdbench.report.columns import column
from ssdbench.report.curves import Chart, Series
from ssdbench.report.fronts import drawings, front, steep
from ssdbench.store.files import writing

if TYPE_CHECKING:
    from ssdbench.report.document import SuiteReport

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#555555", "#b3261e")
_BESIDE = 0.022  # inches between scattered points at one place
_MARKERS = "osD^vPXd*<>"  # of scattered points, so that black and white tells methods apart
_PANEL = (3.6, 2.9)  # inches
_SCATTERED = (4.8, 4.2)
_ACROSS = 4
# The salt makes the names inside an SVG the same each time.
_STYLE = {"font.size": 8, "svg.hashsalt": "ssdbench", "axes.spines.top": False, "axes.spines.right": False}


def draw(reports: Sequence[SuiteReport], directory: Path, *, paper: bool = True) -> list[Path]:
    """Write ``<suite>.png`` and ``.svg`` for each suite of which there is something to draw; return what was written.

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
        layout = LAYOUTS.named(report.layout)
        found = drawings(layout, report.rows)
        panels = [
            (chart, name)
            for wanted in layout.drawn
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
    wide, high = _SCATTERED if any(chart.scattered for chart, _ in panels) else _PANEL
    figure = Figure(figsize=(wide * across, high * down), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for place, (chart, metric) in zip(axes, panels, strict=False):
        _panel(place, chart, metric, paper)
    for place in axes[len(panels) :]:
        place.set_visible(False)
    told = {
        label: handle
        for place, (chart, _) in zip(axes, panels, strict=False)
        if chart.scattered
        for handle, label in zip(*place.get_legend_handles_labels(), strict=True)
    }
    if told:
        below = {"loc": "outside lower center", "ncols": 2 * across, "frameon": False, "fontsize": 7}
        figure.legend(told.values(), told.keys(), **below)
    return figure


def _panel(axes: Any, chart: Chart, metric: str, paper: bool) -> None:
    names = list(dict.fromkeys(_bare(series) for series in chart.series))
    for series in chart.series:
        if series.published and not paper:
            continue
        place = names.index(_bare(series))
        colour = _COLOURS[place % len(_COLOURS)]
        if chart.scattered:
            beside = _BESIDE * (place - (len(names) - 1) / 2)
            _curve(axes, series, metric, colour, _MARKERS[place % len(_MARKERS)], beside=beside)
        else:
            _curve(axes, series, metric, colour)
    if chart.log:
        axes.set_xscale("log")
    if chart.ticks or not chart.scattered:
        axes.set_xticks([x for x, _ in chart.ticks], [text for _, text in chart.ticks])
    if chart.scattered:
        _front(axes, chart, metric)
    axes.minorticks_off()
    if sum(len(text) for _, text in chart.ticks) > 40:
        axes.tick_params(axis="x", labelrotation=45)
    axes.set_xlabel(chart.axis)
    axes.set_ylabel(column(metric).header(chart.network))
    axes.set_title(chart.title, fontsize=8, loc="left", wrap=True)
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    if not chart.scattered:  # whose legend is the figure's
        axes.legend(frameon=False, fontsize=6.5)


def _front(axes: Any, chart: Chart, metric: str) -> None:
    """A stair along the best for the least, from its first point on, and axes wide enough for all points."""
    from matplotlib.ticker import LogLocator

    # Points beside their places do not widen the axes by themselves.
    best = front(chart, metric)
    points = [point for series in chart.series for point in series.of(metric)[0]]
    points = [(x, value) for x, value in points if math.isfinite(value.mean)]
    if not points:
        return
    reach = [value.mean + sign * (value.spread or 0.0) for _, value in points for sign in (-1, 1)]
    low, high = min(reach), max(reach)
    if steep(chart, metric):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
    for x, _ in points:
        axes.update_datalim([(x, low), (x, high)])
    axes.margins(0.08)
    axes.autoscale_view()
    end = axes.get_xlim()[1]
    xs, ys = map(list, zip(*best, strict=True))
    path = {"color": "#555555", "linewidth": 0.9, "linestyle": ":", "zorder": 0}
    axes.step([*xs, end], [*ys, ys[-1]], where="post", label="front", scalex=False, scaley=False, **path)


def _bare(series: Series) -> str:
    """A published curve has the colour of the measured one."""
    return series.name.removesuffix(" (paper)")


def _curve(
    axes: Any, series: Series, metric: str, colour: str, marker: str = "o", beside: float | None = None
) -> None:
    """Joined points; or single ones, so many inches ``beside`` their places, at which others are too."""
    from matplotlib.transforms import ScaledTranslation

    points, level = series.of(metric)
    if level is not None:
        axes.axhline(level.mean, color=colour, linestyle="--", linewidth=1.1, label=series.name)
    if not points:
        return
    joined = beside is None
    aside = ScaledTranslation(beside or 0.0, 0.0, axes.figure.dpi_scale_trans)
    axes.errorbar(
        [x for x, _ in points],
        [value.mean for _, value in points],
        yerr=[value.spread or 0.0 for _, value in points],
        color=colour,
        label=series.name,
        linestyle=("--" if series.published else "-") if joined else "none",
        marker=marker,
        markersize=3.5 if joined else 4.5,
        markerfacecolor="white" if series.published else colour,
        linewidth=1.3,
        elinewidth=0.9,
        **({} if joined else {"transform": axes.transData + aside}),
    )
