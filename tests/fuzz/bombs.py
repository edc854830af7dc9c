"""Small files that would take all memory, hours, or more than reading: ``python -m tests.fuzz.bombs`` reads them all.

It limits its own address space, so that a flood fails, and prints a line of JSON for each file.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import struct
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy

from ssdbench.data.captioned import folder as image_folder
from ssdbench.data.captions import read_coco, read_lines, read_manifest
from ssdbench.data.datasets import read_idx
from ssdbench.data.folders import decode
from ssdbench.metrics.adm import adm_statistics, npz_images
from ssdbench.metrics.reference import load_reference
from ssdbench.metrics.references import reference_images
from ssdbench.metrics.sources import open_images
from ssdbench.models.sources import read_checkpoint
from ssdbench.plan.digests import digest_images
from ssdbench.report.baseline import read_baseline
from ssdbench.suite import load_suite

from .limits import TooSlow, within

SPARE = 1 << 30  # bytes of address space beyond what the imports took
SECONDS = 60.0  # of a busy machine

Case = tuple[str, Callable[[Path], object], Callable[[Path], object], str]
CASES: dict[str, Case] = {}
"""What it is: the file's name, what writes it, what reads it, and what the reader has to say ('' where it may read)."""

SLOW = {
    "suite: thousands of mappings merged into one",
    "suite: seeds by the rows of a matrix",
    "suite: more seeds than anyone has",
    "baseline: billion laughs",
}
"""What takes seconds to be counted."""


def case(
    title: str,
    name: str,
    content: bytes | str | Callable[[Path], object],
    read: Callable[[Path], object],
    said: str,
) -> None:
    def write(path: Path) -> object:
        if callable(content):
            return content(path)
        return path.write_bytes(content.encode() if isinstance(content, str) else content)

    CASES[title] = (name, write, read, said)


def every(path: Path, resolution: int | None = None) -> int:
    return sum(len(batch) for batch in open_images(str(path), resolution).batches())


# ---- suites and baselines

RUN = "model: dit-mini, variant: base, nfe: 5, resolution: 32, eval: {reference: fashion-mnist}"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
LATTICE = "l0: &l0 {x: 1}\n" + "".join(f"l{i}: &l{i} {{<<: [*l{i - 1}, *l{i - 1}]}}\n" for i in range(1, 14))


def suite(**settings: object) -> str:
    """A suite whose one row has these settings, dotted names with underscores."""
    row = json.loads(json.dumps({"model": "dit-mini", "variant": "issd", "nfe": 5, "resolution": 32}))
    row["eval"] = {"reference": "fashion-mnist"}
    for name, value in settings.items():
        section, _, inner = name.partition("_")
        if inner and section in ("train", "eval", "autoencoder", "pretrain"):
            row.setdefault(section, {})[inner] = value
        else:
            row[name] = value
    return json.dumps({"suite": "x", "runs": [row]})


