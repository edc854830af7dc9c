"""The page of results: placeholders become what the records say, and everything else stays as it was written."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from ssdbench.plan import build
from ssdbench.store import Store
from ssdbench.suite import list_suites, load_suite
from tests.report.make import make_record

TOOL = Path(__file__).parents[2] / "tools/results_page.py"
SUITE = """\
suite: tiny
title: A tiny suite
defaults:
  model: dit-mini
  nfe: 4
  resolution: 32
  train: {steps: 2}
  eval: {samples: 16, reference: fashion-mnist, network: effnet-lite0}
seeds: [1, 2, 3]
runs:
  - {variant: base}
  - {variant: issd}
"""
TEMPLATE = """\
# Results

{{table tiny.yaml --columns nfe,fd}}

iSSD is at {{value fd tiny.yaml variant=issd}}, {{difference fd tiny.yaml variant=issd - tiny.yaml variant=base}}.
The claim is {{verdict half-step}}. {Braces} stay.
"""


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_page", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records of the suite, without any artifact."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SUITE)
    Path("page.md.in").write_text(TEMPLATE)
    store = Store(tmp_path / "results")
    for planned in build(load_suite("tiny.yaml")).runs:
        fd = {"base": 300.0, "issd": 250.0}[planned.run.variant] + planned.run.seed * 2
        record = make_record(planned.run, fd=fd - (planned.run.variant == "issd") * (planned.run.seed == 3))
        store.write_record(record.model_copy(update={"key": planned.target}))
    return tmp_path


def run(tool: ModuleType, *more: str) -> int:
    return tool.main(["--results", "results", "--template", "page.md.in", "-o", "page.md", *more])


def test_placeholders_are_filled_and_the_rest_stays(tool: ModuleType, workplace: Path) -> None:
    assert run(tool) == 0
    page = Path("page.md").read_text(encoding="utf-8")
    assert page.startswith("# Results\n\n| ")
    assert "| + iSSD" in page
    assert "iSSD is at 253.67 ± 1.53, -50.33 [-51.77, -48.90], p < 0.001, 3 seeds.\n" in page
    assert "The claim is open. {Braces} stay." in page
    assert run(tool, "--check") == 0
    Path("page.md").write_text(page.replace("253.67", "242.00"))
    assert run(tool, "--check") == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("{{value fd tiny.yaml nfe=4}}", "2 measured rows of tiny.yaml meet 'nfe=4', not one"),
        ("{{value recall tiny.yaml variant=base}}", "the row has no recall"),
        ("{{verdict nothing}}", "there is no claim 'nothing'"),
        ("{{difference fd tiny.yaml variant=base}}", "must read METRIC ROW - ROW"),
        ("{{tabel tiny.yaml}}", "unknown placeholder"),
        ("{{table tinny.yaml}}", "there is no such suite"),
    ],
)
def test_what_cannot_be_filled_is_located(
    wrong: str, message: str, tool: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("page.md.in").write_text(f"# Results\n\n{wrong}\n")
    assert run(tool) == 2
    told = capsys.readouterr().err
    assert "line 3: " in told
    assert message in told
    assert not Path("page.md").exists()


def test_what_is_not_measured_is_told_in_place_of_its_table_and_figures(
    tool: ModuleType, workplace: Path
) -> None:
    Path("empty.yaml").write_text(SUITE.replace("suite: tiny", "suite: empty").replace("nfe: 4", "nfe: 8"))
    Path("page.md.in").write_text("{{table empty.yaml --verdicts}}\n\n{{figures empty.yaml}}\n")
    assert run(tool) == 0
    told = "*Not measured yet: `ssdbench run empty.yaml` does it.*"
    assert Path("page.md").read_text(encoding="utf-8") == f"{told}\n\n{told}\n"


@pytest.mark.parametrize(
    ("page", "some"),
    [
        ("results", {("table", "quick"), ("table", "table2"), ("table", "science-bar")}),
        ("rivals", {("table", "rivals"), ("figures", "rivals")}),
    ],
)
def test_the_template_names_suites_that_there_are(
    tool: ModuleType, page: str, some: set[tuple[str, str]]
) -> None:
    text = (TOOL.parents[1] / f"docs/{page}.template.md").read_text(encoding="utf-8")
    word = {"value": 1, "difference": 1}  # after the metric
    found = [(kind, rest.split()[word.get(kind, 0)]) for kind, rest in tool.PLACEHOLDER.findall(text)]
    assert some <= set(found)
    claims = yaml.safe_load((TOOL.parents[1] / "suites/claims.yaml").read_text(encoding="utf-8"))["claims"]
    known = {
        "table": list_suites(),
        "figures": list_suites(),
        "value": list_suites(),
        "difference": list_suites(),
        "verdict": [claim["claim"] for claim in claims],
    }
    assert [(kind, name) for kind, name in found if name not in known[kind]] == []


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("DiT-mini", "variant=base,sampler=ddim"),
        ("Adams-Bashforth 2 (AFS)", "variant=base,sampler=ab2-afs"),
        ("+ iSSD", "variant=issd,train.steps=200"),
    ],
)
def test_the_readmes_figures_over_five_seeds_are_the_records(tool: ModuleType, name: str, row: str) -> None:
    root = TOOL.parents[1]
    page = tool.Page(str(root / "results/mini"))
    readme = (root / "README.md").read_text(encoding="utf-8")
    found = (page.value(f"fid science-bar model=dit-mini,{row},nfe={nfe}") for nfe in (5, 10))
    assert f"| {name} | {' | '.join(found)} |" in readme
