"""The page and the notebook of the Python interface, run as they stand there."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import ssdbench
from tests.api.notebook import execute, shown

DOCS = Path(__file__).parents[2] / "docs"


def test_the_pages_blocks_run_from_top_to_bottom(workplace: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 7
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for number, block in enumerate(blocks, start=1):
            exec(compile(block, f"api.md, block {number}", "exec"), namespace)
    told = printed.getvalue()
    assert "Adams-Bashforth 2 (AFS)" in told  # the table
    assert "unknown key" in told  # the error of the last block


def test_the_page_names_everything_that_is_offered() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    offered = {name for name in ssdbench.__all__ if not name.startswith("__")}
    of_itself = {"Benchmark", "Plan", "RunResult", "Scores", "NotFinite", "Regression"}
    assert {name for name in offered - of_itself if name not in page} == set()


def test_the_notebook_runs_and_its_outputs_are_small(workplace: Path) -> None:
    path = DOCS / "first-steps.ipynb"
    assert path.stat().st_size < 40_000
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in content["cells"]:
        if cell["cell_type"] != "code":
            continue
        _, value = execute("".join(cell["source"]), namespace)
        [kept] = cell["outputs"]
        assert set(kept["data"]) == set(shown(value))
        assert kept["execution_count"] == cell["execution_count"]
