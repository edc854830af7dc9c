"""Images that are larger than their files, and what only looks like one."""

import os
import struct
import zlib
from pathlib import Path

from ssdbench.data.folders import decode

from .cases import case, every

# ---- images


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *more: bytes, depth: int = 1) -> bytes:
    """A black PNG of one bit a pixel, its rows packed as they are written."""
    packer, row = zlib.compressobj(9), b"\0" * (1 + (width * depth + 7) // 8)
    data = b"".join(packer.compress(row * 64) for _ in range(height // 64))
    data += packer.compress(row * (height % 64)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def small(path: Path) -> Path:
    path.mkdir()
    (path / "a.png").write_bytes(png(8, 8))
    return path


def hole_among_images(path: Path) -> None:
    (small(path) / "b.png").touch()
    os.truncate(path / "b.png", 2 << 30)


BOMB = chunk(b"zTXt", b"x\0\0" + zlib.compress(b"\0" * 200_000_000))
case(
    "image: 900 million pixels",
    "x.png",
    lambda p: p.write_bytes(png(30_000, 30_000)),
    lambda p: decode(p, 32),
    "x.png: ",
)
case(
    "image: narrow",
    "x.png",
    lambda p: p.write_bytes(png(1, 2_000_000)),
    lambda p: decode(p, 256),
    "too narrow to be resized",
)
case(
    "image: text that swells",
    "x.png",
    lambda p: p.write_bytes(png(8, 8, BOMB)),
    lambda p: decode(p, 8),
    "cannot be decoded",
)
case(
    "image: one giant among small ones",
    "d",
    lambda p: (small(p) / "b.png").write_bytes(png(9_000, 9_000)),
    every,
    "b.png: 9000x9000 pixels, but",
)
GIF = b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0x80, 0, 0) + bytes(6)
GIF += b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x44\x01\0;"
case("image: a GIF of 3,600 million pixels", "x.gif", GIF, lambda p: decode(p, 32), "x.gif: ")
TAGS = ((256, 60_000), (257, 60_000), (258, 8), (259, 1), (262, 1), (273, 8), (278, 60_000), (279, 9))
TIFF = b"II*\0" + struct.pack("<IH", 8, len(TAGS))
TIFF += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in TAGS) + bytes(4)
case("image: a TIFF of 3,600 million pixels", "x.tif", TIFF, lambda p: decode(p, 32), "x.tif: ")
case(
    "image: a TIFF whose pages go in a circle",
    "x.tif",
    TIFF.replace(struct.pack("<I", 60_000), struct.pack("<I", 4))[:-4] + struct.pack("<I", 8),
    lambda p: decode(p, 32),
    "",
)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
case(
    "image: a program in PostScript",
    "x.png",
    POSTSCRIPT,
    lambda p: decode(p, 8),
    "it holds PostScript",  # it is not even taken for an image, for which Ghostscript would be started
)
case(
    "image: a hole of two gigabytes",
    "x.png",
    lambda p: (p.touch(), os.truncate(p, 2 << 30)),
    lambda p: decode(p, 8),
    "bytes, expected at most",
)
case(
    "image: a hole among images",
    "d",
    hole_among_images,
    every,
    "b.png: has 2,147,483,648 bytes",
)
