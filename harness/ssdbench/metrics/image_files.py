"""Image files in folders and in plain tar archives: found, and decoded a few at a time in threads, in order."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ssdbench.data.decoding import EXTENSIONS, MAX_BYTES, OTHER_IMAGES, Noticed, decode, header_size
from ssdbench.data.folders import PASSED_OVER, passed_over
from ssdbench.errors import InputError, refusing
from ssdbench.inputs import require_file
from ssdbench.metrics.streams import in_order

TAR = ".tar"
_HELD = 1 << 28  # bytes of decoded images that wait, or go on together, at most; one may be larger
_Size = tuple[int, int]


@dataclass(frozen=True)
class Encoded:
    """An image file, on disk or in an archive.

    Args:
        name: for messages.
        folder: the one that holds it, relative to where the search began.
        read: returns its bytes.
    """

    name: str
    folder: str
    read: Callable[[], bytes]

    def pixels(
        self, resolution: int | None, like: tuple[str, _Size] | None, noticed: Noticed | None
    ) -> NDArray[np.uint8]:
        """Return the image as RGB, uint8 (H, W, 3), of the width and height of the image ``like``; see ``decoded``."""
        return decode(self._content(), self.name, resolution, like, noticed)

    def size(self) -> tuple[int, int]:
        """Return the width and height by the header; raises as ``decoded``."""
        return header_size(self._content(), self.name)

    def _content(self) -> bytes:
        try:
            return self.read()
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror or error}") from error

    @staticmethod
    def file(path: Path, root: Path) -> Encoded:
        """Return the image in a file below ``root``."""

        def read() -> bytes:
            require_file(path, MAX_BYTES)
            return path.read_bytes()

        return Encoded(str(path), path.parent.relative_to(root).as_posix(), read)


def decoded(
    images: Sequence[Encoded], resolution: int | None, batch: int, noticed: Noticed | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield images as RGB, uint8 NHWC in batches; cropped and resized as ADM does where a resolution is given.

    ``noticed`` is told what a reader may want to know of them.

    Raises:
        InputError: one cannot be decoded, has more than 8 bits a channel or transparent pixels, or is of another size
            than those before.
    """
    workers = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
    if not images:
        return
    first = images[0].pixels(resolution, None, noticed)
    like = (images[0].name, (first.shape[1], first.shape[0])) if resolution is None else None
    together = max(1, _HELD // first.nbytes)
    depth, rows = min(2 * workers, together), [first]
    with in_order(lambda image: image.pixels(resolution, like, noticed), images[1:], workers, depth) as rest:
        for pixels in rest:
            if len(rows) >= min(batch, together):
                yield np.stack(rows)
                rows = []
            rows.append(pixels)
        yield np.stack(rows)


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
    refused = refusing(f"{path} is no plain tar archive, or it is cut short")
    with refused, tarfile.open(path, "r:") as archive:
        for member in archive:
            # A size below zero would lead back to headers that were read before, again and again.
            if member.size < 0 or member.offset <= end:
                raise InputError(f"{path}: {member.name!r:.200} has a size of {member.size} bytes")
            end = member.offset
            parts = tuple(part for part in PurePosixPath(member.name).parts if part != ".")
            suffix = PurePosixPath(member.name).suffix.lower()
            if not parts or any(part.startswith(PASSED_OVER) for part in parts):
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
    if not found:
        raise InputError(f"{path}: no images found (looked for {', '.join(sorted(EXTENSIONS))})")
    return [image for _, image in sorted(found, key=lambda item: item[0])], passed_over(others)


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)
