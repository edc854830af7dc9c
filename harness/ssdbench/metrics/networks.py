"""The feature networks: how one is found by its name, where its weights are, how it is loaded. Torch-free until then.

A network of the user's own is a :class:`Network`, or a function ``package.module:function`` that takes ``weights`` (a
path or None) and ``device`` and returns a :class:`FeatureNetwork`.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.declaration import Catalog
from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.builtin_networks import BUILTIN, INCEPTION
from ssdbench.metrics.network import Network
from ssdbench.metrics.taps import Dims, FeatureNetwork, Taps
from ssdbench.metrics.weights import file_digest
from ssdbench.models.files import Inside

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


def _of_function(name: str, found: Any) -> Network:
    return Network(name=name, help=(found.__doc__ or "").partition("\n")[0], body=name)


NETWORKS: Catalog[Network] = Catalog(Network, BUILTIN, _of_function)


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
    declared = find_network(name)
    return declared.tensors_in(path) if declared.tensors else {}


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
