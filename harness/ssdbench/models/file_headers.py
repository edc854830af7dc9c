"""What a file of tensors holds, told without reading their numbers and without torch.

It is in safetensors, or in either format of ``torch.save``: a zip archive, and what was before that.
"""

from __future__ import annotations

import io
import json
import math
import shlex
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ssdbench.errors import InputError
from ssdbench.inputs import require_file
from ssdbench.models.headers import ITEM_BYTES, Header, flatten, some, unreadable
from ssdbench.models.pickled import Outline, Pickled, PickleError, Placeholder, is_harmless, read_pickle

_SHARED = 4  # tensors that share memory may be so many times as large as their file


def read_headers(path: Path, *, strip: bool = False) -> dict[str, Header]:
    """The headers of a file of tensors: safetensors or either of torch's formats, told by content and not by name.

    They are by their full names: those of nested mappings are joined by dots.

    No code in the file is run. Objects of classes that are neither torch's nor harmless are refused, by name, unless
    ``strip`` leaves them out.

    Raises:
        InputError: the file is missing, empty, cut short or something else than tensors by name.
    """
    size = require_file(path)
    with path.open("rb") as file:
        head = file.read(64)
    if head[8:9] == b"{":
        return _safetensors(path)
    if not head:
        raise unreadable(path, "it is empty")
    try:
        if _is_zip(path):
            found = _zip_headers(path, strip)
        elif head[:1] == b"\x80":
            found = _legacy_headers(path, strip)
        else:
            raise unreadable(path, _kind(path, head))
    except PickleError as error:
        raise unreadable(path, str(error)) from error
    _plausible(found, path, size)
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
    first = head[:8].hex(" ")
    return f"it begins with the bytes {first}, as neither safetensors nor a file of torch.save does"


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
    """Refuse tensors whose numbers are not in their file, or that would be, written out, much more than it."""
    for name, header in tensors.items():
        if header.start + header.size > size:
            raise unreadable(
                path, f"it is cut short: {name} ends {header.start + header.size - size:,} bytes behind it"
            )
    total = sum(header.numel() * ITEM_BYTES.get(header.dtype, 1) for header in tensors.values())
    if total > _SHARED * size:
        raise InputError(f"{path}: its tensors are {total:,} bytes together, and the file has {size:,}")


_MOST_PICKLE = 1 << 28  # bytes that describe tensors; a training state of DiT-XL/2 has 300,000


def _is_zip(path: Path) -> bool:
    """Whether a file is a zip archive.

    Raises:
        PickleError: it is one that cannot be read.
    """
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile as error:  # of one over several disks it does not say no, but raises
        raise PickleError(f"its zip archive is damaged: {error}") from error


