"""What a stage's body is given besides its specification: where it runs and whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ssdbench.errors import Interrupted


def _silent(done: int, total: int, unit: str, **values: float | str) -> None:
    pass


@dataclass(frozen=True)
class Runtime:
    """EngineSettings of an execution; none of them changes the result.

    ``scratch`` outlives attempts: training keeps its checkpoint there, written every ``checkpoint_seconds`` or, where
    writing takes long, more rarely. ``sample_batch`` images, 100 unless set, are sampled at a time, with ``compile`` by
    a compiled model. ``report(done, total, unit, **values)`` may be called as often as one likes. A body that can stop
    early calls :meth:`raise_if_stopping`, or asks ``stopping()``, between two steps of its work.

    Where ``ranks`` processes execute the stage together, this is number ``rank``, ``device`` is its own, and
    ``meeting`` is a file by which they find each other; number 0 writes the output.
    """

    scratch: Path
    device: str = "cpu"
    threads: int = 1
    checkpoint_seconds: float = 5.0
    sample_batch: int | None = None
    compile: bool = False
    report: Callable[..., None] = field(default=_silent)
    stopping: Callable[[], bool] = field(default=lambda: False)
    rank: int = 0
    ranks: int = 1
    meeting: Path | None = None

    def raise_if_stopping(self, message: str) -> None:
        """Raise what ends the stage early where that is asked for.

        Raises:
            Interrupted: with the message.
        """
        if self.stopping():
            raise Interrupted(message)
