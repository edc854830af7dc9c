"""Whether a file can be the reference of a network: what its headers say, without reading images or torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError
from ssdbench.inputs import parse_json, require_file
from ssdbench.metrics.networks import INCEPTION, NETWORKS, says_fid
from ssdbench.metrics.npz import NpzArrays, images_shape

FORMAT = "ssdbench-reference-1"
"""The metadata of a safetensors file that is a reference of our own writing: what it says of itself."""

DESCRIPTION = "ssdbench"
"""The array of an ``.npz`` that says the same."""

STATISTICS = (("mu", "sigma"), ("mu_s", "sigma_s"))
"""Arrays of an ``.npz`` of ADM's: of the pooled features, and of the spatial ones."""


def check_reference(path: Path, network: str, digest: str, resolution: int | None = None) -> None:
    """Refuse a file that scoring would refuse.

    Args:
        path: an ``.npz``, or a safetensors file that ``save_reference`` wrote.
        network: the name of the feature network.
        digest: SHA-256 of its weights.
        resolution: the side in pixels that the file's images must have; None: any.

    Raises:
        InputError: it is malformed, has neither images nor statistics that fit the network, or is of another network.
    """
    if path.suffix != ".npz":
        _require_network(saved_reference(path, arrays=False)[0], path, network, digest)
        return
    arrays = NpzArrays(path)
    names = arrays.names()
    if "arr_0" in names:
        _, *sides, _ = images_shape(path)
        if resolution is not None and sides != [resolution, resolution]:
            raise InputError(
                f"{path}: holds images of {sides[1]}x{sides[0]} pixels, expected {resolution}x{resolution}"
            )
    if DESCRIPTION in names:
        if "arr_0" not in names:
            _require_network(str(arrays.array(DESCRIPTION)), path, network, digest)
        return
    fitting = [mean for mean, covariance in STATISTICS if mean in names or covariance in names]
    if says_fid(network):
        assert INCEPTION.dims is not None
        for (mean, covariance), width in zip(STATISTICS, INCEPTION.dims, strict=False):
            if mean in fitting:
                _require(arrays, mean, (width,))
                _require(arrays, covariance, (width, width))
    if "arr_0" not in names and (not says_fid(network) or not fitting):
        raise InputError(
            f"{path}: found {', '.join(names)[:500] or 'nothing'}, expected 'arr_0' (uint8 images) or, for the network"
            f" {INCEPTION.name} alone, 'mu', 'sigma', 'mu_s', 'sigma_s'"
        )


def _require(arrays: NpzArrays, key: str, expected: tuple[int, ...]) -> None:
    shape, dtype = arrays.header(key)
    if not np.issubdtype(dtype, np.floating) or shape != expected:
        raise InputError(f"{arrays.path}: {key!r} is {dtype} {shape}, expected floating point {expected}")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import safe_open

    if not path.exists():
        raise InputError(f"there is no reference at {path}")
    require_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # numpy has no type for some of safetensors', and says so in its own ways
        raise InputError(f"{path} is no safetensors file: {error}") from error


def is_saved_reference(path: Path) -> bool:
    """Whether a file says of itself that ``save_reference`` wrote it."""
    try:
        with _opened(path) as file:
            return FORMAT in (file.metadata() or {})
    except InputError:
        return False


def saved_reference(path: Path, *, arrays: bool = True) -> tuple[str, dict[str, NDArray[np.floating]]]:
    """Return what a safetensors reference says of itself, and its ``arrays``.

    Raises:
        InputError: it is none, or it is cut short.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
        if FORMAT not in metadata:
            found = ", ".join(sorted(metadata)) or "none"
            raise InputError(f"{path} is no reference: metadata {found}, expected {FORMAT}")
        names = file.keys() if arrays else ()
        return metadata[FORMAT], {name: file.get_tensor(name) for name in names}


def _require_network(description: str, path: Path, network: str, digest: str) -> None:
    try:
        said: Any = parse_json(description)
    except ValueError as error:
        raise InputError(f"{path} is no reference that this version reads: {error}") from error
    made = said.get("network") if isinstance(said, dict) else None
    if network not in NETWORKS.builtin:  # what an own one says of itself is known once it is loaded
        return
    weights = said.get("network_digest") if isinstance(said, dict) else None
    if made != network:
        raise InputError(
            f"{path}: was made with the network {made!r}, and the run is scored with {network!r}"
        )
    if weights is not None and weights != digest:
        raise InputError(
            f"{path}: was made with other weights of {network}: {str(weights)[:12]}, the run is scored with"
            f" {digest[:12]}"
        )
