"""A training method of the user's own, from YAML to the table and the page: the worked example of docs/extending.md."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ssdbench.errors import SuiteError
from ssdbench.suite import load_suite

from . import pages

NUMBERS = itertools.count()
FILES = ("guided.py", "guided_loss.py", "guided.yaml")


def ssdbench(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ssdbench", *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "200"},
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-3000:]
    return done


@pytest.mark.slow
def test_it_goes_from_yaml_to_the_table_and_the_page(tmp_path: Path) -> None:
    pages.write(tmp_path, *FILES)
    done = ssdbench(tmp_path, "run", "guided.yaml")
    found = [json.loads(path.read_text()) for path in (tmp_path / "results/records").glob("*.json")]
    rows = {(r["run"]["variant"], *r["run"]["train"]["settings"].values()): r for r in found}
    own = "guided:GUIDED"
    assert set(rows) == {("base",), (own,), (own, 3.0), (f"{own} + issd",)}
    assert len({r["metrics"]["fd"] for r in found}) == 4  # the method, its setting and what follows it matter
    [training] = [stage for stage in rows[own,]["stages"].values() if stage["kind"] == "train"]
    assert training["facts"]["frozen_forwards"] == 2 * 20 * 8
    assert training["facts"]["student_forwards"] == 20 * 8
    table = " ".join(done.stdout.split())
    assert "+ Guided + iSSD" in table
    assert "Guided: scale = 3.0" in table

    page = ssdbench(tmp_path, "report", "guided.yaml", "--format", "html").stdout
    assert "+ Guided" in page
    assert "0 stages run" in ssdbench(tmp_path, "run", "guided.yaml").stderr

    # The sources of the declaration and of the body are identity, and only of what they trained.
    for name in FILES[:2]:
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(f"{text}\n# changed\n")
        plan = ssdbench(tmp_path, "plan", "guided.yaml").stdout
        assert len(re.findall(r"train guided:GUIDED .*run", plan)) == 2
        assert re.search(r"train issd .*run", plan)
        assert not re.search(r"encode .*run", plan)
        (tmp_path / name).write_text(text)
    assert "0 stages run" in ssdbench(tmp_path, "run", "guided.yaml").stderr

    # Its records can be read where the method is not; its suite needs it, and says so with the place.
    (tmp_path / "guided.py").rename(tmp_path / "elsewhere.py")
    assert "dit-mini, guided:GUIDED, ddim" in ssdbench(tmp_path, "compare", "results", "results").stdout
    failed = ssdbench(tmp_path, "report", "guided.yaml", code=2)
    assert "guided.yaml:13:15: variant: guided:GUIDED: the module 'guided' cannot be found" in failed.stderr


def test_an_installed_package_offers_it_by_name(tmp_path: Path) -> None:
    pages.write(tmp_path, *FILES)
    package = tmp_path / "site" / "guided-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: guided\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[ssdbench]\nguided = guided:GUIDED\n")
    text = (tmp_path / "guided.yaml").read_text().replace('"guided:GUIDED"', "guided")
    (tmp_path / "guided.yaml").write_text(text.replace('"guided:GUIDED + issd"', "guided + issd"))
    script = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}, {str(tmp_path)!r}]\n"
        "from ssdbench.cli.app import main; sys.argv[0] = 'ssdbench'; main()"
    )

    def installed(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert re.search(r"guided +guidance distillation with a moving average", installed("list", "variants"))
    assert re.search(r"train guided 20 steps", installed("plan", "guided.yaml"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plug-in under names that no other test imports."""
    pages.write(tmp_path, *FILES)
    name = f"g{next(NUMBERS):05}"  # as long as guided, so that columns are those of the page
    (tmp_path / "guided.py").rename(tmp_path / f"{name}.py")
    (tmp_path / "name").write_text(name)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def problems(folder: Path, row: str, declaration: str = "") -> list[str]:
    name = (folder / "name").read_text()
    if declaration:
        with (folder / f"{name}.py").open("a") as file:
            file.write(f"\n{declaration}\n")
    head = (folder / "guided.yaml").read_text().split("runs:")[0]
    (folder / "x.yaml").write_text(f"{head}runs:\n  - {row}\n".replace("guided:", f"{name}:"))
    try:
        load_suite(folder / "x.yaml")
    except SuiteError as error:
        return [text.rpartition("x.yaml:")[2].replace(f"{name}:", "guided:") for text in error.problems]
    return []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{variant: "guided:GUIDED", train: {settings: {scale: 2, own: 0}}}', []),
        (
            '{variant: "guided:GUIDED", train: {settings: null}}',
            ["12:50: train.settings: must be a mapping, not null"],
        ),
        (
            '{variant: "guided:GUIDED", train: {settings: {scal: 3.0}}}',
            ["12:57: train.settings.scal: unknown setting of 'guided:GUIDED' (did you mean 'scale'?)"],
        ),
        (
            '{variant: "guided:GUIDED + issd", train: {settings: {decay: 1, own: [1]}}}',
            [
                "12:65: train.settings.decay: must be below 1, not 1",
                "12:73: train.settings.own: must be a number, not a list",
            ],
        ),
        (
            '{variant: "guided:GUIDED", train: {settings: {own: {a: 1}}}}',
            [
                "12:56: train.settings.own: must be a number, text, true, false, null or a list of these, not a mapping"
            ],
        ),
        (
            '{variant: "guided:GUIDED 8-4"}',
            ["12:15: variant: 'guided:GUIDED' takes no step counts"],
        ),
        (
            '{variant: "guided:GUIDE"}',
            ["12:15: variant: guided:GUIDE: 'GUIDE' is not in the module 'guided',"],
        ),
        ('{variant: "guided:Settings"}', ["12:15: variant: guided:Settings: 'Settings' is ModelMetaclass,"]),
        (
            '{variant: "no_such:GUIDED"}',
            ["12:15: variant: no_such:GUIDED: the module 'no_such' cannot be found"],
        ),
        (
            '{variant: "guided:GUIDED + base"}',
            ["12:15: variant: 'base' stands alone: it cannot be part of a chain"],
        ),
        ("{variant: base, train: {settings: {scal: 3.0}}}", []),  # a base row heeds no setting of a training
    ],
)
def test_what_is_wrong_is_located(folder: Path, row: str, expected: list[str]) -> None:
    name = (folder / "name").read_text()
    found = [text.replace(name, "guided") for text in problems(folder, row)]
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True)), found


