"""A stage for a machine that has none of the engine's directories: the store on a URL is all that they share."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ssdbench.store import Attempt, FileEntry, InputDigest, Store
from ssdbench.store.files import remove_tree
from ssdbench.store.node import cache_bytes, fetch_inputs, in_use, make_room, node_store
from ssdbench.worker import Job

log = logging.getLogger(__name__)

_LOG_BYTES = 1 << 20


@dataclass(frozen=True)
class Shipment:
    """What the other machine has to know: the store, the attempt, its inputs, and a job whose paths are set there."""

    url: str
    key: str
    attempt: str
    inputs: Mapping[str, InputDigest]
    job: Job


@dataclass(frozen=True)
class Delivered:
    """What the other machine sent under the attempt's name, and the sources that have worked on it, or ``mixed``."""

    files: Mapping[str, FileEntry]
    sources: str


class Unpacked:
    """A shipment on the machine where it is worked on: its job's file and its log.

    ``given_up()`` tells whether another machine has gone on with the stage.
    """

    def __init__(self, store: Store, attempt: Attempt, sources: str) -> None:
        self.log = store.log_path(attempt).with_suffix(".node.log")
        self.job = self.log.with_suffix(".json")
        self.sent = False
        self.given_up: Callable[[], bool] = lambda: False
        self._store, self._attempt, self._sources = store, attempt, sources

    def deliver(self) -> Delivered:
        """Send the output.

        Raises:
            SsdbenchError: it is no set of plain files; RemoteError: it cannot be sent.
        """
        delivered = Delivered(self._store.send(self._attempt), self._sources)
        self.sent = True
        return delivered

    def logged(self) -> bytes:
        """The last of what the worker logged."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _LOG_BYTES))
            return file.read()
        return b""


@contextlib.contextmanager
def unpacked(shipment: Shipment, sources: str) -> Iterator[Unpacked]:
    """Bring a stage's inputs here, and make its directories; what the stage keeps is sent from time to time.

    Raises:
        BadInputs: an input is not what the engine decided on; RemoteError: the store cannot be reached.
    """
    store, key, room = node_store(shipment.url), shipment.key, cache_bytes()
    with in_use(store, [key, *(consumed.key for consumed in shipment.inputs.values())]):
        inputs = fetch_inputs(store, shipment.inputs)
        attempt = store.begin(key, shipment.attempt)
        here = None
        try:
            scratch, sources = store.scratch(key, shipment.inputs, sources)
            here = Unpacked(store, attempt, sources)
            where = {"inputs": inputs, "output": attempt.path.resolve(), "scratch": scratch.resolve()}
            job = shipment.job.model_copy(update=where)
            here.job.write_text(job.model_dump_json(indent=1), encoding="utf-8")
            sender = store.keep_safe(key)
            here.given_up = lambda: sender.superseded
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
