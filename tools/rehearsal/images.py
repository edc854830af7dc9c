"""ImageNet, COCO, ADM's reference files and the FID Inception: random, few, and as odd as the real ones."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import nn

CLASSES = 1000
_WORDS = ("a", "dog", "cat", "man", "on", "the", "bench", "red", "Kitchen", "plates", "two", "with")


def write_imagenet(root: Path, count: int) -> None:
    """1,000 class folders, ``count`` images in the first ones and the last; one is CMYK, one a PNG, one grey."""
    rng = np.random.default_rng(0)
    wnids = [f"n{1440764 + 4099 * i:08}" for i in range(CLASSES)]
    for wnid in wnids:
        (root / wnid).mkdir(parents=True)
    kinds = ["RGB", "CMYK", "PNG", "L"]
    for i in range(count):
        wnid = wnids[i] if i < count - 1 else wnids[-1]
        content = _encoded(rng, (270 + 10 * i, 300), kinds[i % len(kinds)])
        (root / wnid / f"{wnid}_{10026 + i}.JPEG").write_bytes(content)


def write_coco(root: Path, split: str, count: int) -> None:
    """Images and five captions each in the official layout; COCO 2014 names its files after the split."""
    rng = np.random.default_rng(len(split) + count)
    (root / split).mkdir(parents=True)
    kinds = ["RGB", "L", "PNG", "CMYK"]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i in range(count):
        number, height, width = 391_895 + 1_009 * i, 427 + 8 * i, 640 - 40 * i
        name = f"{number:012}.jpg" if "2017" in split else f"COCO_{split}_{number:012}.jpg"
        (root / split / name).write_bytes(_encoded(rng, (height, width), kinds[i % len(kinds)]))
        images.append(
            {
                "license": 3,
                "file_name": name,
                "coco_url": f"http://images.cocodataset.org/{split}/{name}",
                "height": height,
                "width": width,
                "date_captured": "2013-11-14 11:18:45",
                "flickr_url": f"http://farm9.staticflickr.com/8186/{number}_z.jpg",
                "id": number,
            }
        )
        for j in range(5):
            caption = " ".join(rng.choice(_WORDS, 8)).capitalize() + (".\n" if j % 2 else " .  ")
            annotations.append({"image_id": number, "id": 37 * i + 7 * j + 1, "caption": caption})
    rng.shuffle(annotations)  # type: ignore[arg-type]
    content = {
        "info": {"description": f"COCO {split[-4:]} Dataset", "version": "1.0", "year": int(split[-4:])},
        "images": images[::-1],
        "licenses": [
            {"url": "http://creativecommons.org/licenses/by-nc-nd/2.0/", "id": 3, "name": "BY-NC-ND"}
        ],
        "annotations": annotations,
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"captions_{split}.json").write_text(json.dumps(content))


def write_reference(path: Path, resolution: int, count: int) -> None:
    """ADM's file: images, and statistics that are of others than these, as the published ones are."""
    rng = np.random.default_rng(resolution)
    arrays: dict[str, np.ndarray] = {
        "arr_0": rng.integers(0, 256, (count, resolution, resolution, 3), dtype=np.uint8)
    }
    for suffix, width in (("", 2048), ("_s", 2023)):
        features = rng.gamma(0.5, 0.8, (24, width))
        arrays[f"mu{suffix}"], arrays[f"sigma{suffix}"] = features.mean(0), np.cov(features, rowvar=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def write_inception(path: Path) -> None:
    """The FID Inception at its full size, since its class has no other, with random weights that keep images apart."""
    from ssdbench.metrics.inception import InceptionTaps

    torch.manual_seed(0)
    path.parent.mkdir(parents=True)
    network = InceptionTaps()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    torch.save(network.state_dict(), path)


def _encoded(rng: Generator, size: tuple[int, int], kind: str) -> bytes:
    """An image file of smooth random content: a JPEG in a mode, or a PNG."""
    small = rng.integers(0, 256, (6, 8, 4), dtype=np.uint8)
    mode = "RGB" if kind == "PNG" else kind
    image = Image.fromarray(small[..., : len(mode)] if len(mode) > 1 else small[..., 0], mode)
    file = io.BytesIO()
    image.resize(size[::-1], Image.Resampling.BICUBIC).save(file, "PNG" if kind == "PNG" else "JPEG")
    return file.getvalue()
