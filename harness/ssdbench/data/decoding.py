"""One image file to RGB pixels, the same way for every reader: checked by its header, turned, converted, cropped."""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ssdbench.errors import InputError

_SUFFIXES = {
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg"),
    "PNG": (".apng", ".png"),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
# Pillow would know more by their content, whatever the name: EPS among them, which starts Ghostscript.
FORMATS = tuple(_SUFFIXES)
EXTENSIONS = frozenset(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
_OTHERS = """
    avif avifs dng heic heif hif j2c j2k jp2 jpf jpx jxl jxr arw cr2 cr3 nef orf raf raw rw2
    cur dcm dds exr fits hdr icns ico pcx pfm psd qoi sgi emf eps svg svgz tga wmf xbm xcf xpm
"""
OTHER_IMAGES = frozenset(f".{ending}" for ending in _OTHERS.split())
"""Endings of images that are not read; whoever lists images counts and names them."""

MAX_PIXELS = 89_478_485
"""The most pixels of an image, before and within the crop: where Pillow too begins to suspect a decompression bomb."""

MAX_BYTES = 1 << 30  # of an image file
_DEEP = ("I", "F")  # and their variants: more than 8 bits a channel

_ORIENTATION = 0x0112  # of EXIF, whose values say what has to be done to the picture
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

TURNED = "turned as EXIF's orientation says"
RETYPED = "of another type than the name says, read by the content"
FROM_CMYK = "converted from CMYK to RGB"
TRANSPARENT = "with transparent pixels, whose colour is taken as it is stored"


class Noticed:
    """What is worth telling of images once they are decoded; many threads may add to it."""

    def __init__(self) -> None:
        self._found: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def add(self, what: str, name: str) -> None:
        """Note ``what`` of the image in the file ``name``; twice of one image counts once."""
        with self._lock:
            self._found.setdefault(what, set()).add(name)

    def notes(self) -> tuple[str, ...]:
        """Return a line for each kind: how many images, and the name of one."""
        with self._lock:
            return tuple(
                f"{len(names):,} image{'s' * (len(names) != 1)} {what}, such as {PurePath(min(names)).name}"
                for what, names in sorted(self._found.items())
            )


def decode(
    content: bytes,
    name: str,
    resolution: int | None = None,
    like: tuple[str, tuple[int, int]] | None = None,
    noticed: Noticed | None = None,
    opaque: bool = True,
) -> NDArray[np.uint8]:
    """Decode an image file as RGB, uint8 (H, W, 3); of an animation the first frame, of several pages the first.

    Args:
        content: the file's bytes; their type counts, not the name's.
        name: the file's, for messages.
        resolution: fit to a square by :func:`center_crop`; as it is by default.
        like: the name, width and height of an image that this one must be as large as.
        noticed: is told what a reader may want to know.
        opaque: whether transparent pixels are refused; else their colour counts, as in most training pipelines.

    Raises:
        InputError: it is no image of a known type, is damaged, too large, of another size, has more than 8 bits a
            channel or transparent pixels.
    """
    noticed = noticed or Noticed()
    with _opened(content, name, resolution) as image:
        # Told by the header, before anything is decoded; whether the sides have to change places is known after it.
        if like is not None and sorted(image.size) != sorted(like[1]):
            raise other_size(name, image.size, like)
        if image.mode.startswith(_DEEP) or _cuts(image):
            raise InputError(
                f"{name}: pixels of mode {image.mode}, more than 8 bits; expected 8 bits a channel"
            )
        image.load()
        if "A" in image.getbands() or "transparency" in image.info:
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
            if alpha.min() != 255:
                if opaque:
                    raise InputError(f"{name}: has transparent pixels; expected opaque images")
                noticed.add(TRANSPARENT, name)
        kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: several pictures, of JPEG's type
        if (suffix := PurePath(name).suffix.lower()) in EXTENSIONS and suffix not in _SUFFIXES[kind]:
            noticed.add(RETYPED, name)
        if image.mode == "CMYK":
            noticed.add(FROM_CMYK, name)
        rgb: Image.Image = image.convert("RGB")
        if (turn := _TURNS.get(_orientation(image))) is not None:
            rgb = rgb.transpose(turn)
            noticed.add(TURNED, name)
        if like is not None and rgb.size != like[1]:
            raise other_size(name, rgb.size, like)
        return np.asarray(rgb) if resolution is None else center_crop(rgb, resolution)


def header_size(content: bytes, name: str) -> tuple[int, int]:
    """The width and height of an image file, by its header; raises InputError as :func:`decode` for the header."""
    with _opened(content, name, None) as image:
        return image.size


def center_crop(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Fit an image to a square as ADM and DiT do: halve with a box filter, resize with bicubic, crop the centre.

    Returns uint8 (size, size, C).
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image)[top : top + size, left : left + size]


@contextmanager
def _opened(content: bytes, name: str, resolution: int | None) -> Iterator[Image.Image]:
    """An image of a known format and a size that memory has room for, also when cropped to ``resolution``.

    Raises:
        InputError: it is none, or whatever Pillow says while it is open, about the file called ``name``.
    """
    if not content:
        raise InputError(f"{name}: is empty, expected an image")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            short, long = sorted(image.size)
            if short * long > MAX_PIXELS:
                raise InputError(
                    f"{name}: {image.width}x{image.height} pixels, expected at most {MAX_PIXELS:,} in all"
                )
            if resolution is not None and resolution**2 * long > MAX_PIXELS * short:
                raise InputError(
                    f"{name}: {image.width}x{image.height} pixels, too narrow to be resized and cropped to {resolution}"
                )
            yield image
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name}: cannot be decoded as an image: it holds {_kind_of(content)}, expected {', '.join(FORMATS)}"
        ) from error
    except Exception as error:  # Pillow and its decoders raise a dozen types about the content of the file
        reason = re.sub(r"<[^<>]* at 0x[0-9a-f]+>", "its content", str(error)) or type(error).__name__
        raise InputError(f"{name}: cannot be decoded as an image: {reason}") from error


