"""What an unfinished stage keeps: its next attempt goes on from there, on a URL another machine's too.

An object is written once, under a name of its own, and ``INDEX.json`` says which of them are the files of the scratch
directory: whoever reads it finds a whole set, however a sending was cut off. Sending goes on beside the stage, for at
most a tenth of its time, and all of it is removed once the stage is done.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ssdbench.inputs import number_from
from ssdbench.store.directory import Sender
from ssdbench.store.files import link_or_copy, remove_tree, temporary_beside, walk_files, write_atomically
from ssdbench.store.manifest import MIXED, InputDigest, RelativePath, Signature, signature_of
from ssdbench.store.remote import Remote, RemoteError

log = logging.getLogger(__name__)

_SEND_SECONDS = 60.0  # or SSDBENCH_SEND_SECONDS
_SHARE = 10.0  # after a sending that took t seconds, the next one waits for this many times t
_NOTE = ".note.json"
_INDEX = "INDEX.json"
_SENT = ".sent"
_WAIT_SECONDS = 0.1


class _Note(BaseModel):
    """What the content of a scratch directory was made from."""

    inputs: dict[str, InputDigest]
    sources: str


def open_scratch(path: Path, inputs: Mapping[str, InputDigest], sources: str) -> str:
    """Create a scratch directory, or go on with one that was filled while consuming the same inputs.

    What was kept while consuming other inputs is dropped: no checkpoint may mix two data sets.

    Returns:
        The digest of the sources that have worked in it: ``sources``, or ``mixed`` where an earlier attempt's differed.
    """
    present = _Note(inputs=dict(inputs), sources=sources)
    if path.is_dir():
        before = None
        with suppress(OSError, ValidationError):
            before = _Note.model_validate_json((path / _NOTE).read_bytes())
        if before is None or before.inputs != present.inputs:
            remove_tree(path)
        elif before.sources != sources:
            present = _Note(inputs=present.inputs, sources=MIXED)
    data = present.model_dump_json().encode()
    if not path.is_dir():
        # It appears with its note: without one, a run that slept through its lease would take it for an old one's.
        fresh = temporary_beside(path)
        fresh.mkdir(parents=True)
        write_atomically(fresh / _NOTE, data)
        try:
            fresh.rename(path)
        except OSError:
            if not path.is_dir():  # else another run was faster
                raise
        else:
            return present.sources
        finally:
            remove_tree(fresh)
    write_atomically(path / _NOTE, data)
    return present.sources


class _Index(BaseModel):
    """Which object is which file; ``token`` tells one sending from another, and is empty before the first.

    Each machine notes the index that it last wrote or read, with what its files were like then (``signatures``).
    """

    token: str = ""
    objects: dict[RelativePath, RelativePath] = {}
    signatures: dict[str, Signature] = {}


def restore_scratch(remote: Remote, prefix: str, scratch: Path) -> bool:
    """Download what is kept under ``prefix``. If this machine sent it itself, only missing files are downloaded.

    If this machine sent something and nothing is kept any more, the stage was finished meanwhile. What is here is
    dropped then.

    Returns:
        Whether anything is kept there.

    Raises:
        RemoteError: it cannot be read.
    """
    index, sent = _read_index(remote, prefix), _read_sent(scratch)
    if not index.token:
        if sent.token:
            remove_tree(scratch)
        return False
    if sent.token != index.token:
        remove_tree(scratch)
        sent = _Index()
    missing = [name for name in index.objects if not (scratch / name).exists()]
    if not missing:
        return True
    arriving = temporary_beside(scratch)
    try:
        for name in missing:
            (arriving / name).parent.mkdir(parents=True, exist_ok=True)
            if remote.download(f"{prefix}/{index.objects[name]}", arriving / name) is None:
                # The stage is done, or another machine went on: what is here alone is not whole.
                remove_tree(scratch)
                return True
        for name in missing:
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (arriving / name).replace(scratch / name)
        # What this machine has and did not send yet is still to be sent.
        arrived = {name: signature_of(scratch / name) for name in missing}
        _note_sent(scratch, index, sent.signatures | arrived)
    finally:
        remove_tree(arriving)
    return True


def was_sent(scratch: Path) -> bool:
    """Whether this machine has sent what it keeps, or took over what another had sent."""
    return (scratch / _SENT).exists()


def remove_scratch(remote: Remote, prefix: str) -> None:
    """Remove what was kept of a finished stage. What cannot be removed is left for ``gc``."""
    try:
        found = remote.list(prefix)
        if found:
            remote.remove([f"{prefix}/{_INDEX}"])
            remote.remove(sorted(found.keys() - {f"{prefix}/{_INDEX}"}))
    except RemoteError as error:
        log.warning("%s", error)


class ScratchSender(Sender, threading.Thread):
    """Sends one stage's scratch directory from time to time, until it is closed; never fails the stage.

    ``superseded`` becomes true when another machine has sent what it keeps of the same stage: this one was given up.
    """

    def __init__(self, remote: Remote, prefix: str, scratch: Path) -> None:
        threading.Thread.__init__(self, name=f"sender {prefix[-16:]}", daemon=True)
        self.superseded = False
        self._remote, self._prefix, self._scratch = remote, prefix, scratch
        self._seconds = number_from("SSDBENCH_SEND_SECONDS", _SEND_SECONDS, "seconds")
        self._known = _read_sent(scratch)
        self._closing = threading.Event()
        self._last = self._given_up = False
        self._naming = threading.Lock()  # held to write the index: none may appear after close() without send

    def run(self) -> None:
        """Send until closed."""
        pause = self._seconds
        while not self._closing.wait(pause):
            started = time.monotonic()
            self._try()
            pause = max(self._seconds, _SHARE * (time.monotonic() - started))
        if self._last:
            self._try()

    def close(self, *, send: bool, until: Callable[[], bool] = lambda: False) -> None:
        """Stop. With ``send``, first send what is there now, and wait for that until ``until`` says to stop waiting."""
        self._last = send
        self._closing.set()
        while send and self.is_alive() and not until():
            self.join(_WAIT_SECONDS)
        with self._naming:
            self._given_up = True

    def _try(self) -> None:
        if self.superseded:
            return
        try:
            self._send()
        except (RemoteError, OSError) as error:
            log.warning("what the stage keeps was not sent: %s", error)

    def _send(self) -> None:
        """Send what changed since the last time.

        Links are made first. So a checkpoint that is replaced meanwhile is sent as it was, and a log that grows
        meanwhile has at least what was logged before the checkpoint.
        """
        links = temporary_beside(self._scratch)
        try:
            found = self._link(links)
            known = self._known.signatures
            if found == known or found.keys() <= {_NOTE} or not self._ours():
                return
            objects = {name: self._known.objects[name] for name in found if found[name] == known.get(name)}
            for name in found.keys() - objects.keys():
                if self._given_up:
                    return
                objects[name] = f"{name}.{uuid.uuid4().hex[:12]}"
                self._remote.upload(links / name, f"{self._prefix}/{objects[name]}")
            index = _Index(token=uuid.uuid4().hex, objects=objects)
            with self._naming:
                if self._given_up:
                    return
                data = index.model_dump_json(exclude={"signatures"}).encode()
                self._remote.write(f"{self._prefix}/{_INDEX}", data)
                self._known = _note_sent(self._scratch, index, found)
            present = self._remote.list(self._prefix)
            named = {f"{self._prefix}/{name}" for name in (_INDEX, *objects.values())}
            self._remote.remove(sorted(present.keys() - named))
        finally:
            remove_tree(links)

    def _ours(self) -> bool:
        """Whether nobody else has sent since this machine did, or took over what was there."""
        index = _read_index(self._remote, self._prefix)
        if self._known.token and index.token not in ("", self._known.token):
            self.superseded = True
            log.warning("another machine has gone on with %s", self._prefix)
        return not self.superseded

    def _link(self, links: Path) -> dict[str, Signature]:
        """Link or copy every whole file. Files that are being written are hidden or end in a process's number."""
        found: dict[str, Signature] = {}
        for path in walk_files(self._scratch):
            name = path.relative_to(self._scratch).as_posix()
            if name != _NOTE and re.search(r"(^|/)\.|\.\d+$", name):
                continue
            (links / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                before = signature_of(path)
                copied = link_or_copy(path, links / name)
                # Of a copy, the original's from before: what replaced it meanwhile is sent again.
                found[name] = before if copied else signature_of(links / name)
            except FileNotFoundError:  # replaced or moved meanwhile
                continue
        return found


def _read_index(remote: Remote, prefix: str) -> _Index:
    """The index under ``prefix``; an empty one where there is none."""
    data = remote.read(f"{prefix}/{_INDEX}")
    try:
        return _Index() if data is None else _Index.model_validate_json(data)
    except ValidationError:
        place = f"{remote.url}/{prefix}/{_INDEX}"
        log.warning("%s is not valid: what an unfinished stage kept is lost", place)
        return _Index()


def _read_sent(scratch: Path) -> _Index:
    """This machine's note; an empty one where there is none."""
    with suppress(OSError, ValidationError):
        return _Index.model_validate_json((scratch / _SENT).read_bytes())
    return _Index()


def _note_sent(scratch: Path, index: _Index, signatures: dict[str, Signature]) -> _Index:
    sent = index.model_copy(update={"signatures": signatures})
    write_atomically(scratch / _SENT, sent.model_dump_json().encode())
    return sent
