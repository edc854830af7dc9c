"""Finished artifacts: what ``DONE.json`` says of them, whether they are whole and up to date, and taking them back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ssdbench.errors import SsdbenchError
from ssdbench.store.directory import MANIFESTS, Directory, is_key, object_name
from ssdbench.store.files import is_temporary, statuses
from ssdbench.store.manifest import Manifest, parse_manifest
from ssdbench.store.owner import Owner
from ssdbench.store.record import Records, record_name, thumbnail_name

log = logging.getLogger(__name__)

_ABANDONED_SECONDS = 600.0
_TEMPORARY_SECONDS = 60.0


class Artifacts(Records):
    """The finished artifacts of a store; :class:`ssdbench.store.Store` also makes and removes them."""

    def __init__(self, backend: Directory) -> None:
        super().__init__(backend)
        self.artifacts_dir = self.root / "artifacts"

    def key_dir(self, key: str) -> Path:
        """The directory of one spec key, which need not exist.

        Raises:
            ValueError: ``key`` is not 64 hex digits.
        """
        return self.root / object_name(key)

    def all_keys(self) -> Iterator[str]:
        """Every key that has a directory here, finished or not."""
        self.backend.look(MANIFESTS)
        for path in sorted(self.artifacts_dir.glob("??/*")):
            if is_key(path.name):
                yield path.name

    def manifest(self, key: str) -> Manifest | None:
        """What ``DONE.json`` says, or None where the artifact is not done.

        An invalid ``DONE.json`` is set aside, and the artifact counts as not done.

        Raises:
            NewerStore: a later version of ssdbench wrote it.
        """
        self.backend.look(MANIFESTS)
        try:
            return self._manifest_here(key)
        except ValueError:
            return self.refresh(key)

    def refresh(self, key: str) -> Manifest | None:
        """Ask again whether an artifact is done; returns its manifest.

        If another machine has finished it meanwhile, the manifests of what it was made from and its record come too.
        """
        self.backend.look(MANIFESTS)
        before = None
        with suppress(ValueError):
            before = self._manifest_here(key)
        self.backend.bring([object_name(key, "DONE.json")])
        try:
            manifest = self._manifest_here(key)
        except ValueError as error:
            self._move_aside(key, f"unreadable-{Owner.current().token}", f"DONE.json is not valid: {error}")
            return None
        if self.backend.follows and manifest is not None and manifest != before:
            self._follow(manifest)
        return manifest

    def _manifest_here(self, key: str) -> Manifest | None:
        """What the file here says; ValueError where it is not valid."""
        try:
            return self._parsed(self.key_dir(key) / "DONE.json", lambda data: parse_manifest(data, key))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _follow(self, manifest: Manifest) -> None:
        """Bring an artifact's record, and the manifests of what it was made from unless they are here."""
        done = (object_name(key, "DONE.json") for key in manifest.made_from)
        names = [name for name in done if not (self.root / name).exists()]
        if manifest.kind == "score":
            names += [thumbnail_name(manifest.key), record_name(manifest.key)]
        self.backend.bring(names)

    def upstream_of(self, key: str) -> str | None:
        """None: a store by itself has no upstream. See :class:`ssdbench.store.upstream.Layered`."""
        return None

    def directory(self, key: str, only: str | None = None) -> Path:
        """The directory of this machine that holds a finished artifact's files, fetched where they are not here.

        ``only``: the one file to fetch, where no other is needed.

        Raises:
            SsdbenchError: the artifact is not done, or what is there is not what was committed.
        """
        manifest = self.manifest(key)
        if manifest is None:
            raise SsdbenchError(f"artifact {key[:12]} is not done")
        prefix = object_name(key, manifest.attempt)
        wanted = {name: entry for name, entry in manifest.files.items() if only in (None, name)}
        problem = self.backend.fetch(prefix, wanted)
        if problem is not None:
            raise SsdbenchError(f"artifact {key[:12]} in {self.name}: {problem}")
        return self.root / prefix

    def file(self, key: str, name: str) -> Path:
        """One file of a finished artifact, where no other is needed; it need not exist. Raises as ``directory``."""
        return self.directory(key, name) / name

    def stale(self, key: str, look: Callable[[str], Manifest | None] | None = None) -> str | None:
        """Why a finished artifact no longer fits what it was made from, or None.

        An input that is not there now (dropped samples, for example) makes nothing stale. What that input was made
        from may. ``look`` is used in place of :meth:`manifest`, so that a caller who asks for thousands can remember.
        """
        look = look or self.manifest
        manifest = look(key)
        if manifest is None:
            return None
        for role, consumed in manifest.inputs.items():
            present = look(consumed.key)
            if present is not None and present.digest != consumed.digest:
                return f"its input '{role}' ({present.title}) has other content than it was made from"
        for ancestor, digest in manifest.ancestors.items():
            present = look(ancestor)
            if present is not None and present.digest != digest:
                return f"what its inputs were made from ({present.title}) has other content now"
        return None

    def verify(self, key: str, *, trust_seen: bool = False, strict: bool = False) -> list[str]:
        """Compare a finished artifact's files with its manifest. Returns one line for each problem.

        For a store on a URL, the copies on this machine are compared, and damaged ones are fetched again.

        Args:
            key: spec key.
            trust_seen: skip files that this process has read before and that carry the same size, inode and
                modification time as then.
            strict: count hidden files that were never committed as problems too; desktops and NFS make such. Of a
                store on a URL, read the objects themselves and keep nothing.
        """
        manifest = self.manifest(key)
        if manifest is None:
            return ["the artifact is not done"]
        prefix = object_name(key, manifest.attempt)
        return self.backend.verify(prefix, manifest.files, trust_seen=trust_seen, strict=strict)

    def aside_reason(self, key: str) -> str | None:
        """Why an artifact of this key was set aside last, if one was."""
        self.backend.look(MANIFESTS)
        notes = (self.key_dir(key) / "aside").glob("*.txt")
        last = max(notes, key=lambda path: path.stat().st_mtime_ns, default=None)
        return None if last is None else last.read_text(encoding="utf-8").strip()

    def leftovers(self, key: str) -> list[Path]:
        """What dead processes left behind under a key: attempts that were never committed, and temporary files."""
        directory, manifest, holder = self.key_dir(key), self.manifest(key), self.backend.holder(key)
        kept = {path.stem for path in (directory / "aside").glob("*.json")}
        kept |= {manifest.attempt} if manifest is not None else set()
        attempts = [path for path in directory.glob("attempt-*") if path.name not in kept]
        temporary = [path for path in directory.glob(".*.tmp") if is_temporary(path)]
        return [path for path in attempts if _abandoned(path, holder)] + [
            path for path in temporary if _age(path) > _TEMPORARY_SECONDS
        ]

    # ---- taking an artifact back

    def set_aside(self, key: str, attempt: str, reason: str) -> bool:
        """Take back the artifact that ``attempt`` made; False where it no longer stands.

        Its files stay until ``gc``, since somebody may be reading them.
        """
        manifest = self.refresh(key)
        if manifest is None or manifest.attempt != attempt:
            return False
        return self._move_aside(key, attempt, reason)

    def _move_aside(self, key: str, name: str, reason: str) -> bool:
        aside = object_name(key, "aside", name)
        try:
            self.backend.move(object_name(key, "DONE.json"), f"{aside}.json")
            self.backend.write(f"{aside}.txt", f"{reason}\n".encode())
        except OSError as error:
            log.warning("artifact %s (%s) could not be set aside: %s", key[:12], reason, error)
            return False
        log.warning("artifact %s was set aside: %s", key[:12], reason)
        return True


def _age(path: Path) -> float:
    """Seconds since the last change of a file or of anything in a directory."""
    return time.time() - max((status.st_mtime for status in statuses(path)), default=0.0)


def _abandoned(path: Path, holder: Owner | None) -> bool:
    """Whether nobody can still be writing to an attempt: its process is dead, or elsewhere and long quiet."""
    owner = Owner.from_tag(path.name.removeprefix("attempt-"))
    if owner is None or owner.here:
        return owner is None or owner.dead
    held = holder is not None and holder.process == owner.process
    return not held and _age(path) > _ABANDONED_SECONDS
