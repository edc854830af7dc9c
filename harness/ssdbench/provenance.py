"""Which code made an artifact: a digest of the sources that decide results, and the checkout's commit."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path

import ssdbench

SCIENCE = ("data", "diffusion", "methods", "metrics", "models", "samplers", "stages", "training")
"""The packages whose code decides results."""


def package_directory() -> Path:
    """Where the package's sources lie."""
    return Path(ssdbench.__file__).resolve().parent


def digest_sources(package: Path) -> str:
    """SHA-256 over every ``.py`` file of ``SCIENCE`` under ``package``: relative path, then content."""
    digest = hashlib.sha256()
    for part in SCIENCE:
        for path in sorted((package / part).rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@functools.cache
def git_commit() -> str | None:
    """The checkout's commit, with ``-dirty`` where it has changes; None for an installed package.

    A package that merely lies inside somebody's repository (a virtual environment, say) has none.
    """
    package = package_directory()
    top = _git(package, "rev-parse", "--show-toplevel")
    if top is None or package != Path(top).resolve() / "harness" / "ssdbench":
        return None
    return _git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(directory: Path, *arguments: str) -> str | None:
    command, quiet = ["git", "-C", str(directory), *arguments], subprocess.DEVNULL
    try:
        answer = subprocess.check_output(command, text=True, timeout=20, stdin=quiet, stderr=quiet)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.strip() or None
