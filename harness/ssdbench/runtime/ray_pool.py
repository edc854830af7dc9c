"""How many stages have room on a Ray cluster, whose nodes come and go, and their workers there."""

from __future__ import annotations

import platform
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from ssdbench.errors import SsdbenchError, UsageError
from ssdbench.provenance import digest_sources, package_directory
from ssdbench.runtime.messages import Answer, Job, Progress
from ssdbench.runtime.processes import Placed, Pool, WorkerLost
from ssdbench.runtime.remote import Ended, EngineSettings, Host, RemoteJob, await_files
from ssdbench.runtime.slots import Slot, default_threads, room_on
from ssdbench.runtime.transfer import Transfer, Uploaded

HOPE_SECONDS = 60.0  # how long a cluster may be without any node for a stage before stages fail
IDLE_SECONDS = 30.0  # how long CPUs and GPUs are kept for a stage to come
LOOK_SECONDS = 2.0


class RayPool(Pool):
    """Room on the cluster's nodes, which may come and go: see :class:`ssdbench.runtime.processes.Pool`.

    A slot stands for CPUs, and a GPU, on whichever node Ray chooses, which spreads them. An actor whose stage is over
    is kept for another, and let go when there is none for a while or when a new one waits for its room.
    """

    remote = True

    def __init__(
        self, workers: int | None, device: str | None, threads: int | None, command: Sequence[str] | None
    ) -> None:
        nodes = _nodes()
        self._workers = workers
        self._threads = threads or default_threads(_resources(nodes))
        self._gpus = device != "cpu" and room_on(_resources(nodes), self._threads, True) > 0
        if device == "cuda" and not self._gpus:
            raise UsageError(f"--device cuda: no node of the Ray cluster has a GPU and {self._threads} CPUs")
        self._room = self._measure(nodes)
        if not self._room:
            raise UsageError(f"no node of the Ray cluster has {self._threads} CPUs, the threads of a stage")
        self._settings = EngineSettings.here(command)
        self._used: set[int] = set()
        self._lock = threading.Lock()  # of the two below: the stages' threads start workers
        self._busy: dict[str, RayHost] = {}
        self._idle: list[RayHost] = []
        self._none_since: float | None = None
        self._looked = time.monotonic()

    def _measure(self, nodes: Sequence[Mapping[str, Any]]) -> int:
        room = room_on(_resources(nodes), self._threads, self._gpus)
        return room if self._workers is None else min(room, self._workers)

    @property
    def full(self) -> bool:
        """Whether the nodes that are there have no room left."""
        return len(self._used) >= self._room

    def look(self) -> bool:
        """Look for nodes that came or went; whether any came, or all have been gone for so long that it matters."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked, before, nodes = now, self._room, _nodes()
        self._room = self._measure(nodes)
        self._none_since = None if self._room else self._none_since or now
        self._let_go({node["NodeID"] for node in nodes if node["Alive"]})
        return self._room > before or self.lacking() is not None

    def _let_go(self, alive: set[str]) -> None:
        """End actors that are idle for too long, or whose node is gone."""
        with self._lock:
            waiting = any(host.node is None for host in self._busy.values())
            oldest = time.monotonic() - (LOOK_SECONDS if waiting else IDLE_SECONDS)
            for host in [host for host in self._idle if host.idle_since < oldest or host.node not in alive]:
                self._idle.remove(host)
                host.kill()

    def lacking(self) -> str | None:
        """Why no stage can run: for a minute the cluster has had no node for it."""
        since = self._none_since
        if since is None or time.monotonic() - since < HOPE_SECONDS or self._used:
            return None
        what = f"a GPU and {self._threads} CPUs" if self._gpus else f"{self._threads} CPUs"
        return f"no node of the Ray cluster has {what} any more"

    def take(self, shared: bool = False) -> Slot | None:
        """Take room for a stage."""
        if self.full:
            return None
        number = min(set(range(len(self._used) + 1)) - self._used)
        self._used.add(number)
        if self._gpus:  # Ray sets CUDA_VISIBLE_DEVICES for an actor that has one
            return Slot(f"ray gpu {number}", "cuda", self._threads)
        return Slot(f"ray cpu {number}", "cpu", self._threads, visible="")

    def give(self, slot: Slot) -> None:
        """Give room back."""
        self._used.discard(int(slot.name.rpartition(" ")[2]))
        with self._lock:
            host = self._busy.pop(slot.name, None)
            if host is not None and not host.dead:
                host.idle_since = time.monotonic()
                self._idle.append(host)

    def start(self, job: Path, log: Path, slot: Slot, transfer: Transfer | None = None) -> RayWorker:
        """Start a worker on a node that has room; it may have to wait for what others use."""
        with self._lock:
            host = self._idle.pop(0) if self._idle else RayHost(slot, self._settings)
            self._busy[slot.name] = host
        sources = digest_sources(package_directory())
        return RayWorker(host, RemoteJob(job.resolve(), log.resolve(), slot, sources, transfer))

    def close(self) -> None:
        """End the actors, and with them whatever still runs in them."""
        for host in [*self._idle, *self._busy.values()]:
            host.kill()


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def _resources(nodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, float]]:
    return [node["Resources"] for node in nodes if node["Alive"]]


class RayHost:
    """An actor: its node, once it runs; whether it is over; and since when, in monotonic seconds, it is idle."""

    def __init__(self, slot: Slot, settings: EngineSettings) -> None:
        options = _ACTOR.options(
            num_cpus=slot.threads,
            num_gpus=1 if slot.gpu else 0,
            max_concurrency=2,  # to be told to terminate while it runs
            scheduling_strategy="SPREAD",
        )
        self.actor: Any = options.remote(settings)
        self.place: str | None = None
        self.node: str | None = None
        self.dead = False
        self.idle_since = 0.0

    def kill(self) -> None:
        """End it, and the worker that runs in it."""
        self.dead = True
        ray.kill(self.actor)


class RayWorker:
    """A worker on a node: see :class:`ssdbench.runtime.processes.Worker`."""

    def __init__(self, host: RayHost, job: RemoteJob) -> None:
        self._host, self._job = host, job
        self._told = host.actor.run.options(num_returns="streaming").remote(job)
        self._runs = False
        self._ended: Ended | None = None

    def events(self) -> Iterator[Placed | Progress | Answer | Uploaded]:
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
                    if event.log:
                        with self._job.log.open("ab") as file:
                            file.write(event.log)
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
        if self._ended.code == 0 and self._job.transfer is None:
            output = Job.model_validate_json(self._job.file.read_bytes()).output
            await_files(output, self._ended.files, str(self._host.place))
        return self._ended.code

    def terminate(self) -> None:
        """Ask the worker to stop; one that still waits for a node will not start."""
        if self._runs:
            self._host.actor.terminate.remote(self._job.file)
        else:
            self.kill()

    def kill(self) -> None:
        """End the worker at once, with its actor."""
        self._host.kill()


class _Actor(Host):
    def __init__(self, settings: EngineSettings) -> None:
        node = ray.get_runtime_context().get_node_id()
        super().__init__(f"{platform.node()} ({node[:6]})", node, settings)


_ACTOR: Any = ray.remote(_Actor)


def _reason(error: RayError) -> str:
    """What Ray says, without the actor's particulars."""
    if isinstance(error, ActorUnavailableError):
        return "it does not answer"
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    return " ".join(" ".join(lines[1:] or lines).split())[:300]
