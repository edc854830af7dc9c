"""A machine on which everything is that Tables 1 to 8 need at paper scale, each thing where its hint says."""

from __future__ import annotations

import os
import re
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from tools.rehearsal.sizes import IMAGES, MODELS_HERE, REFERENCE_IMAGES, small_catalogue

_DONE = "complete"
_SPLITS = {"coco-2014-train": "train2014", "coco-2014": "val2014", "coco-2017": "val2017"}
_SD, _DIT = "stable-diffusion-v1-5", "facebook/DiT-XL-2-256"

CONVERTED = "DiT-XL-2-256x256.pt"
"""What `ssdbench convert` makes of the model in diffusers' layout, from the cache of the hub."""


@contextmanager
def rehearsing(root: Path) -> Iterator[None]:
    """Be on that machine, which is made in ``root`` unless it is there: its variables, and the catalogue's sizes.

    Nothing that reads the variables when it is imported, as huggingface_hub does, may be imported before.
    """
    root = root.resolve()
    places = {
        "SSDBENCH_DATA": root / "data",
        "HF_HOME": root / "huggingface",
        "TORCH_HOME": root / "torch",
        "XDG_CACHE_HOME": root / "cache",
    }
    with (
        patch.dict(
            os.environ, {name: str(place) for name, place in places.items()} | {"HF_HUB_OFFLINE": "1"}
        ),
        small_catalogue(),
    ):
        if not (root / _DONE).exists():
            _make(root)
            (root / _DONE).touch()
        yield


def _make(root: Path) -> None:
    from tools.rehearsal import images

    from ssdbench.metrics.weights import inception_cache

    data = root / "data"
    _write_models(root)
    images.write_imagenet(data / "imagenet/train", IMAGES["imagenet"])
    for name, split in _SPLITS.items():
        images.write_coco(data / "coco", split, IMAGES[name])
        # A worker knows the published numbers of images alone: a manifest tells it of fewer.
        with patch("sys.argv", ["coco_manifest.py", split, str(IMAGES[name])]), redirect_stdout(sys.stderr):
            runpy.run_path(str(Path(__file__).parents[1] / "coco_manifest.py"))
    images.write_reference(data / "weights/VIRTUAL_imagenet256_labeled.npz", 256, REFERENCE_IMAGES)
    images.write_reference(data / "weights/VIRTUAL_imagenet512.npz", 512, REFERENCE_IMAGES)
    images.write_inception(inception_cache())


def _write_models(root: Path) -> None:
    from tools.rehearsal import configs, diffusion, sizes, transformers

    from ssdbench.models.shapes import DiTShape
    from ssdbench.suite.catalog import MODELS

    weights, hub, files = root / "data/weights", root / "huggingface/hub", root / "downloaded"
    vae = sizes.shrunken_vae(configs.vae_ft_ema())
    diffusion.write_vae(vae, weights / "sd-vae-ft-ema")
    diffusion.mark_as_downloaded(weights / "sd-vae-ft-ema")
    writers = {
        "REPA SiT-XL/2": transformers.write_repa,
        "DiT-XL/2": transformers.write_bare,
        "SiT-XL/2": transformers.write_bare,
    }
    for seed, name in enumerate(MODELS_HERE):
        for resolution, shape in MODELS[name].shapes.items():
            if not isinstance(shape, DiTShape):
                continue
            # The smaller DiTs are not published: who trains one with DiT's script has its training state.
            write = writers.get(name, transformers.write_training_state)
            state = transformers.random_state(shape, seed)
            write(state, weights / MODELS[name].weights[resolution].removeprefix("file:"))
            if (name, resolution) == ("DiT-XL/2", 256):
                transformers.write_diffusers(state, sizes.shrunken_dit(shape), vae, files)
                diffusion.write_hub_cache(hub, _DIT, files)
    _run("convert", f"hub:{_DIT}", "-o", str(root / CONVERTED), "--to", "official")
    unet, text = sizes.shrunken_unet(), sizes.shrunken_text()
    diffusion.write_pipeline(files, unet, sizes.shrunken_sd_vae(), text)
    diffusion.write_hub_cache(hub, f"{_SD}/{_SD}", files)
    # As its hint says, to the letter.
    command = re.search(r"`ssdbench (.*?)`", MODELS["SD v1.5"].hint)
    assert command is not None
    _run(*command[1].format(data=root / "data").split())


def _run(*arguments: str) -> None:
    """Run a command of ssdbench in this process.

    Raises:
        RuntimeError: it fails.
    """
    from typer.testing import CliRunner

    from ssdbench.cli.app import app

    result = CliRunner().invoke(app, list(arguments))
    if result.exit_code != 0:
        raise RuntimeError(f"ssdbench {' '.join(arguments)}:\n{result.output}")
