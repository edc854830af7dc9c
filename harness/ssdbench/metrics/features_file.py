"""Features of images in a file: what a network computed once serves every metric, reference and number of samples."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.errors import InputError, refusing
from ssdbench.metrics.kept import Kept
from ssdbench.metrics.npz import open_tensors

if TYPE_CHECKING:
    from ssdbench.metrics.features import Progress
    from ssdbench.metrics.sources import ImageSource
    from ssdbench.metrics.taps import FeatureNetwork

FORMAT = "ssdbench-features-1"
_BETWEEN = "|"


@dataclass
class Features:
    """What such a file holds.

    Args:
        identity: of the images, whatever their number; see ``ssdbench.api.images.identity``.
        told: what was noticed of the images when they were read.
        networks: digest of the weights and revision, by network.
        arrays: float32 (N, D), by network and tap.
    """

    identity: str
    told: tuple[str, ...] = ()
    networks: dict[str, tuple[str, int]] = field(default_factory=dict)
    arrays: dict[str, dict[str, NDArray[np.float32]]] = field(default_factory=dict)

    def of(self, network: FeatureNetwork, count: int) -> dict[str, NDArray[np.float32]] | None:
        """Return the taps of the first ``count`` images under this very network; None where they are not all there."""
        if self.networks.get(network.name) != (network.digest, network.revision):
            return None
        found = self.arrays[network.name]
        whole = all(
            len(found.get(tap, ())) >= count for tap, width in network.dims._asdict().items() if width
        )
        return {tap: rows[:count] for tap, rows in found.items()} if whole else None


def read_features(path: Path, identity: str) -> Features:
    """Read a file of features of these images; one that is not there holds none.

    Raises:
        InputError: it is no such file, or of other images.
    """
    if not path.exists():
        return Features(identity)
    with open_tensors(path) as file:
        text = (file.metadata() or {}).get(FORMAT)
        if text is None:
            raise InputError(f"{path} holds no features: expected a file that --features wrote")
        with refusing(f"{path} is no file of features that this version reads"):
            described = json.loads(text)
            found = Features(described["identity"], tuple(described["told"]))
            found.networks = {name: (made[0], made[1]) for name, made in described["networks"].items()}
            for key in file.keys():  # noqa: SIM118 (no mapping)
                network, _, tap = key.partition(_BETWEEN)
                found.arrays.setdefault(network, {})[tap] = file.get_tensor(key)
    if found.identity != identity:
        raise InputError(
            f"{path} holds features of other images, or they have changed: delete it, or name another"
        )
    return found


def write_features(features: Features, path: Path) -> None:
    """Write a file of features, whole or not at all."""
    from safetensors.numpy import save_file

    described = {"identity": features.identity, "told": features.told, "networks": features.networks}
    tensors = {
        f"{network}{_BETWEEN}{tap}": np.ascontiguousarray(rows)
        for network, taps in features.arrays.items()
        for tap, rows in taps.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, part, metadata={FORMAT: json.dumps(described, sort_keys=True)})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def kept_in(
    path: Path,
    identity: str,
    samples: ImageSource,
    networks: Sequence[FeatureNetwork],
    progress: Progress | None = None,
) -> tuple[dict[str, Kept], tuple[str, ...]]:
    """Return the taps of the samples under each network, and what was noticed of the images.

    They are read from a file; what it lacks is computed in one pass over the images, and written there.

    Raises:
        InputError: the file is none of these images, or they are malformed.
    """
    features = read_features(path, identity)
    kept = {network.name: Kept(network, network.dims._fields) for network in networks}  # type: ignore[arg-type]
    lacking = []
    for name, one in kept.items():
        found = features.of(one.network, samples.count)
        if found is None:
            lacking.append(name)
        else:
            try:
                one.merge(found)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
    if not lacking:
        return kept, features.told
    done = 0
    for batch in samples.batches():
        for name in lacking:
            kept[name].update(batch)
        done += len(batch)
        if progress is not None:
            progress(done)
    for name in lacking:
        one = kept[name]
        one.finish()
        features.networks[name] = (one.network.digest, one.network.revision)
        state = one.state()
        features.arrays[name] = {tap: state[tap] for tap in one.taps}  # type: ignore[misc]
    features.told = tuple(dict.fromkeys((*features.told, *samples.told())))
    write_features(features, path)
    return kept, features.told
