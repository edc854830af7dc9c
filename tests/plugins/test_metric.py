"""A metric and a feature network of the user's own: from YAML to the table and the page, and in the verbs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs/extending.md"
Ssdbench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worked example as files, beside an installed package that offers it."""
    folder = tmp_path_factory.mktemp("measures")
    text = PAGE.read_text(encoding="utf-8")
    site = folder / "site"
    (site / "measures-1.0.dist-info").mkdir(parents=True)
    for language, name, target in (("python", "measures.py", site), ("yaml", "measures.yaml", folder)):
        [block] = re.findall(rf"```{language} {re.escape(name)}\n(.*?)```", text, re.DOTALL)
        (target / name).write_text(block, encoding="utf-8")
    [entries] = re.findall(
        r"\[project.entry-points.ssdbench\]\n((?:spread|squares) = .*?)```", text, re.DOTALL
    )
    (site / "measures-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: measures\nVersion: 1.0\n"
    )
    (site / "measures-1.0.dist-info/entry_points.txt").write_text("[ssdbench]\n" + entries.replace('"', ""))
    (folder / "reference").mkdir()
    rng = np.random.default_rng(1)
    for i in range(80):
        image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"reference/{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def ssdbench(place: Path) -> Ssdbench:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(place / "site"), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-m", "ssdbench", *arguments],
            capture_output=True,
            text=True,
            timeout=250,
            cwd=place,
            env={**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(place / "cache")},
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def table(ssdbench: Ssdbench) -> str:
    return ssdbench("run", "measures.yaml").stdout


def record_in(place: Path) -> dict[str, Any]:
    [path] = (place / "results/records").glob("*.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.mark.slow
def test_from_yaml_to_the_table_and_the_page(place: Path, ssdbench: Ssdbench, table: str) -> None:
    for header in ("FD(squares) ↓", "IS(squares) ↑", "Prec. ↑", "Spread(squares) ↑", "brightness"):
        assert header in table
    for header in ("FID", "sFD", "Rec."):  # of another network, without a tap, and not asked for
        assert header not in table
    record = record_in(place)
    values = record["metrics"]
    assert values.keys() == {"fd", "is", "precision", "measures:SPREAD", "measures:BRIGHTNESS"}
    intervals = record["stages"][record["key"]]["facts"]["intervals"]
    assert intervals.keys() == values.keys() - {"measures:BRIGHTNESS"}
    for key, bound in intervals.items():
        assert bound["low"] <= values[key] <= bound["high"]
    ssdbench("report", "measures.yaml", "--format", "html", "-o", "page.html")
    page = (place / "page.html").read_text()
    assert "Spread(squares)" in page
    assert f"{values['measures:BRIGHTNESS']:.1f}" in page
    [flat] = json.loads(ssdbench("report", "measures.yaml", "--format", "json").stdout)
    assert flat["interval.measures:SPREAD.low"] < flat["measures:SPREAD"]


@pytest.mark.slow
def test_its_source_is_identity(place: Path, ssdbench: Ssdbench, table: str) -> None:
    source = place / "site/measures.py"
    text = source.read_text()
    plans = [ssdbench("plan", "measures.yaml").stdout]
    try:
        source.write_text(text + "\n# changed\n")
        plans.append(ssdbench("plan", "measures.yaml").stdout)
    finally:
        source.write_text(text)
    assert [bool(re.search(r"score.*run", plan)) for plan in plans] == [False, True]
    assert not any(re.search(r"sample.*run", plan) for plan in plans)


@pytest.mark.slow
def test_an_installed_package_offers_them(place: Path, ssdbench: Ssdbench, table: str) -> None:
    """By names without a module, to ``list`` and to ``eval``, which computes the same from the same declarations."""
    listed = json.loads(ssdbench("list", "metrics", "networks", "--json").stdout)
    assert listed["metrics"]["spread"] == "mean distance of a sample's features from the reference's mean"
    assert listed["networks"]["squares"] == "means of 8 x 8 squares of the image"
    record = record_in(place)
    wanted = "fd,is,precision,spread,measures:BRIGHTNESS"
    arguments = ("--reference", "reference", "--network", "squares", "--metrics", wanted, "--json")
    content = json.loads(ssdbench("eval", record["key"][:12], *arguments).stdout)
    renamed = {"spread": "measures:SPREAD"}
    assert content["metrics"] == {
        name: pytest.approx(record["metrics"][renamed.get(name, name)], rel=1e-6)
        for name in wanted.split(",")
    }
    assert content["intervals"].keys() == {"fd", "is", "precision", "spread"}
