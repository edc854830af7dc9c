"""Images in plain tar archives, found through the headers and read where they lie."""

from __future__ import annotations

import tarfile
from functools import partial
from pathlib import Path, PurePosixPath

from ssdbench.data.decoding import EXTENSIONS, MAX_BYTES, OTHER_IMAGES
from ssdbench.data.folders import passed_over
from ssdbench.errors import InputError
from ssdbench.inputs import require_file
from ssdbench.metrics.decoding import Encoded

TAR = ".tar"


def tar_members(path: Path) -> tuple[list[Encoded], tuple[str, ...]]:
    """Return the images of an archive, sorted by path as those of a folder are, and what was passed over.

    Hidden ones are passed over without a word.

    Raises:
        InputError: it is no plain tar archive, is cut short, holds links, or no image.
    """
    size = require_file(path)
    end = -1
    found: list[tuple[tuple[str, ...], Encoded]] = []
    others: list[PurePosixPath] = []
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                # A size below zero would lead back to headers that were read before, again and again.
                if member.size < 0 or member.offset <= end:
                    raise InputError(f"{path}: {member.name!r:.200} has a size of {member.size} bytes")
                end = member.offset
                parts = tuple(part for part in PurePosixPath(member.name).parts if part != ".")
                suffix = PurePosixPath(member.name).suffix.lower()
                if not parts or any(part.startswith(".") for part in parts):
                    continue
                if suffix not in EXTENSIONS:
                    others += [PurePosixPath(member.name)] if suffix in OTHER_IMAGES else []
                    continue
                if member.issym() or member.islnk():
                    raise InputError(f"{path}: {member.name} is a link to {member.linkname}: expected files")
                if not member.isfile():
                    continue
                if member.issparse():
                    raise InputError(f"{path}: {member.name} is stored as a sparse file: expected plain ones")
                if member.offset_data + member.size > size:
                    raise InputError(f"{path} is cut short within {member.name}")
                if member.size > MAX_BYTES:
                    raise InputError(
                        f"{path}: {member.name} has {member.size:,} bytes, expected {MAX_BYTES:,} at most"
                    )
                read = partial(_read, path, member.offset_data, member.size)
                found.append((parts, Encoded(f"{path}:{member.name}", "/".join(parts[:-1]), read)))
    except InputError:
        raise
    except (
        Exception
    ) as error:  # tarfile raises what its parts do: ValueError, RecursionError, OverflowError, ...
        raise InputError(f"{path} is no plain tar archive, or it is cut short: {error}") from error
    if not found:
        raise InputError(f"{path}: no images found (looked for {', '.join(sorted(EXTENSIONS))})")
    return [image for _, image in sorted(found, key=lambda item: item[0])], passed_over(others)


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)