case(
    "suite: megabytes behind a tag's handle",
    "x.yaml",
    f"%TAG !e! tag:{'a' * 1_500_000}\n---\nruns: [{'!e!x a, ' * 100_000}]\n",
    load_suite,
    "x.yaml:1:1: not valid here: a %TAG directive",
)
case(
    "suite: a lattice of merges, and many keys that are not in it",
    "x.yaml",
    LATTICE + "runs:\n" + "".join(f"  - {{<<: *l13, k{i}: 1}}\n" for i in range(30)),
    load_suite,
    "k29: unknown key",
)
case(
    "suite: thousands of mappings merged into one",
    "x.yaml",
    "runs:\n- <<:\n"
    + "".join("  - {" + ", ".join(f"k{i}x{j}: 1" for j in range(20)) + "}\n" for i in range(4_000)),
    load_suite,
    "more problems like these",
)
case(
    "suite: a hundred thousand unknown keys",
    "x.yaml",
    f"suite: x\nruns: [{{{RUN}}}]\n" + "".join(f"k{i}: 1\n" for i in range(30_000)),
    load_suite,
    "and 29,",
)
case(
    "suite: a key of megabytes",
    "x.yaml",
    f"{'k' * 900}: 1\n? {'m' * 3_000_000}\n: 1\n",
    load_suite,
    "x.yaml:",
)
case(
    "suite: seeds by the rows of a matrix",
    "x.yaml",
    f"suite: x\nseeds: [{', '.join(map(str, range(9_000)))}]\n"
    f"runs: [{{{RUN}, matrix: {{train.steps: [{', '.join(map(str, range(1, 2_000)))}]}}}}]\n",
    load_suite,
    "more than 100,000 runs with their seeds",
)
case(
    "suite: more seeds than anyone has",
    "x.yaml",
    f"seeds: [{', '.join(map(str, range(200_000)))}]",
    load_suite,
    "x.yaml:",
)
for setting, value, bound in (
    ("nfe", 10**399, "10000"),
    ("nfe", 10_001, "10000"),
    ("resolution", 10**30, "16384"),
    ("eval_samples", 10**12, "10000000"),
    ("eval_trajectory", 10**9, "10000"),
    ("train_nfe", 10**9, "10000"),
    ("train_steps", 10**399, "1000000000000"),
    ("train_batch_size", 10**30, "1000000000000"),
    ("train_synthetic_images", 10**12, "10000000"),
    ("train_lr", 1e300, "1e+30"),
):
    case(f"suite: {setting} of {value:.3g}" if value < 1e300 else f"suite: {setting} far too large", "x.yaml",
         suite(**{setting: value}), load_suite, f"must be at most {bound}")  # fmt: skip
case("suite: data synthetic-999...", "x.yaml", suite(data="synthetic-" + "9" * 5_000), load_suite, "data: ")
case(
    "suite: a variant of megabytes",
    "x.yaml",
    suite(variant=" + ".join(["continual"] * 200_000)),
    load_suite,
    "500 characters",
)
case(
    "suite: a halving of huge numbers",
    "x.yaml",
    suite(variant="pd " + "9" * 400 + "-5"),
    load_suite,
    "variant: ",
)
case(
    "suite: NUL and bytes that are no UTF-8", "x.yaml", b"suite: x\0\xff\xfe\nruns: []", load_suite, "x.yaml:"
)
case("baseline: billion laughs", "x.yaml", LAUGHS, read_baseline, "once aliases are expanded")
case("baseline: deep", "x.yaml", "rows: " + "[" * 200_000, read_baseline, "nested deeper than 32")
case(
    "baseline: code",
    "x.yaml",
    "rows: !!python/object/apply:os.system [touch sprung]",
    read_baseline,
    "is not allowed",
)
case("baseline: ten thousand mistakes", "x.yaml", "rows: [" + "1, " * 2_000 + "]", read_baseline, "; and 19")

# ---- JSON

DEEP = "[" * 1_000_000
case("captions: deep JSON", "x.json", '{"images": ' + DEEP, read_coco, "nested too deeply")
case("captions: a deep line", "x.jsonl", DEEP, read_manifest, "x.jsonl:1: ")
case(
    "captions: numbers of thousands of digits",
    "x.json",
    '{"images": [{"id": ' + "9" * 9_999,
    read_coco,
    "JSON",
)
case(
    "captions: out of the folder",
    "x.json",
    json.dumps({"images": [{"id": 1, "file_name": "../../etc/x.jpg"}], "annotations": []}),
    read_coco,
    "images[0].file_name is '../../etc/x.jpg', expected the name of a file in the folder of images",
)
case(
    "captions: half a character",
    "x.json",
    '{"images": [{"id": 1, "file_name": "x.jpg"}],'
    ' "annotations": [{"id": 1, "image_id": 1, "caption": "\\ud800"}]}',
    read_coco,
    "annotations[0].caption is '\\ud800', which is no text",
)
case("captions: UTF-16", "x.txt", "a dog".encode("utf-16"), read_lines, "cannot be read as text")
case(
    "manifest: of other types",
    "x.jsonl",
    '{"file": 5, "caption": "a", "image_id": 1, "caption_id": 1}\n',
    read_manifest,
    "x.jsonl:1: file is 5, expected str",
)


