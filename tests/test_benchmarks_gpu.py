"""``benchmarks/gpu.py`` on a CPU at tiny sizes: everything is measured, nothing is lost, and the tables are right."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import gpu
import gpu_table
from gpu_sides import SIDES

CARD = "DiT-XL/2, 32 latents"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, arguments)])
    gpu.main()


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[gpu.Piece]:
    """What is measured instead of the real pieces."""
    replaced: list[gpu.Piece] = []
    monkeypatch.setattr(gpu, "plan", lambda *_: iter(replaced))
    return replaced


@pytest.mark.slow
def test_a_rehearsal_measures_everything_and_its_tables_go_on_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, page = tmp_path / "gpu.json", tmp_path / "page.md"
    run(monkeypatch, "--dry-run", "--skip-tests", "--json", found)
    parts = json.loads(found.read_text())["parts"]
    assert [one["error"] for part in parts.values() for one in part.values() if "error" in one] == []
    assert set(parts) == {"peaks", CARD, "training", "features"}
    assert set(parts["peaks"]) == {"bfloat16", "tf32", "float32", "copy"}
    assert set(parts[CARD]) == {side.name for side in SIDES}
    for side in SIDES:
        one = parts[CARD][side.name]
        # On a CPU TF32 is float32, and so exact to rounding.
        assert one["difference"] < (2e-2 if side.precision == "bfloat16" else 1e-5), side
        assert all(row["images_s"] > 0 for row in one["batches"])
        assert not one.get("failed", False)
    assert set(parts["training"]) == {"DiT-S/2, bfloat16", "DiT-S/2, float32"}

    page.write_text(f"above\n\n{gpu_table.BEGIN}\nold\n{gpu_table.END}\n\nbelow\n")
    for _ in range(2):
        run(monkeypatch, "--render", page, "--from", found)
    text = page.read_text()
    assert text.startswith(f"above\n\n{gpu_table.BEGIN}\n")
    assert text.endswith(f"{gpu_table.END}\n\nbelow\n")
    assert "old" not in text
    assert text.count(gpu_table.tables(json.loads(found.read_text()))) == 1
    assert "A rehearsal" in text


def test_an_error_stands_in_its_place_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[gpu.Piece]
) -> None:
    path = tmp_path / "gpu.json"
    calls: list[str] = []

    def raising(error: Exception) -> dict[str, Any]:
        raise error

    def good(name: str) -> dict[str, Any]:
        calls.append(name)
        assert "first" in path.read_text(), "what was found is on the disk before the next piece begins"
        return {"gb_s": 7.0}

    pieces += [
        gpu.Piece("peaks", "first", lambda: raising(torch.OutOfMemoryError("no room"))),
        gpu.Piece("peaks", "copy", lambda: good("copy")),
        gpu.Piece("features", "net", lambda: raising(gpu.Missing("torch_fidelity is not installed"))),
    ]
    run(monkeypatch, "--dry-run", "--json", path)
    found = json.loads(path.read_text())
    assert found["parts"]["peaks"]["first"]["error"] == "OutOfMemoryError: no room"
    assert found["parts"]["peaks"]["copy"]["gb_s"] == 7.0
    assert found["left_out"] == {"torch_fidelity is not installed": ["features: net"]}
    text = gpu_table.tables(found)
    assert "| copy | 7 GB/s |" in text
    assert "Failed: peaks: first." in text
    assert "Left out, torch_fidelity is not installed: features: net." in text

    pieces.append(gpu.Piece("peaks", "another", lambda: good("another")))
    run(monkeypatch, "--dry-run", "--json", path, "--resume")
    assert calls == ["copy", "another"], "what was found, errors too, is not measured again"
    assert set(json.loads(path.read_text())["parts"]["peaks"]) == {"first", "copy", "another"}


def test_when_the_budget_is_used_up_the_rest_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[gpu.Piece]
) -> None:
    def slow() -> dict[str, Any]:
        time.sleep(0.3)
        return {"gb_s": 1.0}

    pieces += [gpu.Piece("peaks", "copy", slow), gpu.Piece("peaks", "late", slow)]
    run(monkeypatch, "--dry-run", "--budget", 0.2, "--json", tmp_path / "gpu.json")
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found["parts"]["peaks"]) == ["copy"]
    assert found["left_out"] == {"no time left": ["peaks: late"]}


def test_ratios_shares_and_gaps_of_the_tables() -> None:
    def row(batch: int, images: float, tflops: float) -> dict[str, float]:
        return {"batch": batch, "images_s": images, "tflops": tflops, "peak_gib": 2.5}

    found = {
        "about": {"card": "a card", "torch": "2", "cuda": "13", "date": "2030-01-01", "dry_run": False},
        "parts": {
            "peaks": {"bfloat16": {"tflops": 800.0}, "tf32": {"tflops": 400.0}},
            CARD: {
                "plain loop, tf32": {
                    "batches": [row(8, 10.0, 40.0), row(32, 20.0, 80.0)],
                    "difference": 1e-3,
                },
                "ours, bfloat16": {
                    "batches": [row(32, 60.0, 240.0), row(8, 50.0, 200.0)],
                    "difference": 2e-3,
                },
                "ours, bfloat16, compiled": {"batches": [row(32, 90.0, 360.0)], "failed": True},
                "ours, tf32": {"error": "RuntimeError: no"},
            },
        },
        "left_out": {},
    }
    lines = [line for line in gpu_table.tables(found).splitlines() if line.startswith(f"| {CARD}")]
    cells = [[cell.strip() for cell in line.split("|")[2:6]] for line in lines]
    assert cells == [
        ["60 (32)", "90 (32) *", "20 (32)", "error"],
        ["3.00", "4.50 *", "1.00", "error"],
        ["0.30", "0.45 *", "0.20", "error"],
        ["2.5", "2.5 *", "2.5", "error"],
        ["2e-03", "-", "1e-03", "error"],
    ]
    assert "Failed: DiT-XL/2, 32 latents: ours, tf32." in gpu_table.tables(found)


def test_a_junit_report_is_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="a" name="one"/>'
        '<testcase classname="a" name="two"><failure>no</failure></testcase>'
        '<testcase classname="a" name="three"><skipped/></testcase>'
        '<testcase classname="a" name="four"><error/></testcase></testsuite></testsuites>'
    )
    assert gpu.counts(report) == {"passed": 1, "failed": ["a::two", "a::four"], "skipped": 1}


def test_a_page_without_the_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{gpu_table.END}\n{gpu_table.BEGIN}\n")
    with pytest.raises(SystemExit, match="expected the lines"):
        gpu_table.render(page, {})
    assert page.read_text() == f"{gpu_table.END}\n{gpu_table.BEGIN}\n"
