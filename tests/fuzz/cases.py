"""The registry of crafted files: what each is, what writes it, what reads it, and what the reader has to say."""

from collections.abc import Callable
from pathlib import Path

from ssdbench.metrics.sources import open_images

Case = tuple[str, Callable[[Path], object], Callable[[Path], object], str]
CASES: dict[str, Case] = {}
"""What it is: the file's name, what writes it, what reads it, and what the reader has to say ('' where it may read)."""

SLOW = {
    "suite: thousands of mappings merged into one",
    "suite: seeds by the rows of a matrix",
    "suite: more seeds than anyone has",
    "baseline: billion laughs",
}
"""What takes seconds to be counted."""


def case(
    title: str,
    name: str,
    content: bytes | str | Callable[[Path], object],
    read: Callable[[Path], object],
    said: str,
) -> None:
    def write(path: Path) -> object:
        if callable(content):
            return content(path)
        return path.write_bytes(content.encode() if isinstance(content, str) else content)

    CASES[title] = (name, write, read, said)


def every(path: Path, resolution: int | None = None) -> int:
    return sum(len(batch) for batch in open_images(str(path), resolution).batches())
