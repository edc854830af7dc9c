"""What ``doctor --bench`` tells; no time is measured."""

from __future__ import annotations

from typing import Any

import pytest

from ssdbench.api.doctor import examine_speed
from ssdbench.models.shapes import DiTShape
from ssdbench.speed import sampling as speed
from ssdbench.speed.rounds import Rounds


def test_both_programs_make_the_same_images_and_the_ratio_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(contestants: dict[str, Any], rounds: int, budget: float = 0) -> Rounds:
        del rounds, budget
        return Rounds({name: [2.0 if name == "diffusers" else 0.5] * 3 for name in contestants})

    monkeypatch.setattr(speed, "measure", measure)
    monkeypatch.setattr(speed, "CASES", {"tiny": (DiTShape(32, 2, 4, input_size=4, learn_sigma=False), 2)})
    monkeypatch.setattr(speed, "keep_memory", lambda: None)
    (found,) = speed.sampling_speeds()
    assert found.difference < 1e-5
    assert (found.images("ours"), found.images("diffusers")) == (4.0, 1.0)
    told = dict(examine_speed())
    assert "4 images/s, 4.00 (4.00 to 4.00) times diffusers' 1" in told["tiny, batch 2"]
    assert set(told) == {"processor", "tiny, batch 2", "products"}
