"""What dead processes left of a key: attempts that were never committed, and temporary files."""

from __future__ import annotations

import time
from pathlib import Path

from ssdbench.store.files import is_temporary, walk_files
from ssdbench.store.owner import Owner

_ABANDONED_SECONDS = 600.0
_TEMPORARY_SECONDS = 60.0


def leftovers(directory: Path, standing: str | None, holder: Owner | None) -> list[Path]:
    """Attempts and temporary files of a key's directory that nobody writes to and nothing names.

    Args:
        directory: of the key.
        standing: the attempt that is the artifact, if there is one.
        holder: who holds the key's lease.
    """
    kept = {path.stem for path in (directory / "aside").glob("*.json")} | {standing}
    attempts = [path for path in directory.glob("attempt-*") if path.name not in kept]
    temporary = [
        path for path in directory.glob(".*.tmp") if is_temporary(path) and _age(path) > _TEMPORARY_SECONDS
    ]
    return [path for path in attempts if _abandoned(path, holder)] + temporary


def _age(path: Path) -> float:
    """Seconds since the last change of a file or of anything in a directory."""
    newest = 0.0
    for entry in [path, *walk_files(path)] if path.is_dir() else [path]:
        try:
            newest = max(newest, entry.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return time.time() - newest


def _abandoned(path: Path, holder: Owner | None) -> bool:
    """Whether nobody can still be writing to an attempt: its process is dead, or elsewhere and long quiet."""
    owner = Owner.from_tag(path.name.removeprefix("attempt-"))
    if owner is None or owner.here:
        return owner is None or owner.dead
    held = holder is not None and (holder.place, holder.pid, holder.started_ms) == (
        owner.place,
        owner.pid,
        owner.started_ms,
    )
    return not held and _age(path) > _ABANDONED_SECONDS
