"""Everything that a suite can name, as torch-free facts; its models are in :mod:`ssdbench.suite.models`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssdbench.layouts import LAYOUTS
from ssdbench.methods import METHODS
from ssdbench.metrics.catalog import METRICS
from ssdbench.metrics.networks import NETWORKS
from ssdbench.samplers import GRIDS, SAMPLERS
from ssdbench.suite.models import MODELS, ModelFacts, download


@dataclass(frozen=True)
class DatasetFacts:
    """Training images: how many, of how many classes or with captions, and where they come from."""

    description: str
    images: int
    licence: str
    source: str
    captions: bool = False
    classes: int | None = None


@dataclass(frozen=True)
class ReferenceFacts:
    """Reference statistics: how many images they are of and the networks they exist for.

    ``dataset`` holds these images and no others: what a reference for another network is computed from. ``held_by``
    names the data sets that hold them: training on one would flatter a model, so the two may not meet. Nothing where
    the published protocol does just that (ImageNet's references hold training images).
    """

    description: str
    resolution: int
    images: int
    networks: Mapping[str, str]
    hint: str = ""
    dataset: str | None = None
    held_by: tuple[str, ...] = ()


_FASHION, _COCO = "https://github.com/zalandoresearch/fashion-mnist", "https://cocodataset.org"

DATASETS: dict[str, DatasetFacts] = {
    "fashion-mnist": DatasetFacts(
        "the 10,000 images of Fashion-MNIST's test split, vendored; training data at mini scale",
        images=10_000,
        licence="MIT",
        source="https://github.com/zalandoresearch/fashion-mnist (t10k-images-idx3-ubyte.gz)",
        classes=10,
    ),
    "fashion-mnist-reference": DatasetFacts(
        "10,000 images of Fashion-MNIST's train split, vendored: the shipped reference is of them",
        images=10_000,
        licence="MIT",
        source="https://github.com/zalandoresearch/fashion-mnist (10,000 of train-images-idx3-ubyte.gz)",
        classes=10,
    ),
    "fashion-mnist-full": DatasetFacts(
        "the 60,000 training images of Fashion-MNIST, read from $SSDBENCH_DATA or Debian's dataset-fashion-mnist",
        images=60_000,
        licence="MIT",
        source="https://github.com/zalandoresearch/fashion-mnist (train-images-idx3-ubyte.gz)",
        classes=10,
    ),
    **{
        name: DatasetFacts(
            f"{what}, with captions of class, brightness, size and place", images, "MIT", _FASHION, True
        )
        for name, what, images in (
            ("fashion-captions", "the images of fashion-mnist", 10_000),
            ("fashion-captions-a", "the first half of fashion-mnist-reference", 5000),
            ("fashion-captions-b", "the second half of fashion-mnist-reference", 5000),
        )
    },
    **{
        name: DatasetFacts(
            f"{what}, one caption each, under $SSDBENCH_DATA/coco",
            images,
            "CC BY 4.0 (annotations)",
            _COCO,
            True,
        )
        for name, what, images in (
            ("coco-2014-train", "the training images of COCO 2014", 82_783),
            ("coco-2014", "30,000 validation images of COCO 2014", 30_000),
            ("coco-2017", "the 5,000 validation images of COCO 2017", 5000),
        )
    },
    "imagenet": DatasetFacts(
        "ImageNet-1k training images in class folders, under $SSDBENCH_DATA/imagenet/train",
        images=1_281_167,
        licence="ImageNet terms of access",
        source="https://image-net.org",
        classes=1000,
    ),
}

_ADM = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/ref_batches/imagenet"

REFERENCES: dict[str, ReferenceFacts] = {
    "fashion-mnist": ReferenceFacts(
        "10,000 images of Fashion-MNIST's train split at 32x32, disjoint from the training data",
        resolution=32,
        images=10_000,
        networks={"effnet-lite0": "package:reference/fashion-mnist-32.effnet-lite0.safetensors"},
        dataset="fashion-mnist-reference",
        held_by=("fashion-mnist-reference", "fashion-mnist-full"),
    ),
    "fashion-mnist-64": ReferenceFacts(
        "the same images enlarged to 64x64; its statistics are computed when they are needed",
        resolution=64,
        images=10_000,
        networks={},
        dataset="fashion-mnist-reference",
        held_by=("fashion-mnist-reference", "fashion-mnist-full"),
    ),
    **{
        name: ReferenceFacts(
            f"the 5,000 images of {name}: its captions are what is sampled",
            resolution=32,
            images=5000,
            networks={},
            dataset=name,
            held_by=("fashion-mnist-reference", "fashion-mnist-full", name),
        )
        for name in ("fashion-captions-a", "fashion-captions-b")
    },
    **{
        name: ReferenceFacts(
            f"the images of {name}, cropped to squares: its captions are what is sampled",
            resolution=512,
            images=images,
            networks={},
            dataset=name,
            held_by=(name,),
        )
        for name, images in (("coco-2014", 30_000), ("coco-2017", 5000))
    },
    "imagenet-256": ReferenceFacts(
        "ADM's ImageNet 256x256 reference batch",
        resolution=256,
        images=10_000,
        networks={"inception": "file:VIRTUAL_imagenet256_labeled.npz"},
        hint=download(
            f"{_ADM}/256/VIRTUAL_imagenet256_labeled.npz", "weights/VIRTUAL_imagenet256_labeled.npz"
        ),
    ),
    "imagenet-512": ReferenceFacts(
        "ADM's ImageNet 512x512 reference batch",
        resolution=512,
        images=10_000,
        networks={"inception": "file:VIRTUAL_imagenet512.npz"},
        hint=download(f"{_ADM}/512/VIRTUAL_imagenet512.npz", "weights/VIRTUAL_imagenet512.npz"),
    ),
}


def holds_images(reference: str) -> bool:
    """Whether a reference is a data set or a folder, whose images can be told apart, and no file of statistics."""
    facts = REFERENCES.get(reference)
    if facts is None:
        return not reference.endswith((".npz", ".safetensors"))
    return facts.dataset is not None


VARIANTS = METHODS
"""What the key ``variant`` is made of."""

__all__ = [
    "DATASETS",
    "GRIDS",
    "LAYOUTS",
    "METRICS",
    "MODELS",
    "NETWORKS",
    "REFERENCES",
    "SAMPLERS",
    "VARIANTS",
    "DatasetFacts",
    "ModelFacts",
    "ReferenceFacts",
]
