"""Grids that begin far below pure noise are told of before the work, and beside its results."""

from __future__ import annotations

from pathlib import Path

from ssdbench.store.record import Record
from tests.cli.conftest import SUITE, Command, fill

TOLD = (
    "sampling starts at timestep 750 of grid 'leading', below 900, though from pure noise, which belongs to timestep"
    " 999 (grids that fit: even, trailing, quadratic, cubic, logsnr, karras)"
)


def test_the_verbs_that_work_and_those_that_show_tell_of_it(ssdbench: Command, workplace: Path) -> None:
    suite = workplace / "tiny.yaml"
    suite.write_text(SUITE.replace("  nfe: 4\n", "  nfe: 4\n  grid: leading\n"))
    note = f"tiny.yaml:13:5: nfe: {TOLD}; so of 1 more row\n"
    for verb in ("validate", "plan", "run"):
        arguments = ("--dry-run",) if verb == "run" else ()
        result = ssdbench(verb, suite, *arguments)
        assert (result.exit_code, result.stderr.count(note)) == (0, 1), verb
    filled = fill(workplace / "results", suite)
    assert ssdbench("report", suite).stdout.count(TOLD) == 1
    result = ssdbench("grid", f"mine={filled.targets[0]}", "-o", "out.png")
    assert (result.exit_code, result.stderr) == (0, f"mine: {TOLD}\n")


def test_a_record_of_before_says_that_its_noise_was_taken_for_a_sample(
    ssdbench: Command, workplace: Path
) -> None:
    suite = workplace / "tiny.yaml"
    suite.write_text(SUITE)
    filled = fill(workplace / "results", suite)
    record = filled.store.read_record(filled.targets[0])
    assert isinstance(record, Record)
    old = record.model_copy(update={"run": {**record.run, "nfe": 1}})
    (path,) = (workplace / "results").rglob(f"records/{record.key}.json")
    path.write_text(old.model_dump_json())
    told = "grid 'even' has no timestep above 0 with 1"
    result = ssdbench("grid", record.key, "-o", "out.png")
    assert (result.exit_code, told in result.stderr) == (0, True), result.stderr
    result = ssdbench("compare", "results", "results")
    assert result.exit_code == 0
