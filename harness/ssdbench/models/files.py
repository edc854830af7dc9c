"""Files of tensors and their ``config.json``: safetensors, torch's own format, in one piece or in shards.

What they hold is told without torch (:class:`Inside`); only what is read needs it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ssdbench.errors import InputError
from ssdbench.inputs import is_plain_name, load_json
from ssdbench.models.file_headers import read_headers
from ssdbench.models.headers import Header, flatten, some
from ssdbench.models.parts import CONFIG

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "diffusion_pytorch_model.safetensors"
# What diffusers looks for in a folder, in the order of preference.
FOLDER_WEIGHTS = (
    WEIGHTS,
    f"{WEIGHTS}.index.json",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
)


def load_config(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a model folder."""
    return load_json(folder / CONFIG)


@dataclass(frozen=True)
class Inside:
    """A tensor in a file, by the name under which it is stored there."""

    file: Path
    name: str
    header: Header


@dataclass(frozen=True)
class Found:
    """Weights that were found and not yet read.

    ``path`` is their file, or the folder of the model itself; ``tensors`` are by the model's names. ``part`` and
    ``note`` are as in :class:`ssdbench.models.choosing.Chosen`.
    """

    path: Path
    tensors: dict[str, Inside]
    part: str = ""
    note: str = ""


def headers_of(found: Mapping[str, Inside]) -> dict[str, Header]:
    """The headers alone, by the same names."""
    return {name: inside.header for name, inside in found.items()}


def in_file(path: Path, *, strip: bool = False) -> dict[str, Inside]:
    """The tensors of a file of either format; see :func:`ssdbench.models.file_headers.read_headers`.

    Raises:
        InputError: it is malformed, or holds none by name.
    """
    tensors = read_headers(path, strip=strip).tensors
    return {name: Inside(path, name, header) for name, header in tensors.items()}


def in_folder(folder: Path, names: Iterable[str] = FOLDER_WEIGHTS) -> dict[str, Inside]:
    """The tensors of a folder that ``save_pretrained`` wrote: safetensors or ``.bin``, whole or in shards.

    Args:
        folder: of one model.
        names: of files of weights or indices of them, in the order of preference.

    Raises:
        InputError: there are none, or a file is missing or malformed.
    """
    weights = weights_of(folder, names)
    found: dict[str, Inside] = {}
    for name in shards(weights):
        found |= in_file(folder / name)
    if weights.name.endswith(".index.json"):
        lost = [name for name in load_json(weights)["weight_map"] if name not in found]
        if lost:
            raise InputError(f"{weights}: lists tensors that its files do not hold: {some(lost)}")
    return found


def weights_of(folder: Path, names: Iterable[str] = FOLDER_WEIGHTS) -> Path:
    """The file of weights in a folder, or the index of its shards.

    Raises:
        InputError: there is none.
    """
    expected = list(names)
    found = next((name for name in expected if (folder / name).is_file()), None)
    if found is None:
        raise InputError(
            f"{folder}: has no weights: expected {' or '.join(expected)}, found {listing(folder)}"
        )
    return folder / found


def read_tensors(found: Mapping[str, Inside], *, strip: bool = False) -> dict[str, Tensor]:
    """Read tensors, on the CPU and in the precision in which they are stored.

    No code in a file is run: safetensors have none, and others are loaded with ``weights_only=True``, with
    placeholders for harmless objects beside the tensors. With ``strip`` there are placeholders for all objects, and
    numbers are taken as they are.

    Raises:
        InputError: a file is malformed, or numbers are NaN or infinite.
    """
    tensors: dict[str, Tensor] = {}
    for file in dict.fromkeys(inside.file for inside in found.values()):
        wanted = {own: inside.name for own, inside in found.items() if inside.file == file}
        held = _load(file, set(wanted.values()), strip)
        tensors |= {own: held[name] for own, name in wanted.items()}
        if not strip:
            refuse_numbers({own: tensors[own] for own in wanted}, file)
    return {own: tensors[own] for own in found}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of either format, all of them."""
    return read_tensors(in_file(path))


def refuse_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are no numbers.

    Raises:
        InputError: some are NaN or infinite; names the tensors.
    """
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not _finite(tensor)]
    if bad:
        raise InputError(not_finite(path, bad, len(tensors)))


def not_finite(path: Path, bad: list[str], total: int) -> str:
    """The message about weights that are no numbers."""
    return f"{path}: {len(bad)} of {total} tensors have numbers that are NaN or infinite: {some(bad)}"


def _finite(tensor: Tensor) -> bool:
    # A sum is not finite where a number is not; it may overflow where all are, and then they are looked at.
    wide = tensor if tensor.dtype.itemsize > 1 else tensor.float()
    return bool(wide.sum().isfinite()) or bool(wide.isfinite().all())


def _load(path: Path, names: set[str], strip: bool) -> dict[str, Tensor]:
    """At least the tensors of these names."""
    import torch
    from safetensors import SafetensorError, safe_open

    headers = read_headers(path, strip=strip)
    try:
        if headers.kind == "safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in names}
        # Mapped, not read: of a training checkpoint only a quarter is used. Older files are no zip archives, and torch
        # takes a path that is so named for safetensors.
        mapped = headers.kind == "zip" and path.suffix != ".safetensors"
        admitted = _placeholders(headers.harmless | (headers.foreign if strip else {}))
        with torch.serialization.safe_globals(admitted), path.open("rb") as file:
            source = str(path) if mapped else file
            content = torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    except Exception as error:  # torch raises a dozen types here, all about the content of the user's file
        # Its own message gives advice on how to trust a file; what is wrong is said by the error behind it.
        reason = (str(error.__context__ or error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot be read as a checkpoint of tensors: {reason:.300}") from error
    found: dict[str, Tensor] = flatten(content, torch.Tensor, path)
    lost = sorted(names - found.keys())
    if lost:
        raise InputError(f"{path}: holds no plain tensors of the names {some(lost)}")
    return found


class _Object:
    """Stands for an object beside the tensors."""

    def __init__(self, *_: Any) -> None:
        """Its arguments are passed over."""

    def __setstate__(self, _: Any) -> None:
        """So is its state."""


class _Mapping:
    """Stands for a class of mappings, whose objects become plain ones."""

    def __new__(cls, *_: Any) -> Any:
        return OrderedDict()


class _List:
    """Stands for a class of lists, whose objects become plain ones."""

    def __new__(cls, *_: Any) -> Any:
        return []


def _placeholders(names: Mapping[str, str]) -> list[Any]:
    """What torch is to take for the names of classes and functions: a class for each, as a file may key by them."""
    kinds = {"mapping": _Mapping, "list": _List}
    return [(type("_Placeholder", (kinds.get(kind, _Object),), {}), name) for name, kind in names.items()]


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
            bad = [name for name, header in held.items() if not _stored_finite(file, header)]
        if bad:
            raise InputError(not_finite(path, bad, len(held)))


def _stored_finite(file: IO[bytes], header: Header) -> bool:
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