def _zip_headers(path: Path, strip: bool) -> dict[str, Header]:
    """A zip archive with ``data.pkl`` and a member for each storage, all uncompressed."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            members = {info.filename: info for info in archive.infolist()}
            pickles = [name for name in members if name.partition("/")[2] == "data.pkl"]
            if len(pickles) != 1:
                raise PickleError(
                    f"it is a zip archive of {len(members)} files without one data.pkl in a folder"
                )
            packed = [name for name, info in members.items() if info.compress_type != zipfile.ZIP_STORED]
            if packed:
                raise PickleError(
                    f"it is a zip archive that was compressed anew ({packed[0]}): unpack and save it again"
                )
            root = pickles[0].removesuffix("data.pkl")
            if members[pickles[0]].file_size > _MOST_PICKLE:
                raise PickleError(
                    f"its data.pkl has {members[pickles[0]].file_size:,} bytes, of more than tensors"
                )
            found = _checked(read_pickle(io.BytesIO(archive.read(pickles[0]))), path, strip)
            order = f"{root}byteorder"
            swapped = order in members and archive.read(order).strip() == b"big"
            places = {
                name.removeprefix(f"{root}data/"): (_content_start(file, info), info.file_size)
                for name, info in members.items()
                if name.startswith(f"{root}data/")
            }
    except (PickleError, InputError):
        raise
    except Exception as error:  # zipfile raises what its parts do
        raise PickleError(f"its zip archive is damaged: {error or type(error).__name__}") from error
    return _headers(found.content, places, path, swapped)


def _content_start(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    file.seek(info.header_offset + 26)  # the lengths of the name and of the extra field in the local header
    name, extra = struct.unpack("<HH", file.read(4))
    return info.header_offset + 30 + int(name) + int(extra)


def _legacy_headers(path: Path, strip: bool) -> dict[str, Header]:
    """Five pickles one after the other (the third is the content's system, the last the storages' keys), then these."""
    with path.open("rb") as file:
        try:
            magic = read_pickle(file).content
        except PickleError:
            magic = None
        if magic != _MAGIC:
            raise PickleError("it is a pickle, and none of torch.save")
        for _ in ("protocol", "system"):
            read_pickle(file)
        found = _checked(read_pickle(file), path, strip)
        keys = read_pickle(file).content
        if not isinstance(keys, list):
            raise PickleError("its list of storages is missing")
        end, places = path.stat().st_size, {}
        for key in map(str, keys):
            if key not in found.storages:
                raise PickleError(f"its list of storages has {key:.100}, which nothing else names")
            size = int.from_bytes(file.read(8), "little") * ITEM_BYTES.get(found.storages[key].dtype, 1)
            if file.tell() + size > end:
                raise PickleError(
                    f"it is cut short: storage {key} ends {file.tell() + size - end:,} bytes behind it"
                )
            places[key] = (file.tell(), size)
            file.seek(size, 1)
    return _headers(found.content, places, path)


_MAGIC = 0x1950A86A20F9469CFC6C


def _headers(
    content: Any, places: Mapping[str, tuple[int, int]], path: Path, swapped: bool = False
) -> dict[str, Header]:
    """The tensors in ``content``, whose storages begin at ``places`` and have so many bytes."""
    found = {}
    for name, outline in flatten(content, Outline, path).items():
        storage = outline.storage
        if storage is None or outline.layout is not None:
            found[name] = Header(outline.shape, outline.layout or "unknown")
            continue
        if storage.key not in places:
            raise PickleError(f"the numbers of {name} (storage {storage.key}) are missing")
        (start, held), item, extent = places[storage.key], ITEM_BYTES.get(outline.dtype, 1), _extent(outline)
        if (outline.offset + extent) * item > held or storage.count * ITEM_BYTES.get(storage.dtype, 1) > held:
            raise PickleError(f"{name} has shape {outline.shape}, and the file holds {held:,} bytes of it")
        if math.prod(outline.shape) > extent:
            raise InputError(f"{path}: {name} has shape {outline.shape}, more than the file holds of it")
        found[name] = Header(
            outline.shape,
            outline.dtype,
            start + outline.offset * item,
            extent * item,
            outline.stride,
            swapped,
        )
    return found


def _extent(outline: Outline) -> int:
    """Numbers from the first to the last of a tensor, in its storage."""
    if 0 in outline.shape:
        return 0
    return 1 + sum((side - 1) * step for side, step in zip(outline.shape, outline.stride, strict=True))


def _checked(pickled: Pickled, path: Path, strip: bool) -> Pickled:
    """Refuse objects that would have to run code, and a whole object in place of its tensors."""
    foreign = [name for name in sorted(pickled.names) if not is_harmless(name)]
    if isinstance(pickled.content, Placeholder) and not pickled.content:
        raise unreadable(
            path, f"it is one object of {pickled.content.name}, not tensors by name: save its state_dict()"
        )
    if foreign and not strip:
        raise unreadable(
            path,
            f"beside tensors it holds objects of {some(foreign)}, which would have to run code to be read. Only the"
            f" tensors are needed: `ssdbench convert {shlex.quote(str(path))} -o OUT.safetensors --to tensors` writes"
            " them to a file without the rest, and runs none of it",
        )
    return pickled
