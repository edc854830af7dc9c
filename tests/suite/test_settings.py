"""Settings that a search chose: what a row takes of them, and what is wrong with a file or a row is located."""

from __future__ import annotations

import pytest

from ssdbench.errors import SuiteError
from ssdbench.suite import ResolvedRun, load_suite

from .conftest import Write

SUITE = """\
suite: x
defaults:
  model: dit-mini
  nfe: 10
  resolution: 32
  settings: tuned
  train: {steps: 200, lr: 1.0e-4, fuse: all}
  eval: {samples: 16, reference: fashion-mnist, network: effnet-lite0}
seeds: [1, 2]
runs:
"""
TUNED = """\
settings: tuned
chosen:
- when: {model: dit-mini, variant: issd, nfe: 10}
  set: {train: {lambda: 0.4, fuse: last}}
  search: &search
    suite: x
    over: {train.lambda: "0.1:0.9", train.fuse: [last, all]}
    chooser: tpe
    goal: minimise
    metric: fd
    reference: fashion-mnist, half search
    samples: 16
    seeds: [100, 101]
    value: 300.0
    spent: {trials: 2, runs: 4, stages: 9, hours: 0.1}
    trials:
    - {set: {train.lambda: 0.4, train.fuse: last}, values: [299.0, 301.0], mean: 300.0}
    - {set: {train.lambda: 0.8, train.fuse: all}, values: [400.0, null], mean: null, error: not finite}
- when: {model: dit-mini, variant: ssd, nfe: 10}
  set: {train: {lambda: 0.7}}
  search: *search
"""


def runs(write: Write, *rows: str, tuned: str = TUNED, **options: object) -> list[ResolvedRun]:
    write(tuned, "settings/tuned.yaml")
    path = write(SUITE + "".join(f"  - {row}\n" for row in rows))
    return load_suite(path, **options).runs  # type: ignore[arg-type]


def problems(write: Write, *rows: str, tuned: str = TUNED, **options: object) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        runs(write, *rows, tuned=tuned, **options)
    return caught.value.problems


def test_they_lie_over_the_defaults_that_name_them_and_tell_where_they_come_from(write: Write) -> None:
    issd, _, ssd, _, base, _ = runs(write, "{variant: issd}", "{variant: ssd}", "{variant: base}")
    assert (issd.train.lambda_, issd.train.fuse) == (0.4, "last")
    assert issd.searched is not None
    assert issd.searched.model_dump(mode="json") == {
        "name": "tuned",
        "keys": ["train.lambda", "train.fuse"],
        "seeds": [100, 101],
        "trials": 2,
        "metric": "fd",
        "reference": "fashion-mnist, half search",
    }
    assert (ssd.train.lambda_, ssd.train.fuse) == (0.7, "all")
    assert (base.train.lambda_, base.searched) == (None, None)  # what trains nothing needs none


def test_what_a_row_or_an_option_gives_stays(write: Write) -> None:
    own, _ = runs(write, "{variant: issd, train: {lambda: 0.2}}")
    assert (own.train.lambda_, own.train.fuse) == (0.2, "last")
    assert own.searched is not None
    assert own.searched.keys == ("train.fuse",)
    share, _ = runs(write, "{variant: issd, train: {share: 0.2}}")
    assert (share.train.lambda_, share.train.share) == (None, 0.2)
    option, _ = runs(write, "{variant: issd}", overrides=["train.fuse=[1]"])
    assert (option.train.lambda_, option.train.fuse) == (0.4, (1,))
    none, _ = runs(write, "{variant: issd, settings: null}")
    assert (none.train.lambda_, none.searched) == (None, None)
    # Of settings that are not taken, no seed is refused.
    all_own = "{variant: issd, train: {lambda: 0.2, fuse: all}}"
    assert runs(write, all_own, seed=100)[0].searched is None


def test_a_profile_fills_in_nothing_that_they_give(write: Write) -> None:
    (run, _) = runs(write, "{variant: issd}", profile="mini")
    assert (run.train.lambda_, run.train.fuse) == (0.4, "last")  # the profile would name others


def test_a_profile_can_name_them(write: Write) -> None:
    write(TUNED, "settings/tuned.yaml")
    own = "profile: own\nextends: mini\nrules:\n  - {when: {variant: issd}, set: {settings: tuned}}\n"
    write(own, "profiles/own.yaml")
    path = write(SUITE.replace("  settings: tuned\n", "") + "  - {variant: issd}\n  - {variant: ssd}\n")
    issd, _, ssd, _ = load_suite(path, profile="own").runs
    assert (issd.train.lambda_, ssd.settings) == (0.4, "mini")  # which is what mini says itself


def test_they_are_found_by_a_path_and_through_an_option(write: Write) -> None:
    write(TUNED, "elsewhere/tuned.yaml")
    path = write(SUITE.replace("  settings: tuned\n", "") + "  - {variant: issd}\n")
    (run, _) = load_suite(path, overrides=["settings=elsewhere/tuned.yaml"]).runs
    assert run.train.lambda_ == 0.4


def test_seeds_that_chose_them_are_refused(write: Write) -> None:
    assert problems(write, "{variant: issd, seeds: [1, 101]}") == [
        "x.yaml:11:28: seeds: seed 101 chose the settings 'tuned': report on others"
    ]
    assert problems(write, "{variant: issd}", seed=100) == [
        "--seed 100: seeds: seed 100 chose the settings 'tuned': report on others"
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            "{variant: continual}",
            "x.yaml:6:13: settings: 'tuned' (settings/tuned.yaml) has nothing for the row at x.yaml:11:5"
            " (dit-mini, continual, 10 NFE): search it too, or give the row 'settings: null'",
        ),
        (
            "{variant: issd, settings: tunde}",
            "x.yaml:11:31: settings: there are no settings 'tunde' (did you mean 'tuned'?)",
        ),
        (
            "{variant: issd, settings: tuned, train: {lambda: 0.3, fuse: last}}",
            "x.yaml:11:54: train.lambda: settings 'tuned' (settings/tuned.yaml) give it too: leave one out",
        ),
    ],
)
def test_what_does_not_fit_is_located(row: str, expected: str, write: Write) -> None:
    assert expected in problems(write, row)


def test_what_is_wrong_in_the_file_is_located_there(write: Write) -> None:
    wrong = TUNED.replace("settings: tuned", "settings: other").replace("goal: minimise", "gaol: minimise")
    found = problems(
        write, "{variant: issd}", tuned=wrong.replace("lambda: 0.7}", "lambda: 1.7}, seeds: [1]")
    )
    assert "settings/tuned.yaml:1:11: settings: must be the file's name 'tuned', not 'other'" in found
    assert any("unknown key (did you mean 'goal'?)" in one for one in found)
    assert any(one.startswith("settings/tuned.yaml:20:") and "at most 1" in one for one in found)
    assert "settings/tuned.yaml:20:31: seeds: is nothing to choose" in found
    impossible = TUNED.replace("fuse: last}}\n  search", "fuse: [77]}}\n  search")
    (found_here,) = problems(write, "{variant: issd}", tuned=impossible)
    assert found_here.startswith("settings/tuned.yaml:4:36: train.fuse:")


def test_two_entries_for_a_row_are_none(write: Write) -> None:
    twice = TUNED.replace("variant: ssd, nfe", "variant: issd, nfe")
    (found,) = problems(write, "{variant: issd}", tuned=twice)
    assert found.endswith(
        "has several entries for the row at x.yaml:11:5: settings/tuned.yaml:3:3 and settings/tuned.yaml:19:3"
    )
