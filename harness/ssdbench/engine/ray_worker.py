"""A worker on a node of a Ray cluster, seen from the engine."""

from __future__ import annotations

import platform
import signal
from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from ssdbench.engine.node import Circumstances, Ended, Errand, Host, await_files
from ssdbench.engine.process import Placed, WorkerLost
from ssdbench.engine.resources import Slot
from ssdbench.engine.shipment import Delivered
from ssdbench.errors import SsdbenchError
from ssdbench.worker import Failed, Finished, Job, Progress


class RayHost:
    """An actor: its node, once it runs; whether it is over; and since when, in monotonic seconds, it is idle."""

    def __init__(self, slot: Slot, circumstances: Circumstances) -> None:
        options = _ACTOR.options(
            num_cpus=slot.threads,
            num_gpus=1 if slot.gpu else 0,
            max_concurrency=2,  # to be told to terminate while it runs
            scheduling_strategy="SPREAD",
        )
        self.actor: Any = options.remote(circumstances)
        self.gpu = slot.gpu
        self.place: str | None = None
        self.node: str | None = None
        self.dead = False
        self.idle_since = 0.0

    def kill(self) -> None:
        """End it, and the worker that runs in it."""
        self.dead = True
        ray.kill(self.actor)


class RayWorker:
    """A worker on a node: see :class:`ssdbench.engine.process.WorkerProcess`."""

    def __init__(self, host: RayHost, errand: Errand) -> None:
        self._host, self._errand = host, errand
        self._told = host.actor.run.options(num_returns="streaming").remote(errand)
        self._runs = False
        self._ended: Ended | None = None

    def events(self) -> Iterator[Placed | Progress | Finished | Failed | Delivered]:
        """Yield where the worker runs and what it tells, until it ends.

        Raises:
            WorkerLost: its node, or its actor there, is gone.
            SsdbenchError: its node cannot run it.
        """
        host = self._host
        try:
            for reference in self._told:
                event = ray.get(reference)
                if isinstance(event, Ended):
                    self._ended = event
                    self._keep(event.log)
                    continue
                if isinstance(event, Placed):
                    host.place, host.node, self._runs = event.place, event.node, True
                yield event
        except RayTaskError as error:
            raise SsdbenchError(f"on node {host.place}: {error.cause}") from error
        except RayError as error:
            if host.dead:  # killed from here
                return
            host.dead = True
            if getattr(error, "actor_init_failed", False):
                last = str(error).strip().splitlines()[-1]
                raise SsdbenchError(
                    f"a node cannot start a worker; is ssdbench installed on all? ({last})"
                ) from error
            raise WorkerLost(f"lost with node {host.place or '(not yet known)'}: {_reason(error)}") from error

    def wait(self) -> int:
        """The worker's exit code, once what it wrote can be seen from here."""
        if self._ended is None:
            return -signal.SIGKILL
        if self._ended.code == 0 and self._errand.shipment is None:
            output = Job.model_validate_json(self._errand.job.read_bytes()).output
            await_files(output, self._ended.files, str(self._host.place))
        return self._ended.code

    def _keep(self, log: bytes) -> None:
        if log:
            with self._errand.log.open("ab") as file:
                file.write(log)

    def terminate(self) -> None:
        """Ask the worker to stop; one that still waits for a node will not start."""
        if self._runs:
            self._host.actor.terminate.remote(self._errand.job)
        else:
            self.kill()

    def kill(self) -> None:
        """End the worker at once, with its actor."""
        self._host.kill()


class _Actor(Host):
    def __init__(self, circumstances: Circumstances) -> None:
        node = ray.get_runtime_context().get_node_id()
        super().__init__(f"{platform.node()} ({node[:6]})", node, circumstances)


_ACTOR: Any = ray.remote(_Actor)


def _reason(error: RayError) -> str:
    """What Ray says, without the actor's particulars."""
    if isinstance(error, ActorUnavailableError):
        return "it does not answer"
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    return " ".join(" ".join(lines[1:] or lines).split())[:300]
