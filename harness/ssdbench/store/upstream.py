"""Upstream: another store, which is only read. Finished artifacts that one's own store lacks are taken from it.

``Layered`` shows both stores as one. An artifact of upstream counts only if everything that it was made from is the
same in one's own store: two executions of a training are never mixed in one row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from ssdbench.errors import SsdbenchError, UsageError
from ssdbench.store.directory import Directory, object_name
from ssdbench.store.manifest import Manifest, NewerStore, parse_manifest
from ssdbench.store.record import Record, record_name, thumbnail_name
from ssdbench.store.remote import Remote, RemoteError
from ssdbench.store.store import Store

log = logging.getLogger(__name__)


class Unfit(SsdbenchError):
    """An artifact of upstream cannot be taken: its files are not there or not what was committed."""


class Upstream:
    """Where finished artifacts may be taken from. It is asked for keys and never listed: HTTP has no listings."""

    def __init__(self, source: Directory | Remote) -> None:
        self.name = source.name
        self._source = source
        self._contents: dict[str, bytes | None] = {}
        self._manifests: dict[str, Manifest | None] = {}

    def look(self, keys: Iterable[str], targets: Iterable[str] = ()) -> None:
        """Ask for the manifests of these keys and the records of these score keys, side by side where that helps.

        Raises:
            UsageError: they cannot be read.
        """
        self._ask([*(object_name(key, "DONE.json") for key in keys), *map(record_name, targets)])

    def _ask(self, names: Iterable[str]) -> None:
        asked = [name for name in names if name not in self._contents]
        try:
            found = self._source.read_many(asked)
        except OSError as error:
            raise UsageError(f"--upstream {error.filename}: {error.strerror or error}") from error
        self._contents |= {name: found.get(name) for name in asked}

    def _content(self, name: str) -> bytes | None:
        self._ask([name])
        return self._contents[name]

    def manifest(self, key: str) -> Manifest | None:
        """The manifest of a finished artifact, or None."""
        if key not in self._manifests:
            self._manifests[key] = None
            data = self._content(object_name(key, "DONE.json"))
            try:
                self._manifests[key] = parse_manifest(data, key) if data is not None else None
            except (ValueError, NewerStore) as error:
                log.warning("upstream %s: artifact %s is left out: %s", self.name, key[:12], error)
        return self._manifests[key]

    def forget(self, key: str) -> None:
        """Take an artifact as absent from now on."""
        self._manifests[key] = None

    def record(self, key: str) -> Record | None:
        """A run's record of the present artifact, or None where there is no readable one."""
        manifest, data = self.manifest(key), self._content(record_name(key))
        if manifest is None or data is None:
            return None
        with suppress(ValidationError):
            record = Record.model_validate_json(data)
            return record if record.digest == manifest.digest else None
        return None

    def thumbnail(self, record: Record) -> bytes | None:
        """The PNG of a record's first samples, or None where there is none."""
        return self._content(thumbnail_name(record.key)) if record.thumbnail else None

    def fetch(self, manifest: Manifest, directory: Path) -> None:
        """Bring an artifact's files into a fresh directory; they may be hard links, and are not verified."""
        for name in manifest.files:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            place = object_name(manifest.key, manifest.attempt, name)
            if self._source.download(place, target) is None:
                raise SsdbenchError(f"{self.name}/{place}: there is no such object")


class Layered:
    """One's own store, and behind it what upstream has and fits."""

    def __init__(self, own: Store, upstream: Upstream) -> None:
        self.root = own.root
        self.name = own.name
        self.own = own
        self.upstream = upstream
        self._fits: dict[str, bool] = {}

    def manifest(self, key: str) -> Manifest | None:
        """One's own, else upstream's where it fits."""
        own = self.own.manifest(key)
        if own is not None:
            return own
        found = self.upstream.manifest(key)
        return found if found is not None and self._fitting(found) else None

    def upstream_of(self, key: str) -> str | None:
        """Where a finished artifact is if one's own store lacks it."""
        if self.own.manifest(key) is None and self.manifest(key) is not None:
            return self.upstream.name
        return None

    def stale(self, key: str, look: Callable[[str], Manifest | None] | None = None) -> str | None:
        """As one's own store says. An artifact of upstream is never stale: one that does not fit does not count."""
        return self.own.stale(key)

    def aside_reason(self, key: str) -> str | None:
        """As one's own store says."""
        return self.own.aside_reason(key)

    def read_record(self, key: str) -> Record | None:
        """One's own record; upstream's where the artifact is upstream's and the record is of it."""
        return self.own.read_record(key) if self.upstream_of(key) is None else self.upstream.record(key)

    def take(self, key: str) -> Manifest:
        """Copy an artifact of upstream into one's own store.

        Raises:
            Unfit: what is there is not what was committed; it counts as absent from now on.
        """
        manifest = self.upstream.manifest(key)
        if manifest is None:
            raise Unfit(f"{self.upstream.name}: artifact {key[:12]} is not there")
        attempt = self.own.begin(key)
        try:
            self.upstream.fetch(manifest, attempt.path)
            return self.own.take(attempt, manifest)
        except BaseException as error:
            self.own.discard(attempt)
            if isinstance(error, RemoteError) or not isinstance(error, SsdbenchError):
                raise
            self.upstream.forget(key)
            self._fits.clear()
            raise Unfit(f"{self.upstream.name}: {manifest.title}: {error}") from error

    def take_record(self, key: str) -> bool:
        """Copy the record of a score artifact that was taken; False where upstream has none of that artifact."""
        own, found = self.own.manifest(key), self.upstream.record(key)
        if own is None or found is None or found.digest != own.digest:
            return False
        self.own.write_record(found, self.upstream.thumbnail(found))
        return True

    def _fitting(self, manifest: Manifest) -> bool:
        """Whether everything that an artifact of upstream was made from is the same in one's own store.

        What one's own store lacks is compared with upstream. What neither has (dropped samples) is no obstacle.
        """
        if manifest.key not in self._fits:
            self._fits[manifest.key] = all(
                found.digest == digest
                for key, digest in manifest.made_from.items()
                if (found := self.own.manifest(key) or self.upstream.manifest(key)) is not None
            )
        return self._fits[manifest.key]


StoreReader = Store | Layered
"""What can be planned on."""
