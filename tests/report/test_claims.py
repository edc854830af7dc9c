"""Claims: each test's rows are those of the suites that it names, and verdicts are as the rules say."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from ssdbench.cli.app import app
from ssdbench.errors import SuiteError
from ssdbench.report import claims as c
from ssdbench.report.ledger import needs, to_json, to_page, to_plan, to_table
from ssdbench.report.rows import Result, Row, gather
from ssdbench.store import Store
from ssdbench.suite import load_suite
from ssdbench.suite.find import find_claims
from tests.report.make import make_record, make_run

ROOT = Path(__file__).parents[2]
CLAIMS = c.read_claims(ROOT / "suites/claims.yaml")
OFFSETS = [0.0, 0.4, -0.3, 0.2, -0.1]


def claim(**fields: Any) -> dict[str, Any]:
    return {
        "claim": "it",
        "text": "iSSD is better",
        "family": "f",
        "expect": "lower",
        "tests": [{"left": {"variant": "issd"}, "right": {"variant": "base"}}],
        "run": "ssdbench run quick",
    } | fields


def file(*claims: dict[str, Any], seeds: int = 5) -> c.ClaimsFile:
    return c.ClaimsFile.model_validate({"seeds": seeds, "claims": list(claims)})


def rows(variant: str, fd: float, offsets: list[float], first_seed: int = 1, **settings: Any) -> list[Row]:
    """A row whose seeds are off ``fd`` by ``offsets``."""
    results = []
    for seed, off in enumerate(offsets, start=first_seed):
        run = make_run(variant, seed=seed, **settings)
        results.append(Result(run, make_record(run, fd=fd + off)))
    return gather(results)


def verdict(left: list[float], base: float = 100.0, **fields: Any) -> c.Finding:
    """Judge one claim on a base without spread and a student whose seeds are off it so."""
    measured = [*rows("base", base, [0.0] * len(left)), *rows("issd", base, left)]
    (found,) = c.judge(file(claim(**fields)), measured)
    return found


LOWER = [-3.0, -2.6, -3.3, -2.8, -3.1]
HIGHER = [-one for one in LOWER]
NOISY = [-5.0, 4.0, 1.0, -2.0, 3.0]


@pytest.mark.parametrize(
    ("left", "fields", "expected"),
    [
        (LOWER, {}, c.HOLDS),
        (HIGHER, {}, c.CONTRADICTED),
        (NOISY, {}, c.OPEN),
        (OFFSETS, {"margin": 1.0}, c.SAME),
        (NOISY, {"margin": 1.0}, c.OPEN),
        (LOWER, {"expect": "higher"}, c.CONTRADICTED),
        (LOWER, {"expect": "not lower"}, c.CONTRADICTED),
        (HIGHER, {"expect": "not lower"}, c.HOLDS),
        (OFFSETS, {"expect": "not lower", "margin": 1.0}, c.HOLDS),
        (
            OFFSETS,
            {"expect": "not lower"},
            c.OPEN,
        ),  # without a margin nothing says that there is no difference
        (OFFSETS, {"expect": "equal", "margin": 1.0}, c.HOLDS),
        (LOWER, {"expect": "equal", "margin": 1.0}, c.CONTRADICTED),
        (NOISY, {"expect": "equal", "margin": 1.0}, c.OPEN),
        (LOWER[:4], {}, c.OPEN),  # too few seeds
    ],
)
def test_verdicts(left: list[float], fields: dict[str, Any], expected: str) -> None:
    assert verdict(left, **fields).verdict == expected


def test_too_few_seeds_are_told_with_what_they_show() -> None:
    found = verdict(LOWER[:3])
    assert found.remarks == ("3 of at least 5 seeds",)
    assert found.estimate is not None
    assert found.estimate.n == 3


def test_tests_of_a_family_are_corrected_together() -> None:
    shifts = [-1.0, -2.0, -1.6, -0.3, -0.4]
    alone = verdict(shifts)
    assert alone.p_holm is not None
    assert 0.01 < alone.p_holm < 0.05
    assert alone.verdict == c.HOLDS
    measured = [*rows("base", 100, [0.0] * 5), *rows("issd", 100, shifts)]
    same = [claim(claim=f"c{i}") for i in range(5)]
    found = c.judge(file(*same), measured)
    assert [one.verdict for one in found] == [c.OPEN] * 5
    assert found[0].p_holm == pytest.approx(5 * alone.p_holm)
    # Another family is another matter, and so is a test without results.
    others = [claim(claim=f"c{i}", family=str(i)) for i in range(5)]
    assert [one.verdict for one in c.judge(file(*others), measured)] == [c.HOLDS] * 5
    missing = claim(claim="none", tests=[{"left": {"variant": "ssd"}, "right": {"variant": "base"}}])
    found = c.judge(file(claim(), missing), measured)
    assert [one.verdict for one in found] == [c.HOLDS, c.OPEN]
    assert found[1].remarks == ("not measured: variant=ssd",)


def test_means_and_differences_of_differences_are_taken_seed_by_seed() -> None:
    drift = [0.0, 50.0, -20.0, 7.0, 90.0]  # that all rows of a seed share
    measured = [
        *rows("base", 100, drift),
        *rows("issd", 90, [a + b for a, b in zip(drift, OFFSETS, strict=True)]),
        *rows("base", 80, drift, nfe=20),
        *rows("issd", 78, drift, nfe=20),
    ]
    gain = claim(
        expect="higher",
        tests=[
            {
                "left": {"variant": "base", "nfe": 10},
                "right": {"variant": "issd", "nfe": 10},
                "than": {"left": {"variant": "base", "nfe": 20}, "right": {"variant": "issd", "nfe": 20}},
            },
            {
                "left": [{"variant": "base", "nfe": 10}, {"variant": "base", "nfe": 20}],
                "right": {"variant": "issd", "nfe": 20},
            },
        ],
    )
    first, second = c.judge(file(gain), measured)
    assert first.estimate is not None
    assert first.estimate.mean == pytest.approx(8 - sum(OFFSETS) / 5)
    assert (first.left, first.right) == (pytest.approx(10 - sum(OFFSETS) / 5), pytest.approx(2))
    assert first.estimate.error == pytest.approx(c.paired(OFFSETS).error)
    assert second.estimate is not None
    assert second.estimate.mean == pytest.approx(12)


def test_rows_are_found_by_the_names_that_the_suite_wrote() -> None:
    named = {"model": "DiT-XL/2", "nfe": 50}
    measured = [*rows("base", 100, [0.0] * 5, named=named), *rows("issd", 97, OFFSETS, named=named)]
    wide = claim(rows={"model": "DiT-XL/2", "nfe": 50})
    assert c.judge(file(wide), measured)[0].verdict == c.HOLDS
    assert (
        c.judge(file(claim(rows={"nfe": 10})), measured)[0]
        .remarks[0]
        .startswith("not measured: variant=issd")
    )


def test_only_what_was_measured_alike_is_compared_and_the_most_of_it() -> None:
    few, many = {"samples": 500}, {"samples": 5000}
    base = rows("base", 100, [0.0] * 5, eval=many)
    found = c.judge(file(claim()), [*base, *rows("issd", 90, OFFSETS, eval=few)])[0]
    assert found.remarks == ("not comparable: other samples, networks or references",)
    both = [*base, *rows("base", 100, [0.0] * 5, eval=few), *rows("issd", 90, OFFSETS, eval=few)]
    assert c.judge(file(claim()), both)[0].samples == 500
    more = [*both, *rows("issd", 95, OFFSETS, eval=many)]
    found = c.judge(file(claim()), more)[0]
    assert (found.samples, round(found.left or 0)) == (5000, 95)
    unclear = [
        *base,
        *rows("issd", 95, OFFSETS, eval=many),
        *rows("issd", 95, OFFSETS, eval=many, train={"lr": 1e-3}),
    ]
    found = c.judge(file(claim()), unclear)[0]
    assert found.estimate is None
    assert "several rows are meant" in found.remarks[0]
    assert "lr 0.001" in found.remarks[0]


def test_a_test_that_says_too_little_of_its_rows_is_told() -> None:
    many = [row for i in range(110) for row in rows("issd", 95, [0.0], train={"lr": 1e-4 + i * 1e-6})]
    both = claim(tests=[{"left": {"variant": "issd"}, "right": {"variant": "issd"}}])
    assert c.judge(file(both), many)[0].remarks == ("too many rows are meant: say more of them",)


def test_trials_of_a_search_are_no_results() -> None:
    searched = {
        "name": "s",
        "keys": ["train.lambda"],
        "seeds": [100, 101],
        "trials": 9,
        "metric": "fd",
        "reference": "fashion-mnist",
    }
    held_out = rows("issd", 50, OFFSETS, eval={"half": "search"})
    assert c.judge(file(claim()), [*rows("base", 100, [0.0] * 5), *held_out])[0].estimate is None
    trial = rows("issd", 50, [0.0] * 2, first_seed=100, train={"lambda": 0.5})
    reported = rows("issd", 97, OFFSETS, train={"lambda": 0.5}, settings="s", searched=searched)
    base = [*rows("base", 100, [0.0] * 5), *rows("base", 100, [0.0] * 2, first_seed=100)]
    found = c.judge(file(claim()), [*base, *trial, *reported])[0]
    assert found.estimate is not None
    assert found.estimate.n == 5
    assert found.left == pytest.approx(97 + sum(OFFSETS) / 5)


@pytest.mark.parametrize("one", CLAIMS.claims, ids=lambda one: one.claim)
def test_every_side_is_one_row_of_the_suites_that_measure_it(one: c.Claim) -> None:
    command = shlex.split(one.run)
    assert command[:2] == ["ssdbench", "run"]
    suites, options = [], {"overrides": []}
    rest = iter(command[2:])
    for word in rest:
        if word == "--profile":
            options["profile"] = next(rest)
        elif word == "--set":
            options["overrides"].append(next(rest))
        elif word == "--only":
            options["only"] = next(rest)
        else:
            suites.append(word)
    runs = [run for suite in suites for run in load_suite(ROOT / f"suites/{suite}.yaml", **options).runs]
    known = c.known_of(Row((Result(run, make_record(run, fd=1.0)),)) for run in runs)
    shared = c.conditions(CLAIMS.rows) | c.conditions(one.rows)
    for test in one.tests:
        for contrast in filter(None, (test, test.than)):
            for side in (contrast.left, contrast.right):
                for condition in side if isinstance(side, list) else [side]:
                    wanted = shared | c.conditions(condition)
                    found = c.meeting(known, wanted)
                    assert len(found) == 1, (test.at, wanted, [row.run.mark for row in found])


def test_the_ledger_says_it_all() -> None:
    listed = file(
        claim(paper="4.92 against 12.38 (Table 2)", remark="It was tested."),
        claim(claim="q", text="Is it?", expect="higher"),
    )
    found = c.judge(listed, [*rows("base", 100, [0.0] * 5), *rows("issd", 97, OFFSETS)])
    page = to_page(listed, found, "ssdbench claims")
    assert "| [iSSD is better](#it) | **holds** |\n| [Is it?](#q) | **contradicted** |" in page
    assert "The paper: 4.92 against 12.38 (Table 2).\n" in page
    assert (
        page.index("## The paper's claims")
        < page.index("### it")
        < page.index("## Beyond the paper")
        < page.index("### q")
    )
    line = next(line for line in page.splitlines() if line.startswith("|  | 5 |"))
    assert [cell.strip() for cell in line.split("|")[2:5]] == ["5", "97.0", "100.0"]
    assert "It was tested." in page
    # Names are honest: FID is said of its own network alone.
    assert "| FD(effnet-lite0) ↓: difference |" in page
    assert "Rows of 2,000 samples against fashion-mnist." in page
    (it, q) = json.loads(to_json(listed, found))
    assert (it["verdict"], q["verdict"]) == (c.HOLDS, c.CONTRADICTED)
    assert it["tests"][0]["n"] == 5
    assert it["metric"] == "fd"
    table = to_table(listed, found)
    assert table is not None
    titles = [section.title for section in table.sections]
    assert titles == [
        "iSSD is better (the paper: 4.92 against 12.38 (Table 2)): holds. FD(effnet-lite0) ↓",
        "Is it?: contradicted. FD(effnet-lite0) ↓",
    ]
    assert [cell.text for cell in table.sections[0].lines[0]][:4] == ["all", "5", "97.0", "100.0"]
    assert to_table(listed, c.judge(listed, [])) is None


def test_the_plan_names_seeds_and_samples_that_would_do() -> None:
    listed = file(claim())
    spread = [-1.0, -2.0, 0.0, 1.0, -3.0]  # d = 0.63: 23 pairs for 80 % (G*Power)
    found = c.judge(listed, [*rows("base", 100, [0.0] * 5), *rows("issd", 100, spread)])
    (need,) = needs(listed, found)
    assert need.spread == pytest.approx(2.5**0.5)
    assert need.seeds == 22
    assert need.samples is not None
    effect = 1 / need.spread * (need.samples / 2000) ** 0.5
    assert effect == pytest.approx(need.least / need.spread, rel=1e-3)
    text = to_plan(listed, found)
    assert "| it |  | 5 | -1.0 | 1.6 | 22 |" in text
    assert "0 of 1 tests have no two seeds yet; 1 are open" in text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"expect": "lowest"}, "claims.yaml:.*expect"),
        ({"expect": "equal"}, "equal needs a margin"),
        ({"tests": [{"left": {"variannt": "x"}, "right": {"variant": "base"}}]}, "variant"),
        ({"tests": []}, "at least 1"),
    ],
)
def test_mistakes_are_located(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(json.dumps({"claims": [claim(**fields)]}, indent=1))
    with pytest.raises(SuiteError, match=message):
        c.read_claims(path)
    path.write_text(json.dumps({"claims": [claim(), claim()]}, indent=1))
    with pytest.raises(SuiteError, match=r"claims.yaml:\d+:\d+: claim: 'it' is the name of another"):
        c.read_claims(path)


PAGE, RECORDS = ROOT / "docs/claims.md", ROOT / "results/mini"


@pytest.mark.skipif(not (RECORDS / "records").is_dir(), reason="no records are committed yet")
def test_the_page_is_what_the_command_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, ["claims", "--results", "results/mini"])
    assert result.exit_code == 0, result.output
    assert result.stdout == PAGE.read_text(encoding="utf-8")


def test_the_command_judges_a_directory_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "results")
    for row in [*rows("base", 100, [0.0] * 5), *rows("issd", 97, OFFSETS)]:
        for record in row.records:
            store.write_record(record)
    Path("mine.yaml").write_text(yaml.safe_dump({"claims": [claim()]}))
    runner = CliRunner()
    page = runner.invoke(app, ["claims", "mine.yaml"])
    assert page.exit_code == 0, page.output
    assert "iSSD is better: **holds**." in page.stdout
    assert "Written by\n`ssdbench claims mine.yaml --results results`" in page.stdout
    told = json.loads(runner.invoke(app, ["claims", "mine.yaml", "--json"]).stdout)
    assert told[0]["tests"][0]["p"] < 0.001
    plan = runner.invoke(app, ["claims", "mine.yaml", "--plan", "--seeds", "7"]).stdout
    assert "samples at 7 seeds" in plan
    refused = runner.invoke(app, ["claims", "mine.yaml", "--seeds", "7"])
    assert (refused.exit_code, "--seeds goes with --plan" in refused.stderr) == (2, True)
    assert runner.invoke(app, ["claims", "--results", "nowhere"]).exit_code == 2
    # The paper's claims, of which none was measured here, are all open.
    assert {one["verdict"] for one in json.loads(runner.invoke(app, ["claims", "--json"]).stdout)} == {c.OPEN}


def test_claims_are_no_suite() -> None:
    from ssdbench.suite import list_suites

    assert "claims" not in list_suites()
    assert find_claims().name == "claims.yaml"
