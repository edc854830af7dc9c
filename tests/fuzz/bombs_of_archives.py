"""Archives, arrays and gzip that swell, lie about their sizes, or lead elsewhere."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ssdbench.data.fashion_mnist import read_idx
from ssdbench.metrics.references import adm_reference
from tests.metrics.toy import toy_network

from .cases import case, every

# ---- archives


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    block[124:136], block[156:157], block[148:156] = size.ljust(12, b"\0"), kind, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


NEGATIVE = b"\xff" * 8 + struct.pack(">i", -512)
case("tar: back to the start for ever", "x.tar", header("a.png", NEGATIVE) * 2 + bytes(1024), every, "x.tar")
case("tar: back to a note for ever", "x.tar", header("a.txt", NEGATIVE) * 2 + bytes(1024), every, "x.tar")
case(
    "tar: a member of exabytes",
    "x.tar",
    header("a.png", b"\x80" + b"\0" * 3 + b"\x10" + b"\0" * 7) + bytes(1024),
    every,
    "x.tar",
)
case(
    "tar: thousands of long names in a row",
    "x.tar",
    (header("././@LongLink", b"00000000001", b"L") + b"a".ljust(512, b"\0")) * 4_000,
    every,
    "x.tar",
)
case(
    "tar: a name of gigabytes",
    "x.tar",
    header("././@LongLink", b"77777777777", b"L") + bytes(1024),
    every,
    "x.tar",
)
case("tar: sparse", "x.tar", header("a.png", b"00000000000", b"S") + bytes(1024), every, "x.tar")
case(
    "tar: only names that lead out",
    "x.tar",
    header("../a.png", b"00000000000") + header("/etc/.x/b.png", b"00000000000") + bytes(1024),
    every,
    "no images found",
)


def array_header(shape: object, dtype: str = "|u1") -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = text.ljust(-(-(len(text) + 11) // 64) * 64 - 11) + b"\n"
    return npy.magic(1, 0) + struct.pack("<H", len(text)) + text


def archive(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return made.getvalue()


def swelling(name: str, head: bytes, mebibytes: int) -> bytes:
    """An archive of one member that deflates to its head and so many MiB of zeros, which are never in memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    data, size = first + block * mebibytes + packer.flush(), len(head) + (mebibytes << 20)
    made = bytearray(archive(**{name: data}))
    for start, fields in ((made.index(b"PK\3\4"), (8, 22)), (made.index(b"PK\1\2"), (10, 24))):
        struct.pack_into("<H", made, start + fields[0], 8)
        struct.pack_into("<I", made, start + fields[1], size)
    return bytes(made)


def statistics(path: Path) -> object:
    return adm_reference(path, toy_network(name="inception"))


GIGA = 3 << 30
case(
    "npz: statistics that swell",
    "x.npz",
    lambda p: p.write_bytes(swelling("mu", array_header((GIGA // 8,), "<f8"), 3 << 10)),
    statistics,
    "expected 1,073,741,824 at most",
)
case(
    "npz: rows of gigabytes",
    "x.npz",
    lambda p: p.write_bytes(swelling("arr_0", array_header((1, 1 << 15, 1 << 15, 3)), 3 << 10)),
    every,
    "pixels an image",
)
case(
    "npz: more images than bytes",
    "x.npz",
    archive(arr_0=array_header((10**18, 64, 64, 3)) + bytes(99)),
    every,
    "'arr_0' ends within row 0",
)
case(
    "npz: a quintillion of nothing",
    "x.npz",
    archive(arr_0=array_header((10**18, 0, 0, 3))),
    every,
    "expected uint8",
)
case(
    "npz: a negative shape",
    "x.npz",
    archive(arr_0=array_header((-1, 4, 4, 3)) + bytes(99)),
    every,
    "has the shape (-1,",
)
case(
    "npz: numbers that hold nothing",
    "x.npz",
    archive(mu=array_header((10**18,), "|V0"), sigma=array_header((2, 2), "<f8") + bytes(32)),
    statistics,
    "expected floating point",
)
case("npz: a deep header", "x.npz", archive(arr_0=array_header("(" * 4_000)), every, "'arr_0' is no array")
case(
    "npz: a header that is code",
    "x.npz",
    archive(arr_0=array_header("__import__('os').system('touch sprung')")),
    every,
    "'arr_0' is no array",
)
case(
    "npz: a name without its ending",
    "x.npz",
    archive(arr_0=b"").replace(b"arr_0.npy", b"arr_0.xyz"),
    every,
    "no array 'arr_0'",
)
case(
    "npz: pickles",
    "x.npz",
    lambda p: np.savez(p, mu=np.array([{}], object), sigma=np.eye(1)),
    statistics,
    "pickled objects",
)
case(
    "npz: sizes that lie",
    "x.npz",
    lambda p: p.write_bytes(swelling("arr_0", array_header((10**6, 64, 64, 3)), 1)[:2000]),
    every,
    "x.npz",
)

case(
    "IDX: zeros without end",
    "x.gz",
    gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 9)) + gzip.compress(bytes(1 << 20)) * 3_000,
    read_idx,
    "needs 9 bytes of data, found more",
)
case(
    "IDX: an absurd shape",
    "x.gz",
    gzip.compress(b"\0\0\x08\x04" + b"\xff" * 16 + bytes(99)),
    read_idx,
    "dimensions and",
)
case(
    "IDX: damaged within",
    "x.gz",
    gzip.compress(b"\0\0\x08\x01" + bytes(range(256)))[:-40],
    read_idx,
    "cannot be read as gzip",
)
