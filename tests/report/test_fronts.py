"""Quality against cost: which points there are, which of them are on the front, and what is drawn of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest

from ssdbench.errors import InputError
from ssdbench.layouts import LAYOUTS, Layout
from ssdbench.plan import RunCost
from ssdbench.report.curves import Chart, Series
from ssdbench.report.document import SuiteReport, render
from ssdbench.report.fronts import drawings, front
from ssdbench.report.rows import Measured, Result, gather
from tests.report.make import make_record, make_run

RIVALS = LAYOUTS["rivals"]


def results(rows: Iterable[tuple[str, int, float, float, dict]]) -> tuple[Result, ...]:
    """Of (variant, NFE, TFLOP of training, FD, settings), with guidance's second branch."""
    return tuple(
        Result(run, make_record(run, fd=fd), planned=RunCost(2.0 * nfe, 1e9 * nfe, 1e12 * flops, 10, 10))
        for variant, nfe, flops, fd, settings in rows
        for run in [make_run(variant, nfe=nfe, **settings)]
    )


ROWS = results(
    [
        ("base", 10, 0.0, 140.0, {}),
        ("base", 10, 0.0, 130.0, {"sampler": "ab2"}),
        ("base", 4, 0.0, 300.0, {}),
        ("issd", 4, 3.0, 200.0, {"seed": 1}),
        ("issd", 4, 3.0, 220.0, {"seed": 2}),
        ("pd 16-8-4", 4, 3.2, 260.0, {}),
        ("pd 16-8", 8, 3.2, 120.0, {}),
    ]
)


def test_rows_are_points_of_their_methods_against_both_costs() -> None:
    passes, training = drawings(RIVALS, gather(ROWS))
    assert (passes.axis, training.axis) == ("Passes an image", "Training TFLOP")
    found = {one.name: [(x, values["fid"].mean) for x, values in one.points] for one in passes.series}
    assert found == {
        "DiT-mini": [(8, 300), (20, 140), (20, 130)],
        "iSSD": [(8, 210)],
        "PD": [(8, 260), (16, 120)],
    }
    assert [x for one in training.series for x, _ in one.points] == [0, 0, 0, 3, 3.2, 3.2]
    [(_, values)] = passes.series[1].points
    assert values["fid"] == Measured(210.0, pytest.approx(200**0.5), 2)  # of which the bar is drawn
    assert passes.log
    assert not training.log  # nothing trained is at 0
    assert passes.scattered


def test_the_front_has_the_best_for_the_least() -> None:
    passes, training = drawings(RIVALS, gather(ROWS))
    assert front(passes, "fid") == [(8, 210), (16, 120)]
    assert front(training, "fid") == [(0, 130), (3.2, 120)]


@pytest.mark.parametrize("metric", ["fid", "precision"])
def test_the_front_is_what_no_point_dominates(metric: str) -> None:
    """Against the definition, on all small sets of points; more is better of precision."""
    sign = 1 if metric == "fid" else -1
    for ys in product((1.0, 2.0, 3.0), repeat=4):
        points = list(zip((1.0, 1.0, 2.0, 3.0), ys, strict=True))
        chart = Chart(
            "t",
            "x",
            tuple(Series("s", ((x, {metric: Measured(y, None, 1)}),)) for x, y in points),
            "effnet-lite0",
        )
        dominated = {
            p for p in points for q in points if q != p and q[0] <= p[0] and sign * q[1] <= sign * p[1]
        }
        assert front(chart, metric) == sorted(set(points) - dominated)


def test_what_is_not_finite_is_on_no_front() -> None:
    points = tuple((x, {"fid": Measured(y, None, 1)}) for x, y in ((1.0, float("nan")), (2.0, 5.0)))
    assert front(Chart("t", "x", (Series("s", points),), "effnet-lite0"), "fid") == [(2.0, 5.0)]


def test_a_method_of_two_models_has_two_names() -> None:
    rows = results(
        [
            ("base", 4, 0.0, 3.0, {}),
            ("base", 4, 0.0, 2.0, {"model": "sit-mini"}),
            ("pd 8-4", 4, 1.0, 2.0, {}),
            ("pd 8-4", 4, 1.0, 1.0, {"model": "sit-mini"}),
            ("issd", 4, 1.0, 1.0, {}),
        ]
    )
    chart = drawings(RIVALS, gather(rows))[0]
    assert [one.name for one in chart.series] == [
        "DiT-mini",
        "SiT-mini",
        "PD (DiT-mini)",
        "PD (SiT-mini)",
        "iSSD",
    ]


def test_what_is_measured_in_other_ways_and_what_is_not_measured_is_not_drawn_together() -> None:
    rows = results([("base", 4, 0.0, 3.0, {}), ("base", 4, 0.0, 2.0, {"eval": {"samples": 500}})])
    assert len(drawings(RIVALS, gather(rows))) == 2 * 2
    run = make_run("base")
    assert drawings(RIVALS, gather([Result(run, planned=RunCost(1.0, 1.0, 1.0, 1, 1))])) == []
    assert drawings(RIVALS, gather([Result(run, make_record(run, fd=1.0))])) == []  # of unknown cost


def test_an_unknown_cost_is_refused() -> None:
    with pytest.raises(InputError, match="unknown cost 'seconds'; known: forward_passes, "):
        Layout(name="x", help="", fields=(), fronts=("seconds",))


def test_the_page_has_the_points_and_the_front() -> None:
    text = render([SuiteReport("rivals", "t", "rivals", ROWS)], "html")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    charts = json.loads(found[1])["suites"][0]["charts"]
    assert [chart["scattered"] for chart in charts] == [True, True]
    [metric] = charts[0]["metrics"]
    assert metric["front"] == [[8.0, 210.0], [16.0, 120.0]]


def test_the_figure_has_both_panels_one_legend_and_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install 'ssdbench[figures]')")
    from ssdbench.report.figures import draw

    report = SuiteReport("rivals", "t", "rivals", ROWS)
    first, second = draw([report], tmp_path / "1"), draw([report], tmp_path / "2")
    assert [path.name for path in first] == ["rivals.png", "rivals.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_legend_is_beside_the_panels() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install 'ssdbench[figures]')")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from ssdbench.report.figures import _figure

    charts = drawings(RIVALS, gather(ROWS))
    figure = _figure([(chart, "fid") for chart in charts], 2, paper=False)
    FigureCanvasAgg(figure).draw()
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["front", "DiT-mini", "iSSD", "PD"]
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)
