"""The modules of the package import each other without circles, inside functions too."""

from __future__ import annotations

import re
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from grimp import build_graph


def test_no_module_imports_itself_through_others() -> None:
    graph = build_graph("ssdbench", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert "ssdbench.runtime.worker" in imports
    # An import inside a function is an edge as any other: the worker imports the stages' bodies when it runs.
    assert "ssdbench.stages" in imports["ssdbench.runtime.worker"]
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " <- ".join(error.args[1]))


def test_the_page_of_the_architecture_shows_the_house_as_it_is() -> None:
    root = Path(__file__).resolve().parents[1]
    page = (root / "docs/architecture.md").read_text()
    drawn = page.partition("```text")[2].partition("```")[0]
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    packages = {path.parent.name for path in (root / "harness/ssdbench").glob("*/__init__.py")}
    shown = {match[1]: match.start() for match in re.finditer(r"\| (\w+)  +", drawn)}
    assert packages <= shown.keys()
    tops = [name for layer in layers if (name := layer.split(" : ")[0]) in packages]
    assert tops == sorted(tops, key=lambda name: shown[name])
    modules = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", page))
    missing = [
        name
        for name in modules
        if not any((root / base / name).is_file() for base in (".", "harness/ssdbench"))
    ]
    assert not missing
    assert len(modules) > 30
