"""The references by name: which real images samples are scored against. Free of torch and numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ssdbench.declaration import Catalog, Declaration

THROUGH = " through the autoencoder"
"""What ends the name of a reference whose images are passed through the model's autoencoder first."""


@dataclass(frozen=True, kw_only=True)
class ReferenceSet(Declaration):
    """Real images that samples are scored against: a data set's, a file's, or the statistics of some.

    Args:
        resolution: side of the images in pixels.
        images: how many there are.
        networks: files of statistics or images by the feature network that they are for, as ``package:PATH`` (shipped)
            or ``file:NAME`` (the user's, in $SSDBENCH_DATA/weights).
        hint: how to get the files; see :class:`ssdbench.models.family.Model`.
        dataset: the data set that holds these images and no others: what a reference for another network is computed
            from.
        held_by: the data sets that hold them. Training on one would flatter a model, so the two may not meet. Nothing
            where the published protocol does just that (ImageNet's references hold training images).
    """

    KIND: ClassVar[str] = "reference"

    resolution: int
    images: int
    networks: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""
    dataset: str | None = None
    held_by: tuple[str, ...] = ()

    def images_file(self) -> str | None:
        """The place of a file that holds the images themselves, whichever network it is for."""
        return next((place for place in self.networks.values() if place.endswith(".npz")), None)


FASHION = ReferenceSet(
    name="fashion-mnist",
    help="10,000 images of Fashion-MNIST's train split at 32x32, disjoint from the training data",
    cite="Xiao et al., 2017, Fashion-MNIST",
    resolution=32,
    images=10_000,
    networks={"effnet-lite0": "package:reference/fashion-mnist-32.effnet-lite0.safetensors"},
    dataset="fashion-mnist-reference",
    held_by=("fashion-mnist-reference", "fashion-mnist-full"),
)


def _half(name: str) -> ReferenceSet:
    return replace(
        FASHION,
        name=name,
        help=f"the 5,000 images of {name}: its captions are what is sampled",
        images=5000,
        networks={},
        dataset=name,
        held_by=(*FASHION.held_by, name),
    )


def _coco(name: str, images: int) -> ReferenceSet:
    return ReferenceSet(
        name=name,
        help=f"the images of {name}, cropped to squares: its captions are what is sampled",
        cite="Lin et al., 2014, Microsoft COCO",
        resolution=512,
        images=images,
        dataset=name,
        held_by=(name,),
    )


def _imagenet(resolution: int, file: str) -> ReferenceSet:
    published = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/ref_batches/imagenet"
    return ReferenceSet(
        name=f"imagenet-{resolution}",
        help=f"ADM's ImageNet {resolution}x{resolution} reference batch",
        cite="Dhariwal and Nichol, 2021, Diffusion Models Beat GANs on Image Synthesis",
        resolution=resolution,
        images=10_000,
        networks={"inception": f"file:{file}"},
        hint=f"download it: `curl -L --create-dirs -o {{data}}/weights/{file} {published}/{resolution}/{file}`",
    )


BUILTIN = (
    FASHION,
    replace(
        FASHION,
        name="fashion-mnist-64",
        help="the same images enlarged to 64x64; its statistics are computed when they are needed",
        resolution=64,
        networks={},
    ),
    _half("fashion-captions-a"),
    _half("fashion-captions-b"),
    _coco("coco-2014", 30_000),
    _coco("coco-2017", 5000),
    _imagenet(256, "VIRTUAL_imagenet256_labeled.npz"),
    _imagenet(512, "VIRTUAL_imagenet512.npz"),
)
REFERENCES: Catalog[ReferenceSet] = Catalog(ReferenceSet, BUILTIN)


def is_through(reference: str) -> bool:
    """Whether a run's reference is passed through the autoencoder."""
    return reference.endswith(THROUGH)


def known_reference(reference: str) -> ReferenceSet | None:
    """The declaration that a run's reference names, passed through an autoencoder or not; None of a file or folder."""
    return REFERENCES.known(reference.removesuffix(THROUGH))


def holds_images(reference: str) -> bool:
    """Whether a reference is a data set or a folder, whose images can be told apart, and no file of statistics."""
    found = known_reference(reference)
    if found is None:
        return not reference.removesuffix(THROUGH).endswith((".npz", ".safetensors"))
    return found.dataset is not None
