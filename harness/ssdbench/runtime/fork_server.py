"""Workers without the seconds that imports take: ``python -m ssdbench.runtime.fork_server FD``, on Linux.

The engine asks a server for a worker over the socket FD. A request names a job's file, the worker's working directory
and its variables (:class:`ssdbench.runtime.messages.Request`), with three file descriptors for its events, its log and
its exit code. The server has imported what stages need, nothing from the working directory, has run nothing, and forks:
a worker's state is as fresh as a new process's. Between the two stands a keeper. It waits for the worker, and writes to
the third descriptor the worker's process id, then its exit code, a line each.

A worker ends with its keeper, a keeper with the server, and the server when the socket closes, however the engine ends.

The fork server of ``multiprocessing`` is not used. It imports the caller's main module in every worker, so that a
script that calls ``ssdbench.run`` at its top level would call it again. Its workers outlive a killed server and engine.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ssdbench.runtime import worker
from ssdbench.runtime.messages import Request

MAX_REQUEST = 1 << 20  # bytes; the system takes less than that
# What bodies import. None of it may start a thread: a fork has only the thread that forked.
PRELOAD = (
    "torch",
    "safetensors.torch",
    "ssdbench.data.latents",
    "ssdbench.samplers",
    "ssdbench.metrics.effnet",  # makes torchvision importable where its compiled part is missing, so it goes first
    "ssdbench.metrics.evaluate",
    "ssdbench.metrics.reference",
    "ssdbench.methods.denoising_loss",
    "ssdbench.methods.progressive_loss",  # and with it ssd_loss
    "ssdbench.models.catalog",
    "ssdbench.models.vae",
    "diffusers.models.autoencoders.autoencoder_kl",
    "ssdbench.stages.denoising",
    "ssdbench.stages.learning",
)


def serve(
    control: socket.socket,
    *,
    run: Callable[[Path], int] = worker.run,
    preload: Sequence[str] = PRELOAD,
) -> None:
    """Fork a worker for every request until the socket closes.

    ``run`` executes a job and returns its exit code; ``preload`` names modules, of which those that cannot be
    imported are left to the worker, which can say so.
    """
    # What is sent to the whole process group is the worker's business: it asks for SIGTERM, and ignores SIGINT.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers leave no zombies
    for name in preload:
        with suppress(Exception):  # whatever an import may raise
            importlib.import_module(name)
    gc.freeze()  # a collection in a fork would touch, and so copy, the pages of all that was imported
    server = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST, 3)
        if not message:
            return
        try:
            pid = os.fork()
        except OSError:  # out of memory or of processes: the engine sees the other ends of its pipes closed
            pid = None
        if pid == 0:
            control.close()
            _keep(server, Request.decode(message), *descriptors, run=run)
        for descriptor in descriptors:
            os.close(descriptor)


def _keep(
    server: int, request: Request, events: int, log: int, status: int, *, run: Callable[[Path], int]
) -> None:
    """Be the keeper of one worker; does not return."""
    worker.die_with(server)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        worker.die_with(keeper)
        os.dup2(events, 1)
        os.dup2(log, 2)
        for descriptor in (events, log, status):
            os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        request.enter()
        _leave(run(Path(request.job)))
    os.close(events)
    os.close(log)
    with suppress(BrokenPipeError):
        os.write(status, f"{pid}\n".encode())
        os.write(status, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
    os._exit(0)


def _leave(code: int) -> None:
    """End this process without tearing the interpreter down, which takes a fork with all its modules over a second."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the log may lie on a disk that is full
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory: a worker looks in its own
    serve(socket.socket(fileno=int(sys.argv[1])))
    _leave(0)
