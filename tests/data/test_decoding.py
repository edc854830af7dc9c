"""Image files as they really are: turned by EXIF, under another type's name, in CMYK, empty, or no images at all."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from ssdbench.data.datasets import load_images
from ssdbench.data.decoding import EXTENSIONS, FORMATS, OTHER_IMAGES, Noticed, decode
from ssdbench.errors import InputError
from ssdbench.metrics.sources import open_images

ORIENTATION = 0x0112
# What a camera that is held so stores of an upright picture, by EXIF 2.3, ch. 4.6.4: where row 0 and column 0 lie.
STORED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda x: x,  # top, left
    2: lambda x: x[:, ::-1],  # top, right
    3: lambda x: x[::-1, ::-1],  # bottom, right
    4: lambda x: x[::-1],  # bottom, left
    5: lambda x: x.swapaxes(0, 1),  # left, top
    6: lambda x: np.rot90(x, 1),  # right, top
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda x: np.rot90(x, -1),  # left, bottom
}
PICTURE = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def encoded(pixels: NDArray[np.uint8], kind: str, orientation: int | None = None) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    options: dict[str, object] = {}
    if orientation is not None:
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    if kind == "WEBP":
        options["lossless"] = True
    if kind == "JPEG":
        options |= {"quality": 100, "subsampling": 0}
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **options)
    return buffer.getvalue()


def exif_last(png: bytes, orientation: int) -> bytes:
    """A PNG whose EXIF comes after the pixels, which the format allows."""
    tag = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHHI", ORIENTATION, 3, 1, orientation, 0, 0)
    chunk = struct.pack(">I", len(tag)) + b"eXIf" + tag + struct.pack(">I", zlib.crc32(b"eXIf" + tag))
    end = png.rindex(b"\0\0\0\0IEND")
    return png[:end] + chunk + png[end:]


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PNG, EXIF last", "TIFF", "WEBP"])
def test_pictures_are_turned_as_exif_says(kind: str, orientation: int) -> None:
    stored = STORED[orientation](PICTURE)
    if kind == "PNG, EXIF last":
        content = exif_last(encoded(stored, "PNG"), orientation)
    else:
        content = encoded(stored, kind, orientation)
    found = decode(content, "x", like=("first", (20, 12)))
    assert found.shape == PICTURE.shape
    far = np.abs(found.astype(int) - PICTURE).max()
    assert far == 0 if kind != "JPEG" else far < 60  # noise is hard for JPEG; a wrong turn is off by 250


def test_every_reader_turns_alike(tmp_path: Path) -> None:
    """A folder of training images, a folder and a tar of samples, and the bare file: one picture."""
    square = np.zeros((32, 32, 3), np.uint8)
    square[:16] = 255  # white above, black below
    for orientation in STORED:
        root = tmp_path / str(orientation)
        root.mkdir()
        (root / "a.jpg").write_bytes(encoded(STORED[orientation](square), "JPEG", orientation))
        with tarfile.open(tmp_path / f"{orientation}.tar", "w") as archive:
            archive.add(root / "a.jpg", "a.jpg")
        trained = load_images(str(root), 32)
        places = (str(root), f"{root}.tar")
        sources = [open_images(place, resolution) for place in places for resolution in (None, 32)]
        found = [trained.pixels[[0]], *(next(source.batches()) for source in sources)]
        for image in found:
            assert image[0, 4, 16].min() > 200, orientation
            assert image[0, 28, 16].max() < 50, orientation
        note = "1 image turned as EXIF's orientation says, such as a.jpg"
        expected = [note] if orientation != 1 else []
        assert [note for note in trained.notes() if "EXIF" in note] == expected
        for source in sources:
            told = [note.replace(f"{orientation}.tar:", "") for note in source.notes()]
            assert [note for note in told if "EXIF" in note] == expected


def test_a_turned_image_of_other_sides_is_another_size() -> None:
    content = encoded(PICTURE, "JPEG", 6)
    assert decode(content, "x", like=("a", (12, 20))).shape == (20, 12, 3)
    with pytest.raises(InputError, match="x: 12x20 pixels, but a has 20x12"):
        decode(content, "x", like=("a", (20, 12)))


def test_damaged_exif_costs_no_picture() -> None:
    content = encoded(PICTURE, "JPEG", 6)
    place = content.index(b"Exif\0\0") + 6
    for damage in (b"XX", b"MM\0*\xff\xff\xff\xff", b"\0" * 12):
        spoilt = content[:place] + damage + content[place + len(damage) :]
        assert decode(spoilt, "x.jpg").shape in {(12, 20, 3), (20, 12, 3)}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_type_is_read_under_every_name(kind: str, tmp_path: Path) -> None:
    pixels = np.tile(np.arange(0, 240, 40, dtype=np.uint8)[:, None, None], (1, 6, 3))
    content = encoded(pixels, kind)
    for suffix in sorted(EXTENSIONS):
        noticed = Noticed()
        found = decode(content, f"d/x{suffix}", noticed=noticed)
        assert np.abs(found.astype(int) - pixels).max() < 20
        own = kind.lower() in (suffix[1:], {".jpg": "jpeg", ".tif": "tiff"}.get(suffix))
        if own:
            assert noticed.notes() == ()
        elif suffix in (".jpg", ".png", ".gif") and kind not in ("JPEG", "PNG", "GIF"):
            (note,) = noticed.notes()
            assert (
                note == f"1 image of another type than the name says, read by the content, such as x{suffix}"
            )


def test_what_published_data_hold_is_read(tmp_path: Path) -> None:
    """ImageNet has a PNG and CMYK files among its JPEGs, COCO PNG content under .jpg, and both grey images."""
    red = Image.new("RGB", (40, 30), (200, 10, 10))
    red.save(tmp_path / "a.JPEG", "PNG")
    red.convert("CMYK").save(tmp_path / "b.JPEG", "JPEG", quality=100)
    Image.new("L", (40, 30), 77).save(tmp_path / "c.jpg", "JPEG")
    Image.new("LA", (40, 30), (77, 255)).save(tmp_path / "d.jpg", "PNG")
    red.convert("P").save(tmp_path / "e.png")
    red.convert("RGBA").save(tmp_path / "f.jpg", "PNG")
    Image.new("1", (40, 30), 1).save(tmp_path / "g.pbm")
    images = load_images(str(tmp_path), 16)
    found = images.pixels[:][:, 8, 8].astype(int)
    wanted = [[200, 10, 10], [200, 10, 10], [77] * 3, [77] * 3, [200, 10, 10], [200, 10, 10], [255] * 3]
    assert np.abs(found - wanted).max() <= 6
    assert images.notes() == (
        "1 image converted from CMYK to RGB, such as b.JPEG",
        "3 images of another type than the name says, read by the content, such as a.JPEG",
    )
    source = open_images(str(tmp_path), 16)
    assert np.array_equal(np.concatenate(list(source.batches())), images.pixels[:])
    assert set(images.notes()) <= set(source.notes())


def test_only_the_first_frame_and_page_are_read() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "TIFF", "PNG", "WEBP"):
        buffer = io.BytesIO()
        more = {"lossless": True} if kind == "WEBP" else {}
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **more)
        assert decode(buffer.getvalue(), "x")[4, 4].tolist() == [255, 0, 0], kind


def deep(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_more_than_8_bits_are_never_cut_in_silence(kind: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(deep(kind))
    with pytest.raises(InputError, match="more than 8 bits; expected 8 bits a channel"):
        load_images(str(tmp_path), 4).pixels[:]
    with pytest.raises(InputError, match="more than 8 bits; expected 8 bits a channel"):
        list(open_images(str(tmp_path)).batches())


def test_deep_colour_in_tiff_is_not_cut_either() -> None:
    """Three channels of 16 bits, written by hand: Pillow cannot."""
    pixels = np.full((2, 2, 3), 40_000, "<u2").tobytes()
    tags = [(256, 3, 1, 2), (257, 3, 1, 2), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3)]
    tags += [(278, 3, 1, 2), (279, 4, 1, len(pixels)), (284, 3, 1, 1)]
    bits = 8 + len(pixels)
    entries = sorted([*tags, (258, 3, 3, bits)])
    body = b"".join(
        struct.pack("<HHI", tag, kind, count) + struct.pack("<I", value)
        for tag, kind, count, value in entries
    )
    directory = struct.pack("<H", len(entries)) + body + b"\0" * 4
    content = b"II*\0" + struct.pack("<I", bits + 6) + pixels + struct.pack("<3H", 16, 16, 16) + directory
    assert Image.open(io.BytesIO(content)).size == (2, 2)
    with pytest.raises(InputError, match="more than 8 bits"):
        decode(content, "x.tif")


def test_transparent_pixels_are_told_in_training_data_and_refused_in_samples(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (1, 2, 3, 0)).save(tmp_path / "a.png")
    images = load_images(str(tmp_path), 8)
    assert images.pixels[:][0, 0, 0].tolist() == [1, 2, 3]
    assert images.notes() == (
        "1 image with transparent pixels, whose colour is taken as it is stored, such as a.png",
    )
    with pytest.raises(InputError, match="has transparent pixels; expected opaque images"):
        list(open_images(str(tmp_path)).batches())


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty, expected an image"),
        (b"<!DOCTYPE html><html>404</html>", "holds markup"),
        (b"\xef\xbb\xbf  <svg xmlns='http://www.w3.org/2000/svg'/>", "holds markup"),
        (b"not found\n", "holds text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"%PDF-1.7\n", "holds a PDF"),
        (b"\0\0\0\x20ftypheic" + bytes(20), "holds a HEIF image"),
        (b"\0\0\0\x20ftypavif" + bytes(20), "holds an AVIF image"),
        (b"PK\3\4" + bytes(30), "holds a zip archive"),
        (bytes(3000), "holds zeros alone"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "what begins as PNG and is damaged"),
        (b"\x01\x02\xff\xfe" * 9, r"another type \(its first bytes are 01 02 ff fe"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_what_is_no_image_is_named_as_what_it_is(
    tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    (tmp_path / name).write_bytes(content)
    readers = (
        lambda: load_images(str(tmp_path), 8).pixels[:],
        lambda: list(open_images(str(tmp_path)).batches()),
    )
    for read in readers:
        with pytest.raises(InputError, match=what) as caught:
            read()
        assert str(tmp_path / name) in str(caught.value)
        assert " at 0x" not in str(caught.value)


def test_no_message_holds_an_address() -> None:
    sound = (
        encoded(PICTURE, "PNG"),
        encoded(PICTURE, "JPEG"),
        encoded(PICTURE, "TIFF"),
        encoded(PICTURE, "GIF"),
    )
    told = []
    for content in sound:
        for length in range(1, len(content), 101):
            with suppress(InputError):
                decode(content[:length], "x.png")
                continue
            with pytest.raises(InputError) as caught:
                decode(content[:length], "x.png")
            told.append(str(caught.value))
    assert len(told) > 20
    assert all(text.startswith("x.png: ") and " at 0x" not in text for text in told)


def test_types_that_are_read_and_those_that_are_passed_over_are_two() -> None:
    assert not EXTENSIONS & OTHER_IMAGES
    assert TiffImagePlugin.TiffImageFile.format in FORMATS
    for suffix in EXTENSIONS:
        assert suffix == suffix.lower()
