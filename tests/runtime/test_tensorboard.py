"""Losses as TensorBoard reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssdbench.runtime.events import Event

KEY = "ab" * 32

pytest.importorskip(
    "tensorboard", reason="tensorboard is not installed (pip install 'ssdbench[tensorboard]')"
)


@pytest.mark.filterwarnings("ignore")
def test_numbers_become_scalars_at_their_steps(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from ssdbench.runtime.tensorboard import TensorBoard

    listener = TensorBoard(tmp_path)
    title = "train issd 200 steps, seed 1"
    listener(Event("started", KEY, title, "cpu"))
    for step in (10, 20):
        values = {"loss": 1 / step, "at": "x"}
        listener(Event("progress", KEY, title, done=step, total=200, unit="steps", values=values))
    listener(Event("progress", "cd" * 32, "sample", done=1, total=2, unit="images"))  # tells no number
    listener(Event("finished", KEY, title))
    listener(Event("end"))
    (directory,) = tmp_path.iterdir()
    assert directory.name == "train-issd-200-steps-seed-1-abababab"
    events = EventAccumulator(str(directory)).Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (10, pytest.approx(0.1)),
        (20, pytest.approx(0.05)),
    ]
