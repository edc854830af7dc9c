"""Whether more steps of one training still change a distance: by a paired t test, or by intervals."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ssdbench.report.notes import table_notes
from ssdbench.report.paired import still_changing
from ssdbench.report.rows import Result, gather

from .make import make_record, make_run, make_stage


def rows(at: dict[int | None, Sequence[float]], **settings: object) -> list:
    results = []
    for step, values in at.items():
        for seed, value in enumerate(values):
            train = {"checkpoints": (50, 100)} | settings
            run = make_run("issd", seed=seed, at_step=step, train=train)
            results.append(Result(run, make_record(run, fd=value)))
    return gather(results)


def test_a_change_is_told_where_seeds_agree_on_it() -> None:
    """Differences of -10, -12, -11: mean -11, standard error 1 / sqrt(3), t = -19.05, two degrees of freedom."""
    found = rows({50: [500, 1, 1], 100: [310, 330, 350], None: [300, 318, 339]})
    [text] = still_changing(found)
    assert text == "FD(effnet-lite0) fell from 330 to 319 (3 seeds, p = 0.0027) from step 100 to 200"
    assert f"Not flat: {text} of one training." in table_notes(found, None)


def test_what_may_be_chance_is_not_told() -> None:
    # The seeds differ by far more than the mean: unpaired tests see nothing either way, the paired one tells apart.
    assert still_changing(rows({100: [310, 330, 350], None: [300, 340, 349]})) == []
    assert still_changing(rows({100: [310, 330, 350], None: [310, 330, 350]})) == []


def test_one_step_or_other_trainings_are_not_compared() -> None:
    assert still_changing(rows({100: [310, 330, 350]})) == []
    others = rows({100: [310, 330, 350]}) + rows({None: [100, 120, 141]}, lr=1e-5)
    assert still_changing(others) == []


@pytest.mark.parametrize(("half", "told"), [(1.0, True), (6.9, True), (7.2, False), (None, False)])
def test_of_one_seed_the_metrics_intervals_decide(half: float | None, told: bool) -> None:
    """10 apart: beyond the half-width of the difference, half * sqrt(2), or not."""
    results = []
    for step, value in ((100, 310.0), (None, 300.0)):
        run = make_run("issd", at_step=step, train={"checkpoints": (100,)})
        record = make_record(run, fd=value)
        score = {} if half is None else {"fd": (value - half, value + half, "given")}
        record = record.model_copy(update={"stages": {record.key: make_stage(score)}})
        results.append(Result(run, record))
    assert bool(still_changing(gather(results))) == told
