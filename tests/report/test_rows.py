from __future__ import annotations

import math

import pytest

from ssdbench.report.notes import protocol, row_notes
from ssdbench.report.published import paper_tables
from ssdbench.report.rows import NOT_RUN, Measured, Reason, Result, Row, gather
from tests.report.make import make_record, make_run


def test_mean_and_sample_standard_deviation_by_hand() -> None:
    # deviations -3, 0, 3: sum of squares 18, over n - 1 = 2 is 9, its root 3
    assert Measured.over([7.0, 10.0, 13.0]) == Measured(10.0, 3.0, 3)
    assert Measured.over([4.5]) == Measured(4.5, None, 1)


def test_a_value_that_is_not_finite_is_not_averaged_away() -> None:
    measured = Measured.over([1.0, math.nan])
    assert math.isnan(measured.mean)
    assert measured.spread is None


def test_seeds_of_one_setting_are_one_row_and_other_settings_are_not() -> None:
    runs = [make_run(seed=0), make_run(seed=1), make_run(nfe=20), make_run(train={"steps": 201})]
    rows = gather(Result(run) for run in runs)
    assert [[result.run.seed for result in row.results] for row in rows] == [[0, 1], [0], [0]]


def test_place_in_the_file_does_not_split_a_row() -> None:
    first = make_run(seed=0)
    second = make_run(seed=1, mark={"file": "suite.yaml", "line": 9, "column": 1})
    assert len(gather([Result(first), Result(second)])) == 1


def test_metrics_of_a_row_are_over_the_seeds_that_have_a_record() -> None:
    runs = [make_run(seed=seed) for seed in range(3)]
    results = [
        Result(runs[0], make_record(runs[0], fd=100.0, recall=0.5)),
        Result(runs[1], reason=Reason("failed", "loss is not finite")),
        Result(runs[2], make_record(runs[2], fd=104.0, recall=0.5)),
    ]
    (row,) = gather(results)
    assert row.metrics["fid"].mean == 102.0
    assert row.metrics["fid"].spread == pytest.approx(math.sqrt(8.0))
    assert row.metrics["fid"].n == 2
    assert "is" not in row.metrics
    assert row.reasons == (Reason("failed", "loss is not finite"),)


def test_a_run_without_record_or_reason_was_not_run() -> None:
    (row,) = gather([Result(make_run())])
    assert row.reasons == (NOT_RUN,)
    assert row.records == ()


def test_an_earlier_executions_number_and_what_could_not_be_computed_are_said() -> None:
    runs = [make_run(seed=seed) for seed in range(2)]
    missing = {"precision": "no features", "recall": "no features", "sfd": "no moments"}
    results = [
        Result(runs[0], make_record(runs[0], fd=100.0, missing=missing)),
        Result(runs[1], make_record(runs[1], fd=104.0), Reason("failed: no memory", "train issd")),
    ]
    (row,) = gather(results)
    assert row.metrics["fid"].n == 2
    assert row.reasons == ()
    assert row_notes(row) == [
        "1 of 2 seeds from an earlier execution; failed: no memory; train issd",
        "no precision, recall: no features",
        "no sfd: no moments",
    ]
    (alone,) = gather([Result(runs[0], make_record(runs[0], fd=1.0), Reason("running"))])
    assert row_notes(alone) == ["from an earlier execution; running"]


def paper_run(**settings: object) -> object:
    defaults = {
        "model": "DiT-XL/2",
        "resolution": 256,
        "scale": "paper",
        "eval": {"samples": 50_000, "reference": "imagenet-256", "network": "inception"},
    }
    return make_run(**(defaults | settings))


def test_published_figures_stand_beside_a_row_at_paper_scale() -> None:
    (row,) = gather([Result(paper_run(variant="issd"))], paper_tables()["table2"])
    assert row.figure("fid") == "4.92"
    assert row.figure("recall") == "0.53"
    assert row.published is not None
    assert row.published.epochs == "1400 + 0.8"


@pytest.mark.parametrize(
    "change",
    [
        {"scale": "mini"},
        {"sampler": "ab2"},
        {"nfe": 11},
        {"variant": "continual"},
        {"data": "synthetic-10"},
        {"model": "DiT-L/2"},
    ],
)
def test_no_published_figures_for_anything_else(change: dict[str, object]) -> None:
    (row,) = gather([Result(paper_run(**change))], paper_tables()["table2"])
    assert row.published is None
    assert row.figure("fid") is None


def test_published_fid_is_not_shown_for_another_network() -> None:
    evaluation = {"samples": 50_000, "reference": "imagenet-256", "network": "effnet-lite0"}
    (row,) = gather([Result(paper_run(eval=evaluation))], paper_tables()["table2"])
    assert row.published is not None
    assert row.figure("fid") is None
    assert row.figure("is") is None


@pytest.mark.parametrize(("off", "told"), [((0.61, 0.68), "within 1 of"), ((0.05, 3.2), "within 5 of")])
def test_a_lower_precision_is_told_with_what_it_costs(off: tuple[float, ...], told: str) -> None:
    stage = {"kind": "sample", "title": "s", "seconds": 1, "peak_rss_mb": 1, "cached": False, "device": "cpu"}
    stage |= {"digest": "0" * 64, "threads": 1, "sources": "0" * 64}
    results = []
    for seed, value in enumerate(off):
        run = make_run(seed=seed, dtype="bfloat16")
        stages = {"1" * 64: stage | {"facts": {"nfe": 10, "bfloat16_rms": value}}}
        results.append(Result(run, make_record(run, fd=3.0, stages=stages)))
    sentence, others = protocol(gather(results), [None])
    assert f"bfloat16 (images {told} 255 grey levels of float32's, root mean square)" in sentence
    assert not others


def test_the_classes_that_are_sampled_are_told_unless_all_are_drawn_at_random() -> None:
    def rows(*labels: str) -> list[Row]:
        runs = [make_run(labels=one, label=str(i)) for i, one in enumerate(labels)]
        return gather([Result(run, make_record(run, fd=3.0)) for run in runs])

    assert "labels" not in protocol(rows("random", "random"), [None] * 2)[0]
    assert "; balanced labels;" in protocol(rows("balanced"), [None])[0]
    sentence, others = protocol(rows("random", "random", "lists/a.txt"), [None] * 3)
    assert "; random labels;" in sentence
    assert others == {2: ["labels of a.txt"]}


def test_what_stages_have_to_tell_of_their_data_stands_under_the_table() -> None:
    stage = {"seconds": 1, "peak_rss_mb": 1, "cached": False, "device": "cpu", "threads": 1}
    stage |= {"digest": "0" * 64, "sources": "0" * 64}
    facts = {"notes": ["2 images are odd"]}
    stages = {
        str(i) * 64: stage | {"kind": kind, "title": f"{kind} x", "facts": facts}
        for i, kind in enumerate(("encode", "reference", "sample"))
    }
    runs = [make_run(seed=seed) for seed in (0, 1)]
    (row,) = gather([Result(run, make_record(run, fd=3.0, stages=stages)) for run in runs])
    assert row_notes(row)[-2:] == ["encode x: 2 images are odd", "reference x: 2 images are odd"]
