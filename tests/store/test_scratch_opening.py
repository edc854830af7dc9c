"""Opening the scratch directory of a stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssdbench.store import scratch
from ssdbench.store.scratch import open_scratch


def test_two_that_open_it_at_once_leave_each_other_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One slept through its lease and wakes up while the other, who took over, writes its note."""
    path, write = tmp_path / "key" / "scratch", scratch.write_atomically
    woken: list[str] = []

    def meanwhile(note: Path, data: bytes) -> None:
        if not woken:
            woken.append("")
            (begun := note.with_name("begun")).write_text("")
            woken.append(open_scratch(path, {}, "s"))
            (path / "kept").write_text("by the sleeper")
            assert begun.exists()
        write(note, data)

    monkeypatch.setattr(scratch, "write_atomically", meanwhile)
    assert open_scratch(path, {}, "s") == "s"
    assert woken == ["", "s"]
    assert sorted(one.name for one in path.parent.iterdir()) == ["scratch"]
    assert sorted(one.name for one in path.iterdir()) == [".note.json", "kept"]
    assert open_scratch(path, {}, "other") == "mixed"
