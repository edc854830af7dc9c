"""A layout of the user's own, as docs/extending.md writes it: from YAML to the table, the page and `list`."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ssdbench.errors import InputError, SuiteError
from ssdbench.layouts import FIELDS, LAYOUTS, PLAIN, Field, Layout, field_of
from ssdbench.report.build import build
from ssdbench.report.columns import choose_columns
from ssdbench.report.document import SuiteReport
from ssdbench.report.figures import draw
from ssdbench.report.rows import Result, gather
from ssdbench.suite import load_suite
from tests.report.make import make_record, make_run

from . import pages

FILES = ("shapes.py", "speed.yaml")
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worked example, and what an installation of it as a package leaves: entry points."""
    folder = tmp_path_factory.mktemp("layout")
    pages.write(folder, *FILES)
    package = folder / "site/shapes-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: shapes\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[ssdbench]\nspeed = shapes:SPEED\n")
    return folder


def ssdbench(folder: Path, *arguments: str, offered: bool = False) -> str:
    path = os.environ.get("PYTHONPATH", "")
    if offered:
        path = os.pathsep.join([str(folder / "site"), str(folder), path])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ssdbench", *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_it_goes_from_yaml_to_the_table_and_the_page(workplace: Path) -> None:
    table = ssdbench(workplace, "run", "speed.yaml")
    [header] = [line for line in table.splitlines() if "ms an image" in line]
    places = [header.index(text) for text in ("Model", "NFE", "ms an image", "FD(effnet-lite0)", "IS")]
    assert places == sorted(places)
    assert "Prec." not in header  # a standard metric that the layout does not list
    rows = [line.replace(" ", "").split("|") for line in table.splitlines() if line.startswith("| DiT-mini")]
    assert [row[2] for row in rows] == ["4", "2"]
    assert all(float(row[3]) > 0 for row in rows)

    page = ssdbench(workplace, "report", "speed.yaml", "--format", "html")
    assert "ms an image" in page
    chosen = ssdbench(
        workplace, "report", "speed.yaml", "--format", "text", "--columns", "ms an image,recall"
    )
    assert "FD(effnet-lite0)" not in chosen
    assert "ms an image" in chosen


def test_an_installed_package_offers_it_by_name(workplace: Path) -> None:
    listed = ssdbench(workplace, "list", "layouts", offered=True)
    assert re.search(r"speed +quality beside the time of sampling, by falling NFE", listed)
    assert "speed" not in ssdbench(workplace, "list", "layouts")
    assert '"speed"' in ssdbench(workplace, "schema", offered=True)
    text = (workplace / "speed.yaml").read_text().replace('"shapes:SPEED"', "speed")
    (workplace / "offered.yaml").write_text(text)
    ssdbench(workplace, "validate", "offered.yaml", offered=True)


@pytest.mark.parametrize(
    ("name", "declared", "expected"),
    [
        ("SPEEDY", "", "'SPEEDY' is not in the module '{module}', expected a ssdbench.layouts.Layout"),
        ("milliseconds", "", "'milliseconds' is function, expected a ssdbench.layouts.Layout"),
        (
            "X",
            "X = Layout(name='x', help='', fields=('nfee',))",
            "importing '{module}' failed: InputError: layout 'x': unknown column 'nfee'; known: method, model, ",
        ),
        (
            "X",
            "X = Layout(name='x', help='', fields=(), sections='groups')",
            "importing '{module}' failed: InputError: layout 'x': unknown column 'groups'; known: ",
        ),
        (
            "X",
            "X = Layout(name='x', help='', fields=(), metrics=('fidd',))",
            "importing '{module}' failed: InputError: layout 'x': unknown metric 'fidd'; known: fid, sfid, is, ",
        ),
        (
            "X",
            "X = Layout(name='x', help='', fields=(), order='rows')",
            "importing '{module}' failed: InputError: layout 'x': unknown order 'rows'; known: suite, nfe",
        ),
    ],
)
def test_what_is_wrong_is_located(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, declared: str, expected: str
) -> None:
    pages.write(tmp_path, *FILES)
    module = f"shapes_{next(NUMBERS)}"
    (tmp_path / f"{module}.py").write_text(f"{(tmp_path / FILES[0]).read_text()}\n{declared}\n")
    suite = (tmp_path / "speed.yaml").read_text().replace("shapes:SPEED", f"{module}:{name}")
    (tmp_path / "speed.yaml").write_text(suite)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SuiteError) as failure:
        load_suite(tmp_path / "speed.yaml")
    [problem] = failure.value.problems
    assert f"speed.yaml:3:9: layout: {module}:{name}: {expected.format(module=module)}" in problem


def test_every_column_that_a_layout_can_name_shows_something() -> None:
    [row] = gather([Result(make_run("issd"), make_record(make_run("issd"), fd=1.0))])
    for name, found in FIELDS.items():
        text = field_of(name).text(row)
        assert isinstance(text, str)
        assert text or name == "group"
        assert found.title([text])
    with pytest.raises(InputError, match="has no function"):
        assert Field("x", "ssdbench.report.fields:no_such").text


def test_a_layouts_own_columns_stand_side_by_side_and_head_sections() -> None:
    runs = [make_run(variant, nfe=nfe) for variant in ("base", "issd") for nfe in (5, 10)]
    rows = gather(Result(run, make_record(run, fd=float(run.nfe))) for run in runs)
    trained = Field("Trained", lambda row: "yes" if row.run.variant == "issd" else "no")
    few = Field("Few", lambda row: "few" if row.run.nfe < 8 else "many")
    layout = Layout(
        name="x", help="", fields=(), metrics=("fid",), sides=trained, sections=few, order="suite"
    )
    table = build(rows, layout, name="x", title="x")
    assert [column.side for column in table.columns[1:]] == ["no", "yes"]
    assert [section.title for section in table.sections] == ["few", "many"]
    assert [[cell.text for cell in line[1:]] for s in table.sections for line in s.lines] == [
        ["5.00", ""],
        ["", "5.00"],
        ["10.00", ""],
        ["", "10.00"],
    ]


@pytest.mark.parametrize(
    ("show", "expected"),
    [
        (lambda row: row.run.no_such, "failed: AttributeError: "),
        (lambda row: row.run.nfe, "returned int, expected text"),
    ],
)
def test_a_column_that_fails_is_named_with_its_row(show: Any, expected: str) -> None:
    layout = Layout(name="x", help="", fields=(Field("Mine", show),))
    with pytest.raises(InputError, match=f"the column 'Mine' of suite.yaml:3:5: {expected}"):
        build(gather([Result(make_run("base"))]), layout, name="x", title="x")


def test_chosen_columns_may_be_a_layouts_own() -> None:
    own = Field("Own", lambda row: "x", numeric=True)
    layout = Layout(name="x", help="", fields=("nfe", own), metrics=("fid",))
    chosen = choose_columns(layout, ["precision", "Own"])
    assert (chosen.fields, chosen.metrics) == ((own,), ("precision",))
    assert choose_columns(PLAIN, []) is PLAIN


def test_a_suite_of_which_nothing_is_drawn_makes_no_figure(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    runs = [make_run("base", nfe=nfe) for nfe in (5, 10)]
    results = tuple(Result(run, make_record(run, kid=0.1)) for run in runs)
    assert draw([SuiteReport("s", "s", LAYOUTS["plain"].name, results)], tmp_path) == []
