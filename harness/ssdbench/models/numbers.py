"""Whether stored weights are numbers: NaN and infinities are found in a file, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

import numpy as np

from ssdbench.errors import InputError
from ssdbench.models.files import Inside, not_finite
from ssdbench.models.headers import Header

_BLOCK = 1 << 24  # bytes at a time: a whole number of items of any type
# Types of floating point, each as whole numbers of its size, and the bits that are all set in NaN and infinities.
_EXPONENTS = {
    "float64": ("<u8", 0x7FF0_0000_0000_0000),
    "float32": ("<u4", 0x7F80_0000),
    "float16": ("<u2", 0x7C00),
    "bfloat16": ("<u2", 0x7F80),
    "float8_e5m2": ("u1", 0x7C),
    "float8_e4m3fn": ("u1", 0x7F),
}


def refuse_stored(found: Mapping[str, Inside]) -> None:
    """Refuse weights that are no numbers; of a type that is not known here they are looked at when they are read.

    Raises:
        InputError: some are NaN or infinite; names the file and the tensors.
    """
    for path in dict.fromkeys(inside.file for inside in found.values()):
        held = {name: inside.header for name, inside in found.items() if inside.file == path}
        with path.open("rb") as file:
            bad = [name for name, header in held.items() if not _finite(file, header)]
        if bad:
            raise InputError(not_finite(path, bad, len(held)))


def _finite(file: IO[bytes], header: Header) -> bool:
    if header.start is None or header.dtype not in _EXPONENTS:
        return True
    kind, exponent = _EXPONENTS[header.dtype]
    file.seek(header.start)
    left = header.size
    while left > 0 and (block := file.read(min(left, _BLOCK))):
        left -= len(block)
        numbers = np.frombuffer(block, kind)
        mask = numbers.dtype.type(exponent)
        if ((numbers & mask) == mask).any():
            return False
    return True
