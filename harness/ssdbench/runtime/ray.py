"""The Ray engine: the local engine's workers, on whatever nodes of a Ray cluster have room; an optional extra.

The loop, the leases and the commits are the local engine's, in this process. ``ray_pool`` says how many stages may
run at once, and has each run in an actor on a node, which is a :class:`ssdbench.runtime.remote.Host`. These two
modules alone import ray, and only ``ssdbench run --engine ray`` imports them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import ray
from ray._private import services

from ssdbench.errors import UsageError
from ssdbench.plan.decide import Decision
from ssdbench.plan.graph import Graph
from ssdbench.runtime.events import Listener, ignore
from ssdbench.runtime.outcome import Outcome
from ssdbench.runtime.ray_pool import RayPool
from ssdbench.runtime.scheduler import Scheduler
from ssdbench.runtime.slots import check_request
from ssdbench.store import Store

CONNECT_SECONDS = 10.0


def run_graph_on_ray(
    graph: Graph,
    decisions: Mapping[str, Decision],
    store: Store,
    *,
    address: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    command: Sequence[str] | None = None,
    listener: Listener = ignore,
) -> Outcome:
    """Run on a Ray cluster what was decided to run: :func:`ssdbench.runtime.local.run_graph` with other places.

    A stage takes ``threads`` CPUs, and a GPU where the cluster has any. One whose node is lost is tried again on
    another, three times; training goes on from its checkpoint.

    Args:
        graph: stages and runs.
        decisions: what to do with each stage.
        store: its directory must be there, at the same path, on every node; one on a URL need only be reachable.
        address: of the cluster's head, ``HOST:PORT``; ``local`` starts a cluster on this machine; None for
            RAY_ADDRESS, or else the cluster that this machine is a node of. Ignored where ray is connected already.
        workers: at most so many stages at a time; None for as many as the nodes have room for.
        device: ``cpu`` or ``cuda``; None for the GPUs of the cluster, if there are any.
        threads: CPU threads a stage; None for what the local engine takes by default on the cluster's smallest node.
        listener: told of everything that happens.
        command: starts a worker when a job file's path is appended to it; None for this package's own.

    Raises:
        UsageError: the cluster cannot be reached, or has no node for what is asked.
    """
    check_request(workers, device, threads)
    if device not in (None, "cpu", "cuda"):
        raise UsageError(f"--device {device}: Ray chooses the GPU of each stage; it can be cpu or cuda")
    with contextlib.ExitStack() as stack:

        def open_pool() -> RayPool:
            stack.enter_context(connected(address))
            return RayPool(workers, device, threads, command)

        return Scheduler(graph, decisions, store, listener, open_pool).run()


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be connected to a cluster.

    Raises:
        UsageError: there is none, or it cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    _refuse_unreachable(address)
    # Ray makes SIGTERM an exit of its own.
    on_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise _no_cluster(address, error) from error
    finally:
        if on_main:
            signal.signal(signal.SIGTERM, before)
    # Ray tells stdout, which is the tables', at length of the nodes that it lost, some of it at the very end; the
    # engine does so in a line.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            yield
        finally:
            ray.shutdown()


def _refuse_unreachable(address: str | None) -> None:
    """Look whether anybody listens at the cluster's address: ray itself would try for several minutes."""
    if address is not None and "://" in address:
        raise UsageError(
            f"--ray-address {address}: Ray Client is not supported; run ssdbench on a node of the cluster, with its "
            "head's HOST:PORT"
        )
    try:
        # What ray.init does first; it finds the cluster of this machine, and gives localhost its address.
        head = services.canonicalize_bootstrap_address(address or "auto")
    except (ConnectionError, ValueError) as error:
        raise _no_cluster(address, error) from error
    if head is None:
        return
    host, _, port = head.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError, ValueError) as error:
        raise _no_cluster(head, error) from error


def _no_cluster(address: str | None, error: Exception) -> UsageError:
    return UsageError(
        f"no Ray cluster at {address or 'this machine'}: {next(iter(str(error).splitlines()), type(error).__name__)}\n"
        "start one with 'ray start --head' (and 'ray start --address=HOST:6379' on other nodes), run ssdbench on one "
        "of its nodes, and name its head with --ray-address HOST:6379 where RAY_ADDRESS does not"
    )
