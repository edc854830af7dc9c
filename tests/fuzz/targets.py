"""Every reader of users' files, with sound files to spoil."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save

from ssdbench.data.captions import beside, read_lines
from ssdbench.data.coco import read_coco, read_manifest
from ssdbench.data.fashion_mnist import read_idx
from ssdbench.data.folders import decode
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.metrics.reference import load_reference, make_reference, save_reference
from ssdbench.metrics.references import adm_reference, save_adm_reference
from ssdbench.metrics.sources import open_images
from ssdbench.models.checkpoint import save_dit
from ssdbench.models.diffusers_dit import build_diffusers
from ssdbench.models.dit import DiT
from ssdbench.models.dit_files import read_checkpoint
from ssdbench.models.files import in_folder, read_tensors
from ssdbench.models.schedulers import read_scheduler
from ssdbench.models.shapes import DiTShape
from ssdbench.models.unet import build_unet, load_unet
from ssdbench.models.vae import Autoencoder, build_vae
from ssdbench.report.baseline import Baseline, BaselineRow, Expected, read_baseline
from ssdbench.suite import load_suite
from tests.metrics.toy import toy_network
from tests.models.sd_toy import SHAPE as UNET

from . import mutate
from .mutate import Mutator

ROOT = Path(__file__).parents[2]
SHAPE = DiTShape(width=8, depth=2, heads=2, input_size=4, num_classes=3, learn_sigma=False)
IMAGES = np.random.default_rng(0).integers(0, 256, (11, 4, 4, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Target:
    """A reader of the file ``name`` in a folder of other files, which stay as they are.

    ``named`` is what a complaint has to name; ``share`` of the examples is enough where one takes long.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    around: Callable[[], dict[str, bytes]] = dict
    inner: Mutator | None = None
    named: str = ""
    share: float = 1.0

    def example(self, number: int) -> bytes:
        """File ``number``: a sound one, spoilt from the outside or within its container."""
        rng = random.Random(number)
        data = rng.choice(self.seeds())
        if self.inner is not None and rng.random() < 0.6:
            return self.inner(data, rng)
        return mutate.spoilt(data, rng)


def folder_of(write: Callable[[Path], object]) -> dict[str, bytes]:
    """The files that a function writes into a folder."""
    with TemporaryDirectory() as folder:
        write(Path(folder) / "m")
        root = Path(folder) / "m"
        return {
            path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
        }


def bytes_of(write: Callable[[Path], object], name: str = "x") -> bytes:
    """The content of the file that a function writes."""
    with TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def every(place: Path, resolution: int | None = None) -> int:
    """All images of a source."""
    return sum(len(batch) for batch in open_images(str(place), resolution).batches())


def picture(kind: str, seed: int = 0, size: tuple[int, int] = (9, 7)) -> bytes:
    """An encoded image."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@cache
def dit() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return DiT(SHAPE).state_dict()


@cache
def checkpoints() -> list[bytes]:
    """The weights alone, a training's checkpoint, torch's older format, and REPA's names."""
    options = argparse.Namespace(model="DiT-S/2")
    repa = {name.replace("blocks.1.", "decoder_blocks.0."): t for name, t in dit().items()}
    found = []
    for content, new in (
        (dit(), True),
        ({"ema": dit(), "args": options, "opt": {"state": {}}}, True),
        (dit(), False),
        ({"ema": repa | {"projectors.0.weight": torch.ones(2)}}, True),
    ):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=new)
        found.append(buffer.getvalue())
    return found


@cache
def own_folder() -> dict[str, bytes]:
    torch.manual_seed(0)
    return folder_of(lambda path: save_dit(DiT(SHAPE), path))


@cache
def diffusers_folder() -> dict[str, bytes]:
    return folder_of(
        lambda path: build_diffusers(dit(), SHAPE, path).save_pretrained(path, max_shard_size="3KB")
    )


