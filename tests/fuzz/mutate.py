"""Files spoilt at random: the same seed spoils the same file in the same way."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable

Mutator = Callable[[bytes, random.Random], bytes]

# What readers trip over: limits of integers, half of an encoding, the beginning of something deep.
TOKENS = (
    *(b"", b"\0", b"\xff", b"\xff\xfe", b"\xed\xa0\x80", b"\n", b" ", b'"', b"'", b"{", b"[", b"]}", b":", b",", b"-"),
    *(b"0", b"-1", b"1e999", b"9" * 30, b"9" * 5000, b"nan", b".inf", b"null", b"true", b"../../x", b"/etc/passwd"),
    *(b"[" * 2000, b"{" * 50, b"*a", b"&a ", b"<<: *a", b"!!python/name:os.system ", b"%TAG ! x\n", b"\\ud800", b"%s"),
    *(struct.pack("<Q", value) for value in (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)),
    *(struct.pack(">I", value) for value in (0, 1, 2**31 - 1, 2**32 - 1)),
)  # fmt: skip


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """Bytes with a few things done to them."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        place = rng.randrange(len(out) + 1)
        other = rng.randrange(len(out) + 1)
        low, high = min(place, other), max(place, other)
        match rng.randrange(8):
            case 0:
                if place < len(out):
                    out[place] ^= 1 << rng.randrange(8)
            case 1:
                out[place : place + rng.choice((0, 1, 4, 8))] = rng.choice(TOKENS)
            case 2:
                del out[low : min(high, low + rng.choice((1, 2, 8, 100)))]
            case 3:
                del out[place:]
            case 4:
                out[place:place] = out[low : min(high, low + 200)]
            case 5:
                out[place : place + 8] = rng.randbytes(8)
            case 6:
                if digits := [i for i in range(len(out)) if 48 <= out[i] <= 57]:
                    at = rng.choice(digits)
                    out[at : at + 1] = rng.choice((b"0", b"-1", b"7", b"1e5", b"9" * 20, b'"x"', b"[]"))
            case _:
                out += rng.choice((out[low:high], rng.choice(TOKENS)))
    return bytes(out)


def in_zip(data: bytes, rng: random.Random) -> bytes:
    """A member of a zip archive spoilt, renamed or stored otherwise, in an archive that is sound."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            content = old.read(name)
            if name == chosen:
                content = (
                    spoilt(content[:512], rng) + content[512:] if rng.random() < 0.7 else spoilt(content, rng)
                )
                if rng.random() < 0.1:
                    name = rng.choice(("arr_0", "../x.npy", "/x.npy", "x" * 300, "mu.npy", "data.pkl"))
            new.writestr(name, content, compress_type=rng.choice((0, 0, 8, 12, 14)))
    return made.getvalue()


def in_gzip(data: bytes, rng: random.Random) -> bytes:
    """The content of a gzip file spoilt, and packed again."""
    content = gzip.decompress(data)
    return gzip.compress(spoilt(content[:24], rng) + content[24:], 1)


def in_safetensors(data: bytes, rng: random.Random) -> bytes:
    """The JSON header of a safetensors file spoilt, its length told rightly."""
    size = struct.unpack("<Q", data[:8])[0]
    header = spoilt(data[8 : 8 + size], rng)
    if rng.random() < 0.5:
        found = json.loads(data[8 : 8 + size])
        name = rng.choice([key for key in found if key != "__metadata__"])
        entry = found[name]
        match rng.randrange(4):
            case 0:
                entry["dtype"] = rng.choice(("BF16", "F8_E4M3", "U8", "F64", "BOOL", "I64", "X", "F16"))
            case 1:
                entry["shape"] = rng.choice(([], [0], [2**40, 2**40], [1] * 40, [-1], entry["shape"][::-1]))
            case 2:
                entry["data_offsets"] = rng.choice(([0, 0], [0, 2**60], [8, 4], [-1, 4]))
            case _:
                found["x"] = found.pop(name)
        header = json.dumps(found).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def in_tar(data: bytes, rng: random.Random) -> bytes:
    """A header of a tar archive spoilt, its checksum right."""
    out = bytearray(data)
    starts = [i for i in range(0, len(out), 512) if out[i + 257 : i + 262] == b"ustar"]
    start = rng.choice(starts)
    field, size = rng.choice(((0, 100), (100, 8), (124, 12), (156, 1), (157, 100), (345, 155)))
    match rng.randrange(4):
        case 0:
            value = rng.choice(
                (b"-1", b"77777777777", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"../../x.png", b"\0")
            )
        case 1:
            value = rng.choice(
                (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"L", b"K", b"x", b"g", b"S", b"D", b"V")
            )
        case 2:
            value = spoilt(bytes(out[start + field : start + field + size]), rng)
        case _:
            value = b"\xff" * 8 + struct.pack(">i", -rng.choice((1, 512, 1024, 5000)))
    out[start + field : start + field + size] = value[:size].ljust(size, b"\0")
    out[start + 148 : start + 156] = b" " * 8
    out[start + 148 : start + 156] = b"%06o\0 " % sum(out[start : start + 512])
    return bytes(out)


def tar_of(files: dict[str, bytes]) -> bytes:
    """A plain tar archive."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()
