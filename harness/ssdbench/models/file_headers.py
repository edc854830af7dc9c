"""What a file of tensors holds, told without reading their numbers and without torch."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from ssdbench.errors import InputError
from ssdbench.inputs import require_file
from ssdbench.models.headers import ITEM_BYTES, Header, Headers, unreadable
from ssdbench.models.pickled import PickleError
from ssdbench.models.torch_headers import is_zip, legacy_headers, zip_headers

_SHARED = 4  # by this, tensors that share their memory may be more than their file


def read_headers(path: Path, *, strip: bool = False) -> Headers:
    """The headers of a file of tensors: safetensors or either of torch's formats, told by content and not by name.

    No code in the file is run. Objects of classes that are neither torch's nor harmless are refused, by name, unless
    ``strip`` leaves them out.

    Raises:
        InputError: the file is missing, empty, cut short or something else than tensors by name.
    """
    size = require_file(path)
    with path.open("rb") as file:
        head = file.read(64)
    if head[8:9] == b"{":
        return Headers(_safetensors(path))
    if not head:
        raise unreadable(path, "it is empty")
    try:
        if is_zip(path):
            found = zip_headers(path, strip)
        elif head[:1] == b"\x80":
            found = legacy_headers(path, strip)
        else:
            raise unreadable(path, _kind(path, head))
    except PickleError as error:
        raise unreadable(path, str(error)) from error
    _plausible(found.tensors, path, size)
    return found


def _kind(path: Path, head: bytes) -> str:
    """What a file is that no reader knows, by its first bytes."""
    text = head.lstrip()
    if head[:4] == b"PK\x03\x04":
        return "it is a zip archive that is cut short: its directory, which comes last, is missing"
    if head[:2] == b"\x1f\x8b":
        return "it is compressed by gzip: unpack it first"
    if text[:7] == b"version" and b"git-lfs" in head:
        return "it is a pointer of Git LFS, not the file itself: `git lfs pull` fetches that"
    if text[:9].lower() in (b"<!doctype", b"<html") or text[:5].lower() == b"<html":
        return "it is a web page, not the file: the download went to another address"
    if tarfile.is_tarfile(path):
        return "it is in the oldest of torch's formats, a tar archive, which is not read"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return f"it is a text that begins with {head[:40].decode(errors='replace')!r}"
    return (
        f"it begins with the bytes {head[:8].hex(' ')}, as neither safetensors nor a file of torch.save does"
    )


def _safetensors(path: Path) -> dict[str, Header]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):  # which looks whether header and file fit each other
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(length))
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as safetensors: {error}") from error
    entries.pop("__metadata__", None)
    found = {}
    for name, entry in entries.items():
        dtype = _SAFETENSORS.get(entry["dtype"])
        if dtype is None:
            raise InputError(f"{path}: cannot be read as safetensors: {name} is of the type {entry['dtype']}")
        start, end = entry["data_offsets"]
        found[name] = Header(tuple(entry["shape"]), dtype, 8 + length + start, end - start)
    return found


_SAFETENSORS = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "C64": "complex64"},
    **{"F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz"},
}


def _plausible(tensors: Mapping[str, Header], path: Path, size: int) -> None:
    """Refuse tensors that would be, written out, much more than their file."""
    total = sum(header.numel() * ITEM_BYTES.get(header.dtype, 1) for header in tensors.values())
    if total > _SHARED * size:
        raise InputError(f"{path}: its tensors are {total:,} bytes together, and the file has {size:,}")
