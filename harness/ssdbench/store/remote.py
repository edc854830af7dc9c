"""Objects under a URL, through fsspec: the few operations that a store on an object store needs.

Every error leaves as a ``RemoteError`` that says what could not be done where, and what to look at.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ssdbench.errors import UsageError
from ssdbench.faults import causes
from ssdbench.store.files import sha256_file

CONDITIONAL = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")
"""Protocols whose fsspec package creates an object only if it is absent, and that in one request.

s3fs sends ``If-None-Match: *``, gcsfs ``ifGenerationMatch=0``, adlfs ``overwrite=False``; what fsspec does for any
other looks first and writes then. ``memory`` is of one process and serves tests.
"""

_S3 = ("s3", "s3a")
_EXTRA = (*_S3, "http", "https")  # what the extra s3 brings packages for
_S3_OPTIONS: dict[str, Any] = {
    "use_listings_cache": False,  # another machine's objects must be seen
    "config_kwargs": {"connect_timeout": 10, "retries": {"mode": "standard", "max_attempts": 3}},
}
_EXPECTED = "expected a directory or a URL such as s3://bucket/prefix"
_MARKER = "ssdbench-store.json"
_CONFLICTS = 6  # at most so often is a conditional write repeated that met another one half way
_REMOVED_AT_ONCE = 1000
_BLOCK = 8 << 20


class RemoteError(UsageError):
    """A store's URL cannot be understood or reached, or refused what was asked of it."""


@dataclass(frozen=True)
class Object:
    """One object of a listing: bytes, a tag that changes with its content, and its age by this machine's clock."""

    size: int
    tag: str
    modified: float


class Remote:
    """Objects under one URL; names are relative to it, with ``/`` between their parts. For several threads."""

    def __init__(self, url: str) -> None:
        """Understand ``url``; nothing is asked of it yet.

        Raises:
            RemoteError: fsspec does not know the protocol, or lacks a package for it.
        """
        self.name = self.url = url.rstrip("/")
        if "://" not in self.url:
            raise RemoteError(f"{url}: {_EXPECTED}")
        self.protocol = url.partition("://")[0].lower()
        try:
            import fsspec
        except ImportError as error:
            raise RemoteError(f"{url}: a store on a URL needs fsspec: pip install 'ssdbench[s3]'") from error
        try:
            self._fs: Any
            self._fs, path = fsspec.url_to_fs(self.url, **(_S3_OPTIONS if self.protocol in _S3 else {}))
        except ImportError as error:
            hint = "pip install 'ssdbench[s3]'" if self.protocol in _EXTRA else str(error)
            raise RemoteError(
                f"{url}: the package that speaks {self.protocol}:// is missing: {hint}"
            ) from error
        except ValueError as error:
            raise RemoteError(f"{url}: {error}; {_EXPECTED}") from error
        self._base = str(path).rstrip("/")
        # s3fs asks for an object's size before it reads it in parts, which a small one does not need.
        self._whole: dict[str, Any] = {"max_concurrency": 1} if self.protocol in _S3 else {}

    # ---- reading

    def list(self, prefix: str) -> dict[str, Object]:
        """All objects whose names begin with ``prefix + '/'``, by name; one request a thousand on S3."""
        found: dict[str, Any] = {}
        with self._explained("list", prefix, absent=True):
            found = self._fs.find(self._path(prefix), detail=True)
        start = len(self._base) + 1
        return {
            path[start:]: Object(int(info.get("size") or 0), _tag(info), _modified(info))
            for path, info in found.items()
            if info.get("type") == "file"
        }

    def read(self, name: str) -> bytes | None:
        """An object's content, or None where there is none."""
        return self.read_many([name]).get(name)

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Contents of small objects by name, asked for side by side; those that do not exist are left out."""
        paths = {self._path(name): name for name in names}
        found: dict[str, bytes] = {}
        if not paths:
            return found
        with self._explained("read", next(iter(paths.values()))):
            answers = self._fs.cat(list(paths), on_error="return", **self._whole)
            for path, answer in answers.items():
                if isinstance(answer, bytes):
                    found[paths[path]] = answer
                elif not _is_absent(answer):
                    raise answer
        return found

    def download(self, name: str, target: Path) -> str | None:
        """Copy an object into a new file; returns its SHA-256, or None where there is no such object."""
        with self._explained("read", name, absent=True):
            self._fs.get_file(self._path(name), str(target))
            return sha256_file(target)
        return None

    def digest(self, name: str) -> str | None:
        """SHA-256 of an object that is read in passing, or None where there is none."""
        with (
            self._explained("read", name, absent=True),
            self._fs.open(self._path(name), "rb", cache_type="readahead", block_size=_BLOCK) as file,
        ):
            return hashlib.file_digest(file, "sha256").hexdigest()
        return None

    # ---- writing

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a small object, in one step for whoever reads it."""
        with self._explained("write", name):
            self._fs.pipe_file(self._path(name), data)

    def upload(self, source: Path, name: str) -> None:
        """Create or replace an object from a file; it is there whole or not at all."""
        with self._explained("write", name):
            self._fs.put_file(str(source), self._path(name))

    def create(self, name: str, data: bytes) -> bool:
        """Create a small object unless it exists; returns whether it did not.

        False may also mean that this call created it: if a reply is lost, the client repeats the request. The caller
        can tell by the content.
        """
        for attempt in range(_CONFLICTS):
            try:
                with self._explained("create", name):
                    self._fs.pipe_file(self._path(name), data, mode="create")
                return True
            except RemoteError as error:
                if _is_there(error.__cause__):
                    return False
                # Another conditional write or a removal was under way: S3 asks to try again.
                if not _is_conflict(error.__cause__) or attempt == _CONFLICTS - 1:
                    raise
            time.sleep(0.1 * 2**attempt)
        return False

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, in no particular order; those that do not exist count as removed."""
        paths = [self._path(name) for name in names]
        for start in range(0, len(paths), _REMOVED_AT_ONCE):
            part = paths[start : start + _REMOVED_AT_ONCE]
            with self._explained("remove", part[0]):
                try:
                    self._fs.rm(part)
                except FileNotFoundError:
                    # Somebody else was faster with one of them.
                    for path in part:
                        with suppress(FileNotFoundError):
                            self._fs.rm_file(path)

    def require_conditional(self) -> None:
        """Refuse a protocol that cannot create an object only if it is absent, in one step (``RemoteError``)."""
        if self.protocol not in CONDITIONAL:
            raise RemoteError(
                f"{self.url}: {self.protocol}:// cannot create an object only if it is absent, so that two machines "
                f"could finish one stage; a store takes {', '.join(CONDITIONAL[:-1])} or a directory"
            )

    def prove_conditional(self) -> None:
        """Make sure that an object cannot be created twice, or two machines could both finish one stage.

        Raises:
            RemoteError: the server ignores the condition, as some that resemble S3 do.
        """
        marker = json.dumps({"schema_version": 1}).encode()
        if self.create(_MARKER, marker) and self.create(_MARKER, marker):
            raise RemoteError(
                f"{self.url}: the server creates an object a second time though asked to only if it is absent "
                "(If-None-Match: *), so that two machines could finish one stage; a newer server may do better"
            )

    # ---- names and errors

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    @contextmanager
    def _explained(self, what: str, name: str, *, absent: bool = False) -> Iterator[None]:
        """Turn what goes wrong into a RemoteError. With ``absent``, one that does not exist only ends the block."""
        try:
            yield
        except RemoteError:
            raise
        except Exception as error:  # each protocol's package has its own
            if absent and _is_absent(error):
                return
            raise RemoteError(f"cannot {what} {self.url}/{name}: {_explain(error)}") from error


def _tag(info: dict[str, Any]) -> str:
    """What changes with an object's content: its ETag, or size and times."""
    tag = info.get("ETag") or info.get("etag")
    return str(tag) if tag else f"{info.get('size')} {info.get('mtime') or info.get('created')}"


