"""Weights, data and references outside the graph: where they are on this machine, their digests, how to get them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from ssdbench.data.datasets import ASSETS, data_root, reader
from ssdbench.errors import InputError, SsdbenchError
from ssdbench.metrics.weights import available, effnet_file, inception_cache, network_digest
from ssdbench.stages import Source
from ssdbench.store.files import sha256_file, write_atomically

_REMEMBERED_BYTES = 64 << 20  # larger files' digests are kept between processes


class Missing(InputError):
    """Something is not on this machine; the message says how to get it."""


def locate(text: str, hint: str) -> Source:
    """The source ``package:PATH`` (shipped with the installation) or ``file:NAME`` (the user's, under weights).

    Raises:
        Missing: it is not there.
    """
    scheme, _, name = text.partition(":")
    path = ASSETS / name if scheme == "package" else data_root() / "weights" / name
    if not path.exists():
        how = "it comes with the installation: reinstall ssdbench" if scheme == "package" else hint
        raise Missing(f"{path} is missing: {how}")
    return Source(digest=digest([path]), path=str(path))


def dataset_source(name: str) -> Source:
    """The files of a data set."""
    found = reader(name)
    files = found.files()
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise Missing(f"data set {name!r}: {', '.join(missing)} missing: {found.hint}")
    return Source(digest=digest(files), path=str(files[0].parent))


def network_source(name: str, weights: str | None) -> Source:
    """The weights of a feature network."""
    problem = available(name, weights)
    if problem is not None:
        raise Missing(problem)
    default = {"inception": inception_cache(), "effnet-lite0": effnet_file()}.get(name)
    path = weights or (str(default) if default else "")
    return Source(digest=network_digest(name, weights), path=path)


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of files and folders (every file below, sorted)."""
    total = hashlib.sha256()
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            total.update(f"{name}\0{_file_digest(file)}\n".encode())
    return total.hexdigest()


def _file_digest(path: Path) -> str:
    status = path.stat()
    if status.st_size < _REMEMBERED_BYTES:
        return sha256_file(path)
    memory = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ssdbench" / "digests.json"
    known = _read(memory)
    label = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
    if label not in known:
        known[label] = sha256_file(path)
        _remember(memory, known)
    return known[label]


def _read(memory: Path) -> dict[str, str]:
    try:
        content = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(memory: Path, known: dict[str, str]) -> None:
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, json.dumps(known, indent=0).encode())
    except (OSError, SsdbenchError):
        return  # only a speed-up: a cache directory that cannot be written costs time, nothing else
