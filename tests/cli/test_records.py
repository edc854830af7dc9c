"""Records alone: what is exported of a store, and that it is reported as the store itself is."""

from __future__ import annotations

import json
from pathlib import Path

from ssdbench.plan.cost import recorded_cost, run_cost
from ssdbench.runtime.records import scored

from .conftest import Command, Filled


def test_records_alone_are_reported_as_the_store_is(
    ssdbench: Command, filled: Filled, suite: Path, workplace: Path
) -> None:
    done = ssdbench("export", "--records", "-o", "mini")
    assert (done.exit_code, "wrote 2 records to mini" in done.stderr) == (0, True)
    assert {path.name for path in (workplace / "mini").iterdir()} <= {"records", "suites", "store.json"}
    whole, alone = (ssdbench("report", suite, "--results", place) for place in ("results", "mini"))
    assert alone.exit_code == 0, alone.output
    assert alone.stdout == whole.stdout
    assert "to run again" not in alone.stdout
    pages = [
        ssdbench("report", suite, "--results", place, "--format", "csv").stdout
        for place in ("results", "mini")
    ]
    assert pages[0] == pages[1]
    compared = ssdbench("compare", "results", "mini").stdout
    assert "not comparable" not in compared
    assert "only in" not in compared


def test_nothing_of_this_machine_is_in_them(
    ssdbench: Command, filled: Filled, suite: Path, workplace: Path
) -> None:
    ssdbench("export", "--records", "-o", "mini")
    for path in (workplace / "mini").rglob("*.json"):
        assert str(workplace) not in path.read_text(encoding="utf-8"), path


def test_one_run_alone_is_added_to_what_is_there(ssdbench: Command, filled: Filled, workplace: Path) -> None:
    first, second = filled.targets
    assert ssdbench("export", first[:12], "--records", "-o", "mini").exit_code == 0
    assert [path.stem for path in (workplace / "mini/records").glob("*.json")] == [first]
    assert ssdbench("export", second[:12], "--records", "-o", "mini").exit_code == 0
    assert {path.stem for path in (workplace / "mini/records").glob("*.json")} == {first, second}


def test_what_cannot_be_exported_is_told(ssdbench: Command, filled: Filled) -> None:
    here = ssdbench("export", "--records", "-o", "results")
    assert (here.exit_code, "name another directory" in here.stderr) == (2, True)
    empty = ssdbench("export", "--records", "-o", "mini", "--results", "nothing")
    assert (empty.exit_code, "holds no record" in empty.stderr) == (2, True)
    nameless = ssdbench("export", "-o", "mini")
    assert (nameless.exit_code, "name the run" in nameless.stderr) == (2, True)


def test_a_record_holds_what_its_run_took(ssdbench: Command, filled: Filled, suite: Path) -> None:
    """In a place where earlier versions ignore it; CSV and JSON have it in columns of their own."""
    for planned in filled.graph.runs:
        assert planned.target is not None
        record = filled.store.read_record(planned.target)
        assert record is not None
        assert recorded_cost(record) == run_cost(filled.graph, planned.target)
    [row, *_] = json.loads(ssdbench("report", suite, "--json").stdout)
    assert row["cost.forward_passes"] == row["nfe"] * (2 if row["guidance.scale"] != 1 else 1)
    table = ssdbench("report", suite, "--columns", "cost,fd").stdout
    assert "Passes an image" in table
    assert "Passes an image" not in ssdbench("report", suite).stdout


def test_a_bundle_is_read_by_itself_and_again_as_results(
    ssdbench: Command, filled: Filled, suite: Path
) -> None:
    ssdbench("run", suite)
    done = ssdbench("report", suite, "--bundle", "out")
    assert (done.exit_code, done.stdout) == (0, "")
    assert {path.name for path in Path("out").iterdir()} == {
        *("index.html", "tables.md", "tables.csv", "suites", "records", "environment.json", "README.txt")
    }
    assert Path("out/suites/tiny.yaml").read_text() == suite.read_text()
    assert Path("out/tables.md").read_text() == ssdbench("report", suite).stdout
    assert "390.00" in ssdbench("report", "--results", "out").stdout
    told = json.loads(Path("out/environment.json").read_text())
    assert told["runs"]
    assert told["bundled_by"]["python"]
    files = [path for path in Path("out").rglob("*") if path.is_file() and path.suffix != ".png"]
    assert not any(str(Path.cwd()) in path.read_text() for path in files)  # no place of this machine
    again = ssdbench("report", suite, "--bundle", "out")
    assert again.exit_code == 2
    assert "--bundle out: expected a directory that is not there yet" in again.stderr


def test_export_takes_the_keys_that_run_shows(ssdbench: Command, filled: Filled) -> None:
    """Those of stages: of a training, the run that samples with its weights."""
    for kind, title in (("train", "issd"), ("score", "")):
        key = filled.stage(kind, title)
        done = ssdbench("export", key[:8], "-o", f"{kind}-weights")
        assert done.exit_code == 0, done.stderr
    config = json.loads(Path("train-weights/config.json").read_text())
    assert config["title"].startswith("train issd")
    assert ssdbench("export", "0000", "-o", "none").exit_code == 2


def test_a_row_is_told_in_a_line_as_it_is_scored(filled: Filled) -> None:
    planned = filled.graph.runs[1]
    record = filled.store.read_record(filled.targets[1])
    assert record is not None
    told = scored(record, planned)
    assert told == "dit-mini, pretrain + issd, ddim, 4 NFE, seed 0: fd 390, sfd 30, is 4"