@pytest.mark.parametrize(
    ("field", "row", "expected"),
    [
        (
            "predictions=('v',)",
            "{variant: 'guided:OTHER'}",
            "'guided:OTHER' trains models that predict v, and what it",
        ),
        (
            "predicts='x0'",
            "{variant: 'guided:OTHER'}",
            "'ddim' is not for 'guided:OTHER', which predicts x0 (there are",
        ),
        (
            "predicts='x0'",
            "{variant: 'guided:OTHER + issd'}",
            "'issd' trains models that predict eps or v, and what it",
        ),
        (
            "samplers=('ab2',)",
            "{variant: 'guided:OTHER'}",
            "'ddim' does not fit 'guided:OTHER' (there are ab2)",
        ),
        ("samplers=('ab2',)", "{variant: 'guided:OTHER', sampler: ab2}", None),
        ("trained_on='pairs'", "{variant: 'guided:OTHER', nfe: 1}", "must be at least 2 for 'guided:OTHER'"),
        (
            "trained_on='halving'",
            "{variant: 'guided:OTHER'}",
            "'guided:OTHER' must read 'guided:OTHER A-B[-C...]'",
        ),
        (
            "trained_on='halving'",
            "{variant: 'guided:OTHER 8-3', nfe: 3}",
            "halves the steps, but 8 to 3 does not",
        ),
        (
            "trained_on='halving'",
            "{variant: 'guided:OTHER 8-4', nfe: 5}",
            "must be 4, where 'guided:OTHER 8-4' ends",
        ),
        ("trained_on='halving'", "{variant: 'guided:OTHER 8-4'}", None),
        (
            "starts='nothing'",
            "{variant: 'issd + guided:OTHER'}",
            "'guided:OTHER' starts from nothing: it can only be",
        ),
        (
            "checks=((('nfe',), lambda nfe: 'is too few' if nfe < 9 else None),)",
            "{variant: 'guided:OTHER'}",
            "nfe: is too few",
        ),
    ],
)
def test_what_a_declaration_says_is_checked(folder: Path, field: str, row: str, expected: str | None) -> None:
    name = (folder / "name").read_text()
    other = f"from dataclasses import replace\nOTHER = replace(GUIDED, {field})"
    found = [text.replace(name, "guided") for text in problems(folder, row, other)]
    assert (expected is None and not found) or (expected or "") in " ".join(found), found


def test_a_halving_of_ones_own_is_one_training_for_each_halving(folder: Path) -> None:
    from ssdbench.plan import build

    name = (folder / "name").read_text()
    other = "from dataclasses import replace\nOTHER = replace(GUIDED, trained_on='halving')"
    assert problems(folder, "{variant: 'guided:OTHER 16-8-4'}", other) == []
    graph = build(load_suite(folder / "x.yaml"))
    [planned] = graph.runs
    assert planned.target is not None
    specs = [graph.nodes[key].spec for key in graph.chain(planned.target)]
    trained = sorted(
        (spec.objective.nfe, spec.objective.halvings, spec.objective.method)
        for spec in specs
        if spec.KIND == "train"
    )
    assert trained == [(8, 1, f"{name}:OTHER"), (16, 0, f"{name}:OTHER")]
    [sampling] = {spec.sampling.halvings for spec in specs if spec.KIND == "sample"}
    assert sampling == 2


def test_objectives_of_classes_of_ones_own_are_refused_when_planned(folder: Path) -> None:
    from ssdbench.plan import build

    other = (
        "from dataclasses import replace\nfrom ssdbench.methods.ssd import SSD\n"
        "OTHER = replace(GUIDED, specs=SSD.specs)"
    )
    assert problems(folder, "{variant: 'guided:OTHER'}", other) == []
    [planned] = build(load_suite(folder / "x.yaml")).runs
    assert "declares objectives of classes of its own" in (planned.reason or "")
