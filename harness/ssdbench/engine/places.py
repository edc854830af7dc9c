"""What one engine has to be, for the loop that all share: slots, and a way to start workers on them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ssdbench.engine.process import WorkerProcess
from ssdbench.engine.resources import Slot
from ssdbench.engine.shipment import Shipment


class Places(Protocol):
    """Where workers run: what tells one engine from another. Called by the loop's thread, but for ``start``."""

    gpus: bool
    """Whether stages that can use a GPU get one."""

    @property
    def full(self) -> bool:
        """Whether no slot of any kind is free."""
        ...

    def look(self) -> bool:
        """Whether it is worth trying to start what is ready although no stage ended; called several times a second."""
        ...

    def lacking(self, gpu: bool) -> str | None:
        """Why a stage will get no slot even when all others are over, or None while there is hope."""
        ...

    def take(self, gpu: bool, shared: bool) -> Slot | None:
        """Take a free slot, one with a GPU or one without; of several GPUs only where a stage can be ``shared``."""
        ...

    def give(self, slot: Slot) -> None:
        """Free a slot."""
        ...

    ships: bool
    """Whether workers run on other machines, which share with this one no more than a store on a URL."""

    def start(self, job: Path, log: Path, slot: Slot, shipment: Shipment | None) -> WorkerProcess:
        """Start a worker for a job's file on a slot; its log is appended to ``log``. Called by the stage's thread.

        A ``shipment`` comes where the machine of the worker cannot be supposed to see the paths.
        """
        ...

    def close(self) -> None:
        """End what was started to start workers."""
        ...
