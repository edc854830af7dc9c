"""Whether a file can be the reference of a network: what its headers say, without reading images or torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ssdbench.errors import InputError
from ssdbench.metrics.builtin_networks import INCEPTION
from ssdbench.metrics.networks import NETWORKS, says_fid
from ssdbench.metrics.npz import NpzArrays, images_shape, open_tensors

FORMAT = "ssdbench-reference-1"
"""The metadata of a safetensors file that is a reference of our own writing: what it says of itself."""

DESCRIPTION = "ssdbench"
"""The array of an ``.npz`` that says the same."""

LABELS = "labels"
"""The array of a file of our own that holds the classes of the images whose features it keeps."""

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
            _require_network(Described.parse(str(arrays.array(DESCRIPTION)), path), path, network, digest)
        return
    widths = dict(zip(STATISTICS, INCEPTION.dims or (), strict=False)) if says_fid(network) else {}
    fitting = {pair: width for pair, width in widths.items() if {*pair} & {*names}}
    for (mean, covariance), width in fitting.items():
        _require(arrays, mean, (width,))
        _require(arrays, covariance, (width, width))
    if "arr_0" not in names and not fitting:
        raise no_reference_in(path, names)


def no_reference_in(path: Path, names: Iterable[str]) -> InputError:
    """Say that an ``.npz`` of these arrays holds neither images nor statistics that fit the network."""
    return InputError(
        f"{path}: found {', '.join(names)[:500] or 'nothing'}, expected 'arr_0' (uint8 images) or, for the network"
        f" {INCEPTION.name} alone, 'mu', 'sigma', 'mu_s', 'sigma_s'"
    )


def _require(arrays: NpzArrays, key: str, expected: tuple[int, ...]) -> None:
    shape, dtype = arrays.header(key)
    if not np.issubdtype(dtype, np.floating) or shape != expected:
        raise InputError(f"{arrays.path}: {key!r} is {dtype} {shape}, expected floating point {expected}")


@dataclass(frozen=True, eq=False)
class Described:
    """What a reference says of itself, beside its arrays.

    Args:
        network: name of the feature network.
        network_digest: SHA-256 of its weights; None where it is not known (published statistics).
        revision: the network's ``revision``.
        data: which images these are, in words.
        count: how many images the moments stand for; None where it is not known.
        notes: what a reader of values from its moments should know.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    network: str
    network_digest: str | None
    revision: int
    data: str
    count: int | None
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @staticmethod
    def parse(text: str, path: Path) -> Described:
        """Return what the JSON in a file says; an InputError where that is something else."""
        try:
            return _DESCRIBED.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = f"{'.'.join(map(str, first['loc']))!r:.50}: " if first["loc"] else ""
            raise InputError(
                f"{path} is no reference that this version reads: {place}{first['msg']}"
            ) from error

    def misfit(self, network: str, digest: str, revision: int | None = None) -> str | None:
        """Say how the network that it was made with is another than this one; None where it is this very one."""
        made, wanted = self.network, network
        if revision is not None:
            made, wanted = f"{made} (revision {self.revision})", f"{wanted} (revision {revision})"
        if made != wanted:
            return f"the reference {self.data!r} was made with {made}, the samples are measured with {wanted}"
        if self.network_digest not in (None, digest):
            return (
                f"the reference {self.data!r} was made with other weights of {network}: "
                f"{str(self.network_digest)[:12]}, the samples are measured with {digest[:12]}"
            )
        return None


_DESCRIBED = TypeAdapter(Described)


def is_saved_reference(path: Path) -> bool:
    """Whether a file says of itself that ``save_reference`` wrote it."""
    try:
        with open_tensors(path) as file:
            return FORMAT in (file.metadata() or {})
    except InputError:
        return False


def says_classes(path: Path) -> bool:
    """Whether a reference's file holds the classes of its images. Raises InputError for a malformed one."""
    if path.suffix == ".npz":
        return bool({"arr_1", LABELS} & {*NpzArrays(path).names()})
    with open_tensors(path) as file:
        return LABELS in file.keys()  # noqa: SIM118 (no mapping)


def saved_reference(path: Path, *, arrays: bool = True) -> tuple[Described, dict[str, NDArray[np.floating]]]:
    """Return what a safetensors reference says of itself, and its ``arrays``.

    Raises:
        InputError: it is none, or it is cut short.
    """
    if not path.exists():
        raise InputError(f"there is no reference at {path}")
    with open_tensors(path) as file:
        metadata = file.metadata() or {}
        if FORMAT not in metadata:
            found = ", ".join(sorted(metadata)) or "none"
            raise InputError(f"{path} is no reference: metadata {found}, expected {FORMAT}")
        names = file.keys() if arrays else ()
        return Described.parse(metadata[FORMAT], path), {name: file.get_tensor(name) for name in names}


def _require_network(described: Described, path: Path, network: str, digest: str) -> None:
    # What a network of the user's own says of itself is known once it is loaded.
    if network in NETWORKS.builtin and (problem := described.misfit(network, digest)):
        raise InputError(f"{path}: {problem}")
