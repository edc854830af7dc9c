"""Models on the Hugging Face hub: their files by name, from its cache or by download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssdbench.errors import InputError
from ssdbench.models.files import FOLDER_WEIGHTS
from ssdbench.models.parts import CONFIG, INDEX, SCHEDULER, TRANSFORMER
from ssdbench.models.schedulers import SCHEDULER_CONFIG

PREFIX = "hub:"


def fetch(name: str) -> Path:
    """The local folder of ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``, such as ``hub:facebook/DiT-XL-2-256``.

    Only the DiT's own files and its scheduler's are fetched, not a pipeline's autoencoder, and ``.bin`` only where
    there are no safetensors. HF_HOME and HF_HUB_OFFLINE are obeyed.

    Raises:
        InputError: the name is malformed, the hub has no such model, or it cannot be reached and the files are not in
            the cache; the message says how to get them elsewhere.
    """
    how, root = f"--include '{TRANSFORMER}/*' ", Path()
    for kind in ("safetensors", "bin"):
        # The scheduler's says what the model predicts, where it is published.
        wanted = [f"{SCHEDULER}/{SCHEDULER_CONFIG}"]
        for folder in (f"{TRANSFORMER}/", ""):
            weights = (f"diffusion_pytorch_model{ending}" for ending in (f".{kind}", f".{kind}.index.json"))
            shards = f"diffusion_pytorch_model-*.{kind}"
            wanted += [f"{folder}{file}" for file in (CONFIG, *weights, shards)]
        root = _snapshot(name, wanted, how)
        for place in (root / TRANSFORMER, root):
            if (place / CONFIG).is_file() and any((place / file).is_file() for file in FOLDER_WEIGHTS):
                return place
    raise InputError(
        _explained(name, f"no {CONFIG} of a model with weights beside it, in {TRANSFORMER} or its root", how)
    )


def fetch_pipeline(name: str, parts: Sequence[str]) -> Path:
    """The local folder of a pipeline ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``, with these parts of it.

    Of each part only configurations and safetensors in full precision are fetched. Errors are those of :func:`fetch`.
    """
    kinds = ("*.json", "*.txt", "*model.safetensors")
    return _snapshot(name, [INDEX, *(f"{part}/{kind}" for part in parts for kind in kinds)], "")


def _snapshot(name: str, wanted: list[str], how: str) -> Path:
    """The local folder with what the hub, or else its cache, has of the files ``wanted``."""
    from huggingface_hub import snapshot_download

    repository, revision = _parse(name)
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except (OSError, ValueError) as error:  # out of reach, no such repository, no access, no space
        raise InputError(_explained(name, str(error), how)) from error


def _parse(name: str) -> tuple[str, str | None]:
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise InputError(f"{name}: expected {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    return repository, revision or None


def _explained(name: str, reason: str, how: str) -> str:
    """Why files cannot be had, where they were looked for, and what to do; ``how`` goes into the command."""
    from huggingface_hub import constants

    repository, revision = _parse(name)
    offline = constants.HF_HUB_OFFLINE
    first_line = "HF_HUB_OFFLINE is set" if offline else reason.strip().splitlines()[0]
    at = f"--revision {revision} " if revision else ""
    return (
        f"{PREFIX}{repository}: cannot be had ({first_line}). Looked for revision {revision or 'main'} in the cache"
        f" {constants.HF_HUB_CACHE}"
        + ("" if offline else f" and at {constants.ENDPOINT}")
        + ". Set HF_HOME to a cache that has it, unset HF_HUB_OFFLINE where the hub can be reached, or download it"
        f" elsewhere (`hf download {repository} {at}{how}--local-dir FOLDER`) and give the folder instead."
    )