def _modified(info: dict[str, Any]) -> float:
    """When the object was written, in seconds since 1970; 0 where a listing does not say."""
    for name in ("LastModified", "last_modified", "updated", "mtime", "created"):
        found = info.get(name)
        if isinstance(found, datetime):
            return found.timestamp()
        if isinstance(found, int | float):
            return float(found)
    return 0.0


def _explain(error: BaseException) -> str:
    """What went wrong, in words, with what to look at: fsspec's errors and those of the packages below it."""
    kinds = {type(one).__name__ for one in causes(error)}
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "ProfileNotFound"}:
        return f"no credentials were found (AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws, or a role): {error}"
    if isinstance(error, PermissionError):
        # Where listing is not granted, S3 says so of what does not exist, too.
        return f"permission denied (reading, listing and, of a store, writing have to be granted): {error}"
    if isinstance(error, FileNotFoundError):
        return f"no such bucket or place: {error}"
    network = any(word in kind for kind in kinds for word in ("Connect", "Timeout", "Endpoint", "DNS"))
    if network or isinstance(error, ConnectionError | TimeoutError):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return f"unreachable{f' (AWS_ENDPOINT_URL is {endpoint})' if endpoint else ''}: {text}"
    return text


def _code(error: BaseException | None) -> str:
    """The code of S3's answer at the root of an error, if there is one."""
    for one in causes(error):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _is_absent(error: BaseException) -> bool:
    """Whether an object does not exist. A bucket that does not exist is another error."""
    no_bucket = _code(error) == "NoSuchBucket" or "specified bucket does not exist" in str(error)
    return isinstance(error, FileNotFoundError) and not no_bucket


def _is_there(error: BaseException | None) -> bool:
    """Whether a conditional write failed because the object exists."""
    return isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412")


def _is_conflict(error: BaseException | None) -> bool:
    """Whether a conditional write collided with another one, or with a removal."""
    return _code(error) in ("ConditionalRequestConflict", "OperationAborted", "409")
