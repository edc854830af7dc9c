"""What readers of users' files look at before they read: whether it is a file, its size, where a name leads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError


def require_file(path: Path, most: int | None = None) -> int:
    """The size of a plain file in bytes. A pipe or a device would be waited for, or never end.

    Raises:
        InputError: there is none, it is something else, or it has more than ``most`` bytes.
    """
    try:
        status = path.stat()
        plain = path.is_file()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not plain:
        kind = "a folder" if path.is_dir() else "neither a file nor a folder"
        raise InputError(f"{path}: is {kind}, expected a file")
    if most is not None and status.st_size > most:
        raise InputError(f"{path}: has {status.st_size:,} bytes, expected at most {most:,}")
    return status.st_size


def is_plain_name(name: str) -> bool:
    """Whether a name is that of an entry of a folder, and leads neither out of it nor deeper."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0") and is_text(name)


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON can say half a surrogate pair, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it cannot be read, is not JSON, or is nested too deeply.
    """
    require_file(path)
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error


def parse_json(text: str) -> Any:
    """The content of a JSON text.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
