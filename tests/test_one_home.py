"""A thing is named in its home alone: no other module of the package compares with the name of one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ssdbench
from ssdbench.data.datasets import DATASETS
from ssdbench.layouts import LAYOUTS
from ssdbench.methods import METHODS
from ssdbench.metrics.catalog import KEYS
from ssdbench.metrics.networks import NETWORKS
from ssdbench.metrics.reference_set import REFERENCES
from ssdbench.models.catalog import FAMILIES, MODELS
from ssdbench.samplers import GRIDS, SAMPLERS

PACKAGE = Path(ssdbench.__file__).parent

# Kind -> its names, and its home: a folder or files of the package.
HOMES = {
    # A precision of arithmetic, a role of a stage and columns of published figures have names of metrics too.
    "metric": (frozenset(KEYS) - {"precision", "trajectory"}, ("metrics/",)),
    "network": (frozenset(NETWORKS.builtin), ("metrics/",)),
    "method": (frozenset(METHODS.builtin), ("methods/",)),
    "sampler": (frozenset(SAMPLERS), ("samplers/",)),
    "grid": (frozenset(GRIDS), ("samplers/",)),
    "layout": (frozenset(LAYOUTS), ("layouts.py",)),
    # A grid is called sd too, and things of the user's own are own.
    "model family": (frozenset(FAMILIES.builtin) - {"sd", "own"}, ("models/",)),
    "model": (frozenset(MODELS.builtin), ("models/",)),
    # References are called after the data sets that they are of.
    "data set": (frozenset(DATASETS.builtin), ("data/", "metrics/reference_set.py")),
    "reference": (frozenset(REFERENCES.builtin), ("data/", "metrics/reference_set.py")),
}
# Words that something else is called too, at the places where it is.
OTHERS = {
    ("models/schedulers.py", "leading"),  # of a scheduler's timestep_spacing
    ("models/schedulers.py", "trailing"),
    ("plan/fitting.py", "leading"),
    ("plan/fitting.py", "trailing"),
    ("stages/score.py", "trajectory"),  # a role of its inputs
}


def compared(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Texts that a module compares with, looks for in a list, matches, or looks up in a mapping written there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            found: list[ast.AST] = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            found = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            found = [node.func.value] if isinstance(node.func.value, ast.Dict) else []
        else:
            continue
        for part in found:
            for inner in ast.walk(part):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.lineno, inner.value


@pytest.mark.parametrize("kind", HOMES)
def test_no_module_compares_with_a_name_outside_its_home(kind: str) -> None:
    names, homes = HOMES[kind]
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if place.startswith(homes):
            continue
        for line, text in compared(ast.parse(path.read_text(encoding="utf-8"))):
            if text in names and (place, text) not in OTHERS:
                found.append(f"{place}:{line}: {text!r}")
    assert found == []


def test_the_search_finds_what_it_is_for() -> None:
    code = """
if a == "ddim" or b in ("sde", "x"): pass
match c:
    case "plms": pass
d = {"heun": 1}.get(e)
f("ab2")
"""
    assert [text for _, text in sorted(compared(ast.parse(code)))] == ["ddim", "sde", "x", "plms", "heun"]
