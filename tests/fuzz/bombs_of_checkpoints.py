"""Checkpoints that run code or are more than they hold, and what is no file."""

import json
import os
import struct
from pathlib import Path

import torch

from ssdbench.data.captions import read_lines
from ssdbench.data.coco import read_coco, read_manifest
from ssdbench.data.datasets import folder as image_folder
from ssdbench.data.fashion_mnist import read_idx
from ssdbench.data.folders import decode
from ssdbench.metrics.npz import npz_images
from ssdbench.metrics.reference import load_reference
from ssdbench.metrics.references import reference_images
from ssdbench.models.dit_files import read_checkpoint
from ssdbench.plan.digests import digest_images
from ssdbench.report.baseline import read_baseline
from ssdbench.suite import load_suite

from .bombs_of_archives import header, statistics
from .bombs_of_images import png, small
from .cases import case, every

# ---- checkpoints and safetensors


def weights(path: Path, change: dict[str, torch.Tensor] | None = None) -> None:
    from ssdbench.models.shapes import DiTShape

    shape = DiTShape(8, 2, 2, 2, 4, 4, 3, False)
    state = {name: torch.zeros(t.shape) for name, t in shape.tensors().items()}
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
    "pos_embed is int64, expected floating point",
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
