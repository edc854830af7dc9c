"""A stage on a machine that shares no directory with the engine, but a store on a URL."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ssdbench.errors import SsdbenchError
from ssdbench.runtime.messages import Job
from ssdbench.store import Attempt, InputDigest, Store
from ssdbench.store.files import remove_tree
from ssdbench.store.gc import cache_bytes, in_use, make_room
from ssdbench.store.manifest import FileEntry
from ssdbench.store.object_store import ObjectStore
from ssdbench.store.remote import Remote

log = logging.getLogger(__name__)

_LOG_BYTES = 1 << 20


@dataclass(frozen=True)
class Transfer:
    """What the other machine has to know: the store, the attempt, its inputs, and a job whose paths it sets itself."""

    url: str
    key: str
    attempt: str
    inputs: Mapping[str, InputDigest]
    job: Job


@dataclass(frozen=True)
class Uploaded:
    """What the other machine uploaded under the attempt's name, and the sources that made it, or ``mixed``."""

    files: Mapping[str, FileEntry]
    sources: str


class BadInputs(SsdbenchError):
    """An input is not there, is another artifact by now, or is damaged."""


class Received:
    """A stage on the machine where it runs: its job's file and its log.

    ``superseded()`` tells whether another machine has gone on with the stage.
    """

    def __init__(self, store: Store, attempt: Attempt, sources: str) -> None:
        self.log = store.log_path(attempt).with_suffix(".node.log")
        self.job = self.log.with_suffix(".json")
        self.sent = False
        self.superseded: Callable[[], bool] = lambda: False
        self._store, self._attempt, self._sources = store, attempt, sources

    def upload(self) -> Uploaded:
        """Send the output.

        Raises:
            SsdbenchError: it is no set of plain files; RemoteError: it cannot be sent.
        """
        uploaded = Uploaded(self._store.send(self._attempt), self._sources)
        self.sent = True
        return uploaded

    def logged(self) -> bytes:
        """The last of what the worker logged."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _LOG_BYTES))
            return file.read()
        return b""


@contextlib.contextmanager
def received(transfer: Transfer, sources: str) -> Iterator[Received]:
    """Bring a stage's inputs here, and make its directories; what the stage keeps is sent from time to time.

    Raises:
        BadInputs: an input is not what the engine decided on; RemoteError: the store cannot be reached.
    """
    store, key, room = node_store(transfer.url), transfer.key, cache_bytes()
    with in_use(store, [key, *(consumed.key for consumed in transfer.inputs.values())]):
        inputs = fetch_inputs(store, transfer.inputs)
        attempt = store.begin(key, transfer.attempt)
        here = None
        try:
            scratch, sources = store.scratch(key, transfer.inputs, sources)
            here = Received(store, attempt, sources)
            where = {"inputs": inputs, "output": attempt.path.resolve(), "scratch": scratch.resolve()}
            job = transfer.job.model_copy(update=where)
            here.job.write_text(job.model_dump_json(indent=1), encoding="utf-8")
            sender = store.keep_safe(key)
            here.superseded = lambda: sender.superseded
            try:
                yield here
            finally:
                sender.close(send=not here.sent)
                here.log.unlink(missing_ok=True)
                here.job.unlink(missing_ok=True)
        finally:
            if here is not None and here.sent:
                remove_tree(scratch)
            else:
                store.discard(attempt)
    try:
        make_room(store, room)
    except OSError as error:  # the stage is done all the same
        log.warning("copies could not be dropped: %s", error)


@functools.cache
def node_store(url: str) -> Store:
    """The store at ``url``, one a process."""
    return Store(ObjectStore(Remote(url), look=False))


def fetch_inputs(store: Store, inputs: Mapping[str, InputDigest]) -> dict[str, Path]:
    """Bring what a stage consumes to this machine, verified; returns each role's directory.

    Args:
        store: where it is.
        inputs: keys and digests by role, as the engine decided on them.

    Raises:
        BadInputs: one is not what the engine decided on; RemoteError: the store cannot be reached.
    """
    directories: dict[str, Path] = {}
    for role, consumed in inputs.items():
        asked = store.refresh(consumed.key)
        if asked is None or asked.digest != consumed.digest:
            found = "is not there" if asked is None else "has other content by now"
            raise BadInputs(f"input '{role}' ({consumed.key[:12]}) {found}")
        problems = store.verify(consumed.key, trust_seen=True)
        if problems:
            raise BadInputs(f"input '{role}' ({asked.title}): {'; '.join(problems[:3])}")
        directories[role] = store.directory(consumed.key).resolve()
    return directories
