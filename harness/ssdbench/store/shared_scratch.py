"""What an unfinished stage keeps, as objects: another machine goes on where one that was lost stopped.

The objects lie where a store in a directory has the files. They are sent while the stage runs, as often as takes at
most a tenth of its time, and removed once it is done. A file ``.sent``, last of all, names what was sent: a machine
whose own copy names the same is at least as far.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import uuid
from pathlib import Path

from ssdbench.store.artifacts import SCRATCH_NOTE
from ssdbench.store.files import remove_tree, temporary_beside, walk_files
from ssdbench.store.lease import positive_setting
from ssdbench.store.reading import Signature, signature_of
from ssdbench.store.remote import Remote
from ssdbench.store.remote_errors import RemoteError

log = logging.getLogger(__name__)

_SEND_SECONDS = 60.0  # or SSDBENCH_SEND_SECONDS
_SENT = ".sent"
_SHARE = 10.0  # after a sending that took t seconds, the next one waits for this many times t


def restore_scratch(remote: Remote, prefix: str, scratch: Path) -> bool:
    """Bring here what another machine sent under ``prefix``, in place of what is here.

    Returns:
        Whether anything is kept there, also where it was this machine that sent it.

    Raises:
        RemoteError: it cannot be read.
    """
    sent = remote.read(f"{prefix}/{_SENT}")
    if sent is None:
        return False
    if _token(scratch) == sent:
        return True
    arriving = temporary_beside(scratch)
    try:
        for name in remote.list(prefix):
            path = arriving / name.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            remote.download(name, path)
        remove_tree(scratch)
        arriving.rename(scratch)
    finally:
        remove_tree(arriving)
    return True


def remove_scratch(remote: Remote, prefix: str) -> None:
    """Remove what was sent of a stage that is done; ``.sent`` goes first: no half of it is to be brought back."""
    found = sorted(remote.list(prefix))
    first = f"{prefix}/{_SENT}"
    if first in found:
        remote.remove([first])
    remote.remove([name for name in found if name != first])


class ScratchSender(threading.Thread):
    """Sends one stage's scratch directory from time to time, until it is closed; never fails the stage."""

    def __init__(self, remote: Remote, prefix: str, scratch: Path) -> None:
        super().__init__(name=f"sender {prefix[-16:]}", daemon=True)
        self.sent_any = False
        self._remote, self._prefix, self._scratch = remote, prefix, scratch
        self._seconds = positive_setting("SSDBENCH_SEND_SECONDS", _SEND_SECONDS, "seconds")
        self._known: dict[str, Signature] = {}
        self._closing = threading.Event()

    def run(self) -> None:
        """Send until closed."""
        pause = self._seconds
        while not self._closing.wait(pause):
            started = time.monotonic()
            self._try()
            pause = max(self._seconds, _SHARE * (time.monotonic() - started))

    def close(self, *, send: bool) -> None:
        """Stop, after sending what is there now if ``send``."""
        self._closing.set()
        if self.is_alive():
            self.join()
        if send:
            self._try()

    def _try(self) -> None:
        try:
            self._send()
        except (RemoteError, OSError) as error:
            log.warning("what the stage keeps was not sent: %s", error)

    def _send(self) -> None:
        """Send what changed since the last time.

        Links are taken first: a checkpoint that is replaced stays as it was, a log that is appended to goes on. What
        changed last goes first, so that the objects never hold a checkpoint without all that was logged before it.
        """
        links = temporary_beside(self._scratch)
        try:
            found = self._link(links)
            changed = [name for name, signature in found.items() if self._known.get(name) != signature]
            if not changed or found.keys() == {SCRATCH_NOTE}:
                return
            if not self.sent_any and self._remote.read(f"{self._prefix}/{_SENT}") != _token(self._scratch):
                remove_scratch(self._remote, self._prefix)  # of an attempt that consumed something else
            note = [SCRATCH_NOTE] if SCRATCH_NOTE in changed else []
            rest = sorted(set(changed) - {SCRATCH_NOTE}, key=lambda name: -found[name][1])
            for name in note + rest:
                self._remote.upload(links / name, f"{self._prefix}/{name}")
                self._known[name] = found[name]
            token = uuid.uuid4().hex.encode()
            self._remote.write(f"{self._prefix}/{_SENT}", token)
            self.sent_any = True
            (self._scratch / _SENT).write_bytes(token)
        finally:
            remove_tree(links)

    def _link(self, links: Path) -> dict[str, Signature]:
        """Link every whole file, by name; one that is being written is hidden or ends in a process's number."""
        found: dict[str, Signature] = {}
        for path in walk_files(self._scratch):
            name = path.relative_to(self._scratch).as_posix()
            if name != SCRATCH_NOTE and re.search(r"(^|/)\.|\.\d+$", name):
                continue
            (links / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, links / name)
                found[name] = signature_of(links / name)
            except FileNotFoundError:  # replaced or moved meanwhile
                continue
        return found


def _token(scratch: Path) -> bytes | None:
    try:
        return (scratch / _SENT).read_bytes()
    except OSError:
        return None
