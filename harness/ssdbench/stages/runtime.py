"""How a stage's body is run: device, threads, scratch directory, and where it reports its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ssdbench.errors import Interrupted


def _silent(done: int, total: int, unit: str, **values: float | str) -> None:
    pass


@dataclass(frozen=True)
class Runtime:
    """How one execution of a stage runs. Nothing here changes the result.

    Args:
        scratch: a directory that outlives attempts; a training keeps its checkpoint there.
        device: such as ``cpu`` or ``cuda:0``; each rank has its own.
        threads: CPU threads.
        checkpoint_seconds: between two checkpoints; more where writing one takes long.
        sample_batch: images that are sampled at a time; None for the default of the stage.
        compile: whether models are compiled before they sample.
        report: ``report(done, total, unit, **values)`` tells the progress; a body may call it as often as it likes.
        stopping: whether the user has asked to stop. A body that can stop early calls :meth:`raise_if_stopping` between
            two steps of its work.
        rank: the number of this process among the ``ranks`` that execute the stage together; 0 writes the output.
        ranks: how many these are.
        meeting: the file by which they find each other.
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
        """End the stage early if the user has asked to stop.

        Raises:
            Interrupted: with the message.
        """
        if self.stopping():
            raise Interrupted(message)