@cache
def vae_folder() -> dict[str, bytes]:
    torch.manual_seed(0)
    return folder_of(build_vae((8, 8), 1).save_pretrained)


@cache
def unet_folder() -> dict[str, bytes]:
    torch.manual_seed(0)
    return folder_of(build_unet(UNET).save_pretrained)


SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
}


@cache
def references() -> tuple[list[bytes], list[bytes]]:
    """A reference as safetensors, and as ADM's ``.npz``."""
    network = toy_network()
    images = np.random.default_rng(1).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    made = make_reference([images], network, "random")
    adm = io.BytesIO()
    np.savez(adm, arr_0=images)
    return (
        [bytes_of(partial(save_reference, made, layout=layout)) for layout in ("full", "small")],
        [bytes_of(lambda path: save_adm_reference(made, path), "x.npz"), adm.getvalue()],
    )


def npz(**arrays: np.ndarray) -> list[bytes]:
    """Stored and compressed."""
    found = []
    for save_ in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save_(buffer, **arrays)
        found.append(buffer.getvalue())
    return found


def idx() -> bytes:
    pixels = IMAGES[..., 0]
    return gzip.compress(b"\0\0\x08\x03" + struct.pack(">III", *pixels.shape) + pixels.tobytes())


COCO = json.dumps(
    {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)],
        "annotations": [{"id": 9 - i, "image_id": i, "caption": f"number {i} é"} for i in range(4)],
    }
).encode()
MANIFEST = b"".join(
    json.dumps({"file": f"{i}.jpg", "caption": "a", "image_id": i, "caption_id": i}).encode() + b"\n"
    for i in range(3)
)
PROFILE = (ROOT / "suites/profiles/mini.yaml").read_bytes().replace(b"profile: mini", b"profile: x")


def suites() -> list[bytes]:
    return [
        (ROOT / "suites" / f"{name}.yaml").read_bytes() for name in ("quick", "table2", "ci-dit-s", "figure4")
    ]


def baselines() -> list[bytes]:
    metric = Expected(value=3.5, better="lower", absolute=0.1, relative=0.005)
    rows = [
        BaselineRow(
            name=f"row {i}",
            key=f"{i:064x}",
            seeds=[1, 2],
            samples=500,
            network="effnet-lite0",
            reference="fashion-mnist",
            metrics={"fd": metric, "is": metric},
        )
        for i in range(4)
    ]
    made = Baseline(
        suite="x", created="2026-01-01", device="cpu", threads=1, versions={"torch": "2.9"}, rows=rows
    )
    return [made.text().encode()]


def beside_images(path: Path) -> object:
    return beside([path.with_suffix(".png")])


def only(files: Callable[[], dict[str, bytes]], name: str) -> Callable[[], list[bytes]]:
    return lambda: [files()[name]]


WEIGHTS, SHARDS = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json"
_CONFIG = Target(
    "config.json",
    only(own_folder, "config.json"),
    lambda path: read_checkpoint(path.parent),
    own_folder,
    named="model",
)