def model_folder(**files: object) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.mkdir()
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (path / name.replace("__", ".")).write_text(text)

    return write


SMALL = {"_class_name": "DiT", "width": 8, "depth": 2, "heads": 2, "input_size": 4, "num_classes": 3}
case("config: deep JSON", "m", model_folder(config__json=DEEP), read_checkpoint, "nested too deeply")
for field, value in (
    ("depth", 10**9), ("width", 10**15), ("heads", 0), ("patch_size", 0), ("input_size", -4), ("num_classes", 10**18),
    ("mlp_ratio", 1e300), ("heads", 3), ("patch_size", 3), ("input_size", 60_000),
):  # fmt: skip
    case(
        f"config: {field} {value:g}",
        "m",
        model_folder(config__json=SMALL | {field: value, "learn_sigma": False}),
        read_checkpoint,
        "config.json: does not fit",
    )
case(
    "index: out of the folder",
    "m",
    model_folder(
        config__json=SMALL,
        diffusion_pytorch_model__safetensors__index__json={"weight_map": {"x": "../../x"}},
    ),
    read_checkpoint,
    "files in the same folder",
)

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
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
case(
    "image: a program in PostScript",
    "x.png",
    POSTSCRIPT,
    lambda p: decode(p, 8),
    "cannot identify image file",  # it is not even taken for an image, for which Ghostscript would be started
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
    return adm_statistics(path)


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

# ---- checkpoints and safetensors


def weights(path: Path, change: dict[str, torch.Tensor] | None = None) -> None:
    from ssdbench.models.official import tensors_of
    from ssdbench.models.shapes import DiTShape

    shape = DiTShape(8, 2, 2, 2, 4, 4, 3, False)
    state = {name: torch.zeros(t.shape) for name, t in tensors_of(shape).items()}
    torch.save(state | (change or {}), path)


def read_weights(path: Path) -> object:
    return read_checkpoint(path, heads=2)


case(
    "checkpoint: one number seen as terabytes",
    "x.pt",
    lambda p: weights(p, {"pos_embed": torch.zeros(1).expand(1, 10**10, 8)}),
    read_weights,
    "more than the file holds of it",
)
case(
    "checkpoint: a thousand views of one tensor",
    "x.pt",
    lambda p: torch.save({f"blocks.{i}.x": t for t in [torch.zeros(10**6)] for i in range(1_000)}, p),
    read_weights,
    "bytes together, and the file has",
)
case(
    "checkpoint: tensors without content",
    "x.pt",
    lambda p: weights(p, {"pos_embed": torch.zeros(1, 4, 8, device="meta")}),
    read_weights,
    "x.pt: ",
)
case(
    "checkpoint: sparse",
    "x.pt",
    lambda p: weights(p, {"pos_embed": torch.sparse_coo_tensor([[0]] * 3, [1.0], (1, 10**9, 8))}),
    read_weights,
    "x.pt: ",
)
case(
    "checkpoint: sides of 0",
    "x.pt",
    lambda p: weights(p, {"x_embedder.proj.weight": torch.zeros(0, 4, 2, 2)}),
    read_weights,
    "no side of 0",
)
case(
    "checkpoint: whole numbers",
    "x.pt",
    lambda p: weights(p, {"pos_embed": torch.zeros(1, 4, 8, dtype=torch.int64)}),
    read_weights,
    "pos_embed is torch.int64, expected floating point",
)
case(
    "checkpoint: a width of 6",
    "x.pt",
    lambda p: weights(p, {"x_embedder.proj.weight": torch.zeros(6, 4, 2, 2)}),
    read_weights,
    "width is 6, expected a multiple of 4",
)


class Trap:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("sprung",)


case(
    "checkpoint: code",
    "x.pt",
    lambda p: torch.save({"x": Trap()}, p),
    read_weights,
    "cannot be read as a checkpoint",
)
case(
    "checkpoint: code in the older form",
    "x.pt",
    lambda p: torch.save({"x": Trap()}, p, _use_new_zipfile_serialization=False),
    read_weights,
    "cannot be read as a checkpoint",
)
case(
    "checkpoint: a tar archive",
    "x.pt",
    header("storages", b"00000000000") + bytes(10_240),
    read_weights,
    "a tar archive, which is not read",
)
case(
    "safetensors: a header of exabytes",
    "x.safetensors",
    struct.pack("<Q", 2**60) + b"{" + bytes(99),
    load_reference,
    "x.safetensors",
)
case(
    "safetensors: shapes of exabytes",
    "x.safetensors",
    (lambda h: struct.pack("<Q", len(h)) + h + bytes(4))(
        json.dumps(
            {"images": {"dtype": "U8", "shape": [2**40, 2**20, 1, 3], "data_offsets": [0, 4]}}
        ).encode()
    ),
    every,
    "x.safetensors",
)

# ---- what is no file


def linked(path: Path) -> None:
    small(path)
    (path / "b.png").symlink_to(path / "nowhere.png")


def looped(path: Path) -> None:
    (path / "c").mkdir(parents=True)
    (path / "c/a.png").write_bytes(png(8, 8))
    (path / "d").symlink_to(path)
    (path / "c/again").symlink_to(path)


def piped(path: Path) -> None:
    os.mkfifo(small(path) / "b.png")


def named_in_bytes(path: Path) -> None:
    (small(path) / "a.png").rename(path / os.fsdecode(b"\xff\xfe.png"))


for title, read in (
    ("suite", load_suite), ("baseline", read_baseline), ("captions", read_coco), ("manifest", read_manifest),
    ("lines", read_lines), ("IDX", read_idx), ("image", lambda p: decode(p, 8)), ("images", every),
    ("statistics", statistics), ("reference", load_reference), ("checkpoint", read_weights),
    ("images of a reference", lambda p: reference_images(str(p))),
):  # fmt: skip
    case(
        f"a pipe as {title}",
        "x",
        os.mkfifo,
        read,
        "x: is neither a file nor a folder" if title not in ("suite",) else "no such suite",
    )
for title, read in (("npz", lambda p: list(npz_images(p))), ("tar", every), ("safetensors", every)):
    case(f"a pipe as .{title}", f"x.{title}", os.mkfifo, read, "is neither a file nor a folder")
case(
    "a pipe among images",
    "d",
    piped,
    lambda p: image_folder(p, 8).pixels[0:2],
    "b.png: is neither a file nor a folder",
)
case("a pipe among digested images", "d", piped, digest_images, "b.png: is neither a file nor a folder")
case(
    "a link to nowhere",
    "d",
    linked,
    lambda p: image_folder(p, 8).pixels[0:2],
    "b.png: cannot be read: No such file",
)
case("a link to nowhere, digested", "d", linked, digest_images, "b.png: cannot be read: No such file")
case("links in a circle", "d", looped, every, "")
case("links in a circle, of classes", "d", looped, lambda p: image_folder(p, 8).pixels[0:1], "")
case("a name that is no text", "d", named_in_bytes, every, "")
case("a name that is no text, digested", "d", named_in_bytes, digest_images, "")
case(
    "a device without end",
    "x.pt",
    lambda p: p.symlink_to("/dev/zero"),
    read_weights,
    "x.pt: is neither a file nor a folder",
)


def main() -> None:
    """Read every case in a fresh folder."""
    chosen = [title for title in CASES if (title in SLOW) == ("slow" in sys.argv)]
    room = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + SPARE
    for title in chosen:
        name, write, read, _ = CASES[title]
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            path = Path(folder) / name
            write(path)
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (room, hard))
            start = time.monotonic()
            kind, said = "read", ""
            try:
                with within(SECONDS):
                    read(path)
            except (Exception, TooSlow) as error:
                kind, said = type(error).__name__, str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
            sprung = sorted(entry.name for entry in Path(folder).iterdir() if entry.name != name)
            os.chdir("/")
        seconds = round(time.monotonic() - start, 2)
        line = {
            "case": title,
            "kind": kind,
            "said": said[:2000] + said[-500:],
            "seconds": seconds,
            "sprung": sprung,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
