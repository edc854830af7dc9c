"""Which rows make which curves, and the files that they are drawn into."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssdbench.report.curves import charts
from ssdbench.report.document import SuiteReport
from ssdbench.report.rows import Result, Row, gather
from tests.report.make import make_record, make_run


def rows(*runs: tuple[str, float, dict]) -> list[Row]:
    made = [(make_run(variant, **settings), fd) for variant, fd, settings in runs]
    return gather([Result(run, make_record(run, fd=fd)) for run, fd in made])


def curves(found: list[Row]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    return {
        chart.axis: {
            series.name: [(x, values["fid"].mean) for x, values in series.points] for series in chart.series
        }
        for chart in charts(found)
    }


def test_quality_against_evaluations_in_order_of_them() -> None:
    found = rows(
        ("base", 3.0, {"nfe": 20}),
        ("base", 5.0, {"nfe": 10}),
        ("issd", 4.0, {"nfe": 10}),
        ("issd", 2.0, {"nfe": 20}),
        ("ssd", 1.0, {"nfe": 10}),  # a single place is no curve
    )
    assert curves(found) == {"NFE": {"DiT-mini": [(10, 5), (20, 3)], "iSSD": [(10, 4), (20, 2)]}}


def test_a_chain_of_halvings_is_one_curve() -> None:
    steps = {"pd_steps": 100}
    found = rows(
        ("pd 20-10", 4.0, {"nfe": 10, "train": steps}), ("pd 20-10-5", 6.0, {"nfe": 5, "train": steps})
    )
    assert curves(found) == {"NFE": {"PD": [(5, 6), (10, 4)]}}


def test_under_a_heading_a_lambda_of_its_own_at_each_nfe_is_one_curve() -> None:
    def at(nfe: int, lam: float, **more: str) -> tuple[str, float, dict]:
        return "issd", nfe + lam, {"nfe": nfe, "train": {"lambda": lam}, **more}

    chain = rows(at(5, 0.1, group="a"), at(10, 0.5, group="a"), at(20, 0.5, group="a"))
    assert curves(chain) == {"NFE": {"iSSD": [(5, 5.1), (10, 10.5), (20, 20.5)]}}
    assert curves(rows(at(5, 0.1), at(10, 0.5), at(20, 0.5))) == {"NFE": {"iSSD": [(10, 10.5), (20, 20.5)]}}
    twice = rows(*(at(nfe, lam, group="a") for nfe in (10, 20) for lam in (0.1, 0.5)))
    assert len(curves(twice)["NFE"]) == 2


def test_a_sampler_that_mixes_has_a_curve_for_each_weight() -> None:
    found = rows(
        *(
            ("base", nfe + lam, {"nfe": nfe, "sampler": "issd-limit", "train": {"lambda": lam}})
            for nfe in (5, 10)
            for lam in (0.2, 0.45)
        )
    )
    points = curves(found)["NFE"].values()
    assert sorted(points) == [[(5, 5.2), (10, 10.2)], [(5, 5.45), (10, 10.45)]]


def test_lambda_with_the_base_as_a_level() -> None:
    found = rows(
        ("base", 9.0, {"train": {"steps": 7}}),
        *(("ssd", 1.0 + lam, {"train": {"lambda": lam}}) for lam in (0.5, 0.1)),
        *(("issd", lam, {"train": {"lambda": lam, "lambda_weights": "t"}}) for lam in (0.1, 0.5)),
    )
    (chart,) = charts(found)
    assert chart.axis == "λ"
    assert [[x for x, _ in series.points] for series in chart.series] == [[0.1, 0.5], [0.1, 0.5], []]
    level = chart.series[2].level
    assert level is not None
    assert level["fid"].mean == 9.0


def test_figure_4b_names_single_steps_and_has_all_of_them_as_a_level() -> None:
    found = rows(
        ("issd", 5.0, {"train": {"pairs": [2]}, "label": "t = 111"}),
        ("issd", 6.0, {"train": {"pairs": [1]}, "label": "t = 0"}),
        ("issd", 4.0, {"train": {"pairs": [1, 2]}, "label": "all steps"}),
    )
    (chart,) = charts(found)
    assert chart.ticks == ((1.0, "t = 0"), (2.0, "t = 111"))
    assert [series.name for series in chart.series] == ["iSSD", "all steps"]


def test_what_is_measured_in_other_ways_is_not_drawn_together() -> None:
    found = rows(("base", 3.0, {"nfe": 20}), ("base", 5.0, {"nfe": 10, "guidance": {"scale": 1.5}}))
    assert charts(found) == []
    assert charts(gather([Result(make_run("base", nfe=nfe)) for nfe in (5, 10)])) == []  # nothing measured


def test_figures_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install 'ssdbench[figures]')")
    from ssdbench.report.figures import draw

    results = [
        Result(run, make_record(run, fd=5.0 / run.nfe, **{"is": 4.0}))
        for run in (make_run(variant, nfe=nfe) for variant in ("base", "issd") for nfe in (5, 10))
    ]
    report = SuiteReport("a/b", "t", "plain", tuple(results))
    first = draw([report], tmp_path / "1")
    assert [path.name for path in first] == ["a-b.png", "a-b.svg"]
    second = draw([report], tmp_path / "2")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    svg = first[1].read_text()
    assert svg.count("<svg") == 1
    assert first[0].read_bytes().startswith(b"\x89PNG")
