"""Weights, data and references outside the graph: where they are on this machine, their digests, how to get them."""

from __future__ import annotations

from pathlib import Path

from ssdbench.data.datasets import ASSETS, data_root, reader
from ssdbench.data.folders import list_images
from ssdbench.errors import InputError
from ssdbench.metrics.weights import available, effnet_file, inception_cache, network_digest
from ssdbench.plan.digests import digest
from ssdbench.stages import Source
from ssdbench.suite.catalog import DATASETS


class Missing(InputError):
    """Something is not on this machine; the message says how to get it."""


def locate(text: str, hint: str) -> Source:
    """The source ``package:PATH`` (shipped with the installation) or ``file:NAME`` (the user's, under weights).

    Raises:
        Missing: it is not there.
    """
    scheme, _, name = text.partition(":")
    path = ASSETS / name if scheme == "package" else data_root() / "weights" / name
    if not path.exists():
        how = "it comes with the installation: reinstall ssdbench" if scheme == "package" else hint
        raise Missing(f"{path} is missing: {how}")
    return Source(digest=digest([path]), path=str(path))


def dataset_source(name: str) -> Source:
    """The files of a data set."""
    found = reader(name)
    files = found.files()
    missing = [str(path) for path in files if not path.exists()]
    if missing:
        raise Missing(f"data set {name!r}: {', '.join(missing)} missing: {found.hint}")
    return Source(digest=digest(files), path=str(files[0].parent))


def dataset_size(name: str) -> int:
    """How many images a data set holds."""
    if name in DATASETS:
        return DATASETS[name].images
    return len(list_images(Path(name).expanduser())[0])


def network_source(name: str, weights: str | None) -> Source:
    """The weights of a feature network."""
    problem = available(name, weights)
    if problem is not None:
        raise Missing(problem)
    default = {"inception": inception_cache(), "effnet-lite0": effnet_file()}.get(name)
    path = weights or (str(default) if default else "")
    return Source(digest=network_digest(name, weights), path=path)
