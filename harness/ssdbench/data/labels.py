"""The classes that samples are made as, where a suite says them: how they are drawn, or a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ssdbench.errors import InputError, refusing
from ssdbench.inputs import require_file, text_lines
from ssdbench.setting import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RANDOM: Final = "random"
BALANCED: Final = "balanced"
Labels = Literal["balanced"] | Source | None
"""How the classes of samples are chosen: each at random; balanced; or those of a file."""

FILES = (".txt", ".npy")
_MOST_BYTES = 1 << 28


def read_labels(path: Path, count: int, classes: int) -> NDArray[np.int64]:
    """The first ``count`` classes of a file, int64 (count,), each from 0 to ``classes`` - 1.

    Args:
        path: a text file with one a line, the last of which may be empty, or an ``.npy`` of whole numbers (N,).
        count: of them that are wanted; a file may hold more.
        classes: that there are.

    Raises:
        InputError: it cannot be read, holds fewer, or something else; names the line or the place in the array.
    """
    import numpy as np

    require_file(path, _MOST_BYTES)
    found = _array(path) if path.suffix == ".npy" else _lines(path)
    if len(found) < count:
        raise InputError(f"{path}: holds {len(found):,} classes, expected one for each of {count:,} samples")
    found = found[:count]
    wrong = np.flatnonzero((found < 0) | (found >= classes))
    if len(wrong):
        first = int(wrong[0])
        place = f"{path}[{first}]" if path.suffix == ".npy" else f"{path}:{first + 1}"
        raise InputError(f"{place}: is class {found[first]}, expected 0 to {classes - 1}, the model's")
    return found.astype(np.int64)


def _array(path: Path) -> NDArray[np.integer]:
    import numpy as np

    with refusing(f"{path} is no .npy file, or it is cut short"):
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise InputError(f"{path}: is {found.dtype} {found.shape}, expected whole numbers (N,)")
    return np.asarray(found)


def _lines(path: Path) -> NDArray[np.integer]:
    import numpy as np

    found = []
    for number, line in enumerate(text_lines(path), 1):
        text = line.strip()
        if not (text.isascii() and text.removeprefix("-").isdecimal() and len(text) < _LONGEST):
            raise InputError(f"{path}:{number}: is {line!r:.100}, expected the number of a class")
        found.append(int(text))
    return np.array(found, np.int64)


_LONGEST = 19  # characters: below 2^63
