"""What workers tell of themselves, written for TensorBoard too; an optional extra."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from ssdbench.engine.view import Counts, View
from ssdbench.errors import UsageError
from ssdbench.worker import Progress


class TensorBoardView:
    """Another view, whose numbers (the loss of a training) also become scalars: a run of TensorBoard's a stage.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, view: View, directory: Path) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise UsageError("--tensorboard needs TensorBoard: pip install 'ssdbench[tensorboard]'") from None
        self._view = view
        self._directory = directory
        self._event, self._summary, self._writer = event_pb2.Event, summary_pb2.Summary, EventFileWriter
        self._titles: dict[str, str] = {}
        self._writers: dict[str, Any] = {}

    def open(self, counts: Counts) -> None:
        """Pass it on."""
        self._view.open(counts)

    def started(self, key: str, title: str, place: str) -> None:
        """Remember the stage's title, which with its key names the run."""
        self._titles[key] = f"{re.sub(r'[^A-Za-z0-9.]+', '-', title)}-{key[:8]}"
        self._view.started(key, title, place)

    def placed(self, key: str, place: str) -> None:
        """Pass it on."""
        self._view.placed(key, place)

    def progress(self, key: str, progress: Progress) -> None:
        """Write the numbers, at the step that they are of; a stage without any has no run."""
        numbers = {name: value for name, value in progress.values.items() if isinstance(value, float)}
        if numbers:
            if key not in self._writers:
                self._writers[key] = self._writer(str(self._directory / self._titles.get(key, key[:8])))
            values = [self._summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
            summary = self._summary(value=values)
            event = self._event(wall_time=time.time(), step=progress.done, summary=summary)
            self._writers[key].add_event(event)
        self._view.progress(key, progress)

    def finished(self, key: str, note: str) -> None:
        """Close the stage's file."""
        writer = self._writers.pop(key, None)
        if writer is not None:
            writer.close()
        self._view.finished(key, note)

    def say(self, text: str) -> None:
        """Pass it on."""
        self._view.say(text)

    def tick(self, counts: Counts) -> None:
        """Pass it on."""
        self._view.tick(counts)

    def close(self) -> None:
        """Close what an interruption left open."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        self._view.close()
