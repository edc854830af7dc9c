"""A listener that writes what stages tell of themselves for TensorBoard; an optional extra."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from ssdbench.errors import UsageError
from ssdbench.runtime.events import Event


class TensorBoard:
    """Writes the numbers of progress (the loss of a training) as scalars: a run of TensorBoard's a stage.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, directory: Path) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise UsageError("--tensorboard needs TensorBoard: pip install 'ssdbench[tensorboard]'") from None
        self._directory = directory
        self._event, self._summary, self._writer = event_pb2.Event, summary_pb2.Summary, EventFileWriter
        self._writers: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        """Write the numbers, at the step that they are of; a stage without any has no run."""
        if event.kind in ("finished", "end"):
            for key in [event.key] if event.key else list(self._writers):
                if (writer := self._writers.pop(key, None)) is not None:
                    writer.close()
            return
        numbers = {name: value for name, value in event.values.items() if isinstance(value, float)}
        if numbers:
            if event.key not in self._writers:
                name = f"{re.sub(r'[^A-Za-z0-9.]+', '-', event.title)}-{event.key[:8]}"
                self._writers[event.key] = self._writer(str(self._directory / name))
            values = [self._summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
            written = self._event(wall_time=time.time(), step=event.done, summary=self._summary(value=values))
            self._writers[event.key].add_event(written)
