"""Files of tensors and their ``config.json``: safetensors, torch's own format, in one piece or in shards.

What they hold is told without torch (:class:`Inside`); only what is read needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.inputs import is_plain_name, load_json
from ssdbench.models.file_headers import read_headers
from ssdbench.models.headers import ITEM_BYTES, Header, some

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "diffusion_pytorch_model.safetensors"
# What diffusers and transformers look for in a folder, in the order of preference: whole files, and indices of shards.
FOLDER_WEIGHTS, TEXT_WEIGHTS = (
    [f"{name}{ending}" for name in names for ending in ("", ".index.json")]
    for names in ((WEIGHTS, "diffusion_pytorch_model.bin"), ("model.safetensors", "pytorch_model.bin"))
)


@dataclass(frozen=True)
class Inside:
    """A tensor in a file, by the name under which it is stored there."""

    file: Path
    name: str
    header: Header


@dataclass(frozen=True)
class Found:
    """Weights that were found and not yet read.

    ``path`` is their file, or the folder of the model itself; ``tensors`` are by the model's names. ``part`` is
    which set of weights of a file that holds several, and ``note`` what the user is told of it.
    """

    path: Path
    tensors: dict[str, Inside]
    part: str = ""
    note: str = ""


def in_file(path: Path, *, strip: bool = False) -> dict[str, Inside]:
    """The tensors of a file of either format; see :func:`ssdbench.models.file_headers.read_headers`.

    Raises:
        InputError: it is malformed, or holds none by name.
    """
    return {name: Inside(path, name, header) for name, header in read_headers(path, strip=strip).items()}


def in_folder(folder: Path, names: Sequence[str] = FOLDER_WEIGHTS) -> dict[str, Inside]:
    """The tensors of a folder that ``save_pretrained`` wrote: safetensors or ``.bin``, whole or in shards.

    Args:
        folder: of one model.
        names: of files of weights or indices of them, in the order of preference.

    Raises:
        InputError: there are none, or a file is missing or malformed.
    """
    chosen = next((name for name in names if (folder / name).is_file()), None)
    if chosen is None:
        raise InputError(f"{folder}: has no weights: expected {' or '.join(names)}, found {listing(folder)}")
    weights = folder / chosen
    found: dict[str, Inside] = {}
    for name in shards(weights):
        found |= in_file(folder / name)
    if weights.name.endswith(".index.json"):
        lost = [name for name in load_json(weights)["weight_map"] if name not in found]
        if lost:
            raise InputError(f"{weights}: lists tensors that its files do not hold: {some(lost)}")
    return found


def read_tensors(found: Mapping[str, Inside], *, strip: bool = False) -> dict[str, Tensor]:
    """Read tensors, on the CPU and in the precision in which they are stored; numbers stay in the file until used.

    With ``strip`` numbers are taken as they are.

    Raises:
        InputError: some are no plain tensors, or their numbers are NaN or infinite.
    """
    import torch

    lost = [own for own, inside in found.items() if inside.header.dtype not in ITEM_BYTES]
    if lost:
        raise InputError(f"{found[lost[0]].file}: holds no plain tensors of the names {some(lost)}")
    if not strip:
        refuse_stored(found)
    tensors = {}
    for own, numbers in _stored(found):
        header, dtype = found[own].header, getattr(torch, found[own].header.dtype)
        if not header.numel():
            tensors[own] = torch.empty(header.shape, dtype=dtype)
            continue
        flat, stride = torch.from_numpy(numbers).view(dtype), header.stride
        tensors[own] = flat.view(header.shape) if stride is None else flat.as_strided(header.shape, stride)
    return tensors


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of either format, all of them."""
    return read_tensors(in_file(path))


def _stored(found: Mapping[str, Inside]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The bytes of each tensor, mapped from its file; copied where torch would not take them as they lie."""
    for path in dict.fromkeys(inside.file for inside in found.values()):
        mapped = np.memmap(path, np.uint8, "c").view(np.ndarray)
        for own, inside in found.items():
            if inside.file != path:
                continue
            header, item = inside.header, ITEM_BYTES.get(inside.header.dtype, 1)
            numbers = mapped[header.start : header.start + header.size]
            if header.swapped:
                parts = item // 2 if "complex" in header.dtype else item
                numbers = numbers.view(f"u{parts}").byteswap().view(np.uint8)
            yield own, numbers.copy() if header.start % item else numbers


def shards(path: Path) -> list[str]:
    """The names of the files of tensors that ``path``, an index or such a file itself, stands for.

    Raises:
        InputError: an index is malformed, or names files elsewhere.
    """
    if not path.name.endswith(".index.json"):
        return [path.name]
    names = load_json(path).get("weight_map")
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and is_plain_name(name) for name in names.values()
    ):
        raise InputError(f"{path}: expected 'weight_map' from tensors to files in the same folder")
    return sorted(set(names.values()))


def listing(folder: Path) -> str:
    """The first names in a folder, for messages."""
    return some(sorted(path.name for path in folder.iterdir()))


# Types of floating point, each as whole numbers of its size: bits that are looked at, and what they are in NaN and
# infinities.
_NOT_FINITE = {
    "float64": ("u8", 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0000),
    "float32": ("u4", 0x7F80_0000, 0x7F80_0000),
    "float16": ("u2", 0x7C00, 0x7C00),
    "bfloat16": ("u2", 0x7F80, 0x7F80),
    "float8_e5m2": ("u1", 0x7C, 0x7C),
    "float8_e4m3fn": ("u1", 0x7F, 0x7F),
    "float8_e4m3fnuz": ("u1", 0xFF, 0x80),
    "float8_e5m2fnuz": ("u1", 0xFF, 0x80),
    "float8_e8m0fnu": ("u1", 0xFF, 0xFF),
}
_BLOCK = 1 << 20  # numbers at a time


def refuse_stored(found: Mapping[str, Inside]) -> None:
    """Refuse weights that are no numbers; free of torch.

    Raises:
        InputError: some are NaN or infinite; names the file and the tensors.
    """
    bad = [own for own, numbers in _stored(found) if not _finite(numbers, found[own].header.dtype)]
    for path in dict.fromkeys(found[own].file for own in bad):
        held = [own for own, inside in found.items() if inside.file == path]
        here = [own for own in bad if own in held]
        raise InputError(
            f"{path}: {len(here)} of {len(held)} tensors have numbers that are NaN or infinite: {some(here)}"
        )


def _finite(stored: NDArray[np.uint8], dtype: str) -> bool:
    if dtype not in _NOT_FINITE:
        return True
    kind, mask, value = _NOT_FINITE[dtype]
    numbers = stored.view(kind)
    return not any(((numbers[i : i + _BLOCK] & mask) == value).any() for i in range(0, len(numbers), _BLOCK))