def other_size(name: str, size: tuple[int, int], like: tuple[str, tuple[int, int]]) -> InputError:
    """Say that an image has another width and height than the image ``like``."""
    (w, h), (w0, h0) = size, like[1]
    return InputError(
        f"{name}: {w}x{h} pixels, but {like[0]} has {w0}x{h0}; all must have one size, or give a "
        "resolution to which they are cropped and resized (--resolution)"
    )


def _cuts(image: Image.Image) -> bool:
    """Whether Pillow would cut deeper channels to 8 bits: it opens 16-bit colour as RGB, and only the tiles tell."""
    for tile in getattr(image, "tile", ()):
        # A raw mode; of a PPM, the largest value.
        found = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        most = 255 if tile.codec_name.startswith("ppm") else math.inf
        if any(";16" in value if isinstance(value, str) else value > most for value in found):
            return True
    return False


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation of a loaded image, 1 where there is none. Pillow turns TIFFs itself and takes it away then."""
    with suppress(Exception):  # EXIF is often damaged, and the picture beside it sound
        return int(image.getexif().get(_ORIENTATION, 1))
    return 1


_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "a pointer of Git LFS to a file that was not fetched ('git lfs pull')"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"8BPS", "a Photoshop image"),
    (0, b"PK\3\4", "a zip archive"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftyphei", "a HEIF image"),
    (4, b"ftypmif1", "a HEIF image"),
    (4, b"ftyp", "a film (MP4 or alike)"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\0\0\1\0", "an icon"),
    # Images that Pillow did not understand.
    (0, b"\x89PNG", "what begins as PNG and is damaged"),
    (0, b"\xff\xd8", "what begins as JPEG and is damaged"),
    (0, b"GIF8", "what begins as GIF and is damaged"),
    (0, b"RIFF", "what begins as WEBP and is damaged"),
    (0, b"BM", "what begins as BMP and is damaged"),
)


def _kind_of(content: bytes) -> str:
    """Say what the content of a file looks like."""
    for offset, signature, kind in _SIGNATURES:
        if content.startswith(signature, offset):
            return kind
    if not content[:4096].strip(b"\0"):
        return "zeros alone"
    begin = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin.startswith(b"<"):
        return "markup (HTML, XML or SVG)"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in content[:64]):
        return "text"
    return f"another type (its first bytes are {content[:8].hex(' ')})"