TARGETS: dict[str, Target] = {
    "suite": Target("x.yaml", suites, load_suite),
    "suite under a profile": Target(
        "x.yaml", lambda: suites()[1:2], lambda path: load_suite(path, profile="mini", limit=100), share=0.3
    ),
    "profile": Target(
        "profiles/x.yaml",
        lambda: [PROFILE],
        lambda path: load_suite(path.parents[1] / "s.yaml", profile="x"),
        lambda: {"s.yaml": suites()[1]},
        named="",
    ),
    "baseline": Target("x.yaml", baselines, read_baseline),
    "npz of samples": Target(
        "x.npz", lambda: npz(arr_0=IMAGES, arr_1=np.arange(11)), every, inner=mutate.in_zip
    ),
    "npz of a reference": Target(
        "x.npz", lambda: references()[1], lambda path: adm_reference(path, toy_network()), inner=mutate.in_zip
    ),
    "reference": Target(
        "x.safetensors", lambda: references()[0], load_reference, inner=mutate.in_safetensors
    ),
    "shard": Target(
        "x.safetensors",
        lambda: [save({"images": IMAGES, "labels": np.arange(11)})],
        every,
        inner=mutate.in_safetensors,
    ),
    **{
        f"{kind} image": Target(
            f"x.{kind}", lambda kind=kind: [picture(kind, i) for i in range(3)], lambda path: decode(path, 8)
        )
        for kind in ("png", "jpeg", "bmp", "ppm", "webp", "gif", "tiff")
    },
    "folder of images": Target(
        "b.png",
        lambda: [picture(kind) for kind in ("png", "jpeg", "gif", "tiff")],
        lambda path: every(path.parent),
        lambda: {"a.png": picture("png")},
    ),
    "tar of images": Target(
        "x.tar",
        lambda: [mutate.tar_of({f"c/{i}.png": picture("png", i) for i in range(3)} | {"notes.txt": b"x"})],
        every,
        inner=mutate.in_tar,
    ),
    "COCO's captions": Target("x.json", lambda: [COCO], read_coco),
    "manifest": Target("x.jsonl", lambda: [MANIFEST], read_manifest),
    "captions a line": Target("x.txt", lambda: ["a dog\n\n a cät\n".encode()], read_lines),
    "captions beside images": Target(
        "x.txt", lambda: ["a dög\n".encode()], beside_images, lambda: {"x.png": b""}
    ),
    "IDX": Target("x.gz", lambda: [idx()], read_idx, inner=mutate.in_gzip),
    "checkpoint": Target(
        "x.pt", lambda: checkpoints()[:2], lambda path: read_checkpoint(path, heads=2), inner=mutate.in_zip
    ),
    "checkpoint in another form": Target(
        "x.pt", lambda: checkpoints()[2:], lambda path: read_checkpoint(path, heads=2)
    ),
    "checkpoint in safetensors": Target(
        "x.safetensors",
        only(own_folder, WEIGHTS),
        lambda path: read_checkpoint(path, heads=2),
        inner=mutate.in_safetensors,
    ),
    "config": _CONFIG,
    "weights of a folder": replace(
        _CONFIG, name=WEIGHTS, seeds=only(own_folder, WEIGHTS), inner=mutate.in_safetensors
    ),
    "config of diffusers": replace(
        _CONFIG, seeds=only(diffusers_folder, "config.json"), around=diffusers_folder
    ),
    "index of shards": replace(
        _CONFIG, name=SHARDS, seeds=only(diffusers_folder, SHARDS), around=diffusers_folder
    ),
    "config of an autoencoder": Target(
        "config.json",
        only(vae_folder, "config.json"),
        lambda path: Autoencoder(path.parent),
        vae_folder,
        named="model",
        share=0.15,
    ),
    "scheduler of a pipeline": Target(
        "scheduler_config.json",
        lambda: [json.dumps(SCHEDULER).encode()],
        lambda path: alphas_cumprod(read_scheduler(path, True)[1]),
    ),
    "weights of an autoencoder": Target(
        WEIGHTS,
        only(vae_folder, WEIGHTS),
        lambda path: Autoencoder(path.parent),
        vae_folder,
        mutate.in_safetensors,
        "model",
        0.15,
    ),
    "config of a UNet": Target(
        "config.json",
        only(unet_folder, "config.json"),
        lambda path: load_unet(path.parent, UNET),
        unet_folder,
        named="model",
        share=0.1,
    ),
    "UNet in one file": Target(
        "x.safetensors",
        only(unet_folder, WEIGHTS),
        lambda path: load_unet(path, UNET),
        inner=mutate.in_safetensors,
        share=0.05,
    ),
    "folder of weights": replace(
        _CONFIG,
        name=WEIGHTS,
        seeds=only(vae_folder, WEIGHTS),
        read=lambda path: read_tensors(in_folder(path.parent)),
        inner=mutate.in_safetensors,
    ),
}
