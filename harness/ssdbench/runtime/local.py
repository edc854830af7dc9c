"""The local engine: one worker process a stage on this machine, as many at a time as there are slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.runtime.events import Listener, ignore
from ssdbench.runtime.launch import Launcher
from ssdbench.runtime.outcome import Outcome
from ssdbench.runtime.processes import Pool, Worker
from ssdbench.runtime.scheduler import Scheduler
from ssdbench.runtime.slots import Slot, check_gpus, check_request, choose, slots, together
from ssdbench.runtime.transfer import Transfer
from ssdbench.store import Store


def run_graph(
    graph: Graph,
    decisions: Mapping[str, Decision],
    store: Store,
    *,
    workers: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    listener: Listener = ignore,
    command: Sequence[str] | None = None,
    gpus_per_stage: int = 1,
) -> Outcome:
    """Run what was decided to run, and write the record of every run whose score stage is done.

    Called on the main thread it takes SIGINT and SIGTERM: the first asks the workers to stop and gives them
    10 s, the second kills them; either way the outcome is marked interrupted and the store is whole.

    Args:
        graph: stages and runs.
        decisions: what to do with each stage. Another process may have done one meanwhile: it is run again only if
            its artifact is stale, or if it is the attempt that the decision ``replaces``.
        store: where artifacts and records lie.
        workers: see ``slots``.
        device: see ``slots``.
        threads: CPU threads a stage; None for the default of ``slots``.
        listener: told of everything that happens.
        command: starts a worker when a job file's path is appended to it; None for this package's own.
        gpus_per_stage: how many GPUs a training takes.

    Raises:
        UsageError: the device is unknown or not there, or has fewer GPUs than a stage is to take.
    """
    check_request(workers, device, threads)
    open_pool = partial(LocalPool, workers, device, threads, command, gpus_per_stage)
    return Scheduler(graph, decisions, store, listener, open_pool).run()


class LocalPool(Pool):
    """This machine's slots."""

    def __init__(
        self,
        workers: int | None,
        device: str | None,
        threads: int | None,
        command: Sequence[str] | None,
        gpus_per_stage: int = 1,
    ) -> None:
        self._launcher = Launcher(command)
        self._free = slots(workers, device, threads)
        check_gpus(self._free, gpus_per_stage)
        self._gpus_per_stage = gpus_per_stage
        self._left = workers or len(self._free)

    @property
    def full(self) -> bool:
        """Whether no slot is free, or as many stages run as may."""
        return not self._free or not self._left

    def take(self, shared: bool) -> Slot | None:
        """Take a free slot; for a ``shared`` stage, one made of ``gpus_per_stage`` free GPUs."""
        chosen = choose(self._free, self._gpus_per_stage if shared else 1)
        if not chosen:
            return None
        self._free = [slot for slot in self._free if slot not in chosen]
        self._left -= 1
        return together(chosen)

    def give(self, slot: Slot) -> None:
        """Free a slot."""
        self._left += 1
        self._free += slot.parts or (slot,)
        self._free.sort(key=lambda slot: slot.name)

    def start(self, job: Path, log: Path, slot: Slot, transfer: Transfer | None = None) -> Worker:
        """Start a worker, forked where that can be."""
        return self._launcher.start(job, log, slot)

    def close(self) -> None:
        """End what was started to start workers."""
        self._launcher.close()
