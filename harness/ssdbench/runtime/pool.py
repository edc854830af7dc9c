"""The interface between the scheduler and an engine: slots, and a way to start workers on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from ssdbench.runtime.processes import Worker
from ssdbench.runtime.slots import Slot
from ssdbench.runtime.transfer import Transfer


class Pool(ABC):
    """Where workers run. Called by the scheduler's thread, but for ``start``."""

    remote: bool = False
    """Whether workers run on other machines, which share with this one no more than a store on a URL."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether no other stage can run at the same time."""

    @abstractmethod
    def take(self, shared: bool) -> Slot | None:
        """Take a free slot; of several GPUs only where a stage can be ``shared``."""

    @abstractmethod
    def give(self, slot: Slot) -> None:
        """Free a slot."""

    @abstractmethod
    def start(self, job: Path, log: Path, slot: Slot, transfer: Transfer | None = None) -> Worker:
        """Start a worker for a job's file on a slot; its log is appended to ``log``. Called by the stage's thread.

        A ``transfer`` comes where the machine of the worker cannot be supposed to see the paths.
        """

    @abstractmethod
    def close(self) -> None:
        """End what was started to start workers."""

    def look(self) -> bool:
        """Whether it is worth trying to start what is ready although no stage ended; called several times a second."""
        return False

    def lacking(self) -> str | None:
        """Why no stage will get a slot even when all others are over, or None while there is hope."""
        return None
