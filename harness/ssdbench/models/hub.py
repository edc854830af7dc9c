"""Models on the Hugging Face hub: their files by name, from its cache or by download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssdbench.errors import InputError
from ssdbench.models.files import FOLDER_WEIGHTS, shards
from ssdbench.models.parts import CONFIG, SCHEDULER, TRANSFORMER
from ssdbench.models.schedulers import SCHEDULER_CONFIG

PREFIX = "hub:"
_FOLDERS = (TRANSFORMER, None)  # of a DiTPipeline; of a model by itself


def fetch(name: str) -> Path:
    """The local folder of ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``, such as ``hub:facebook/DiT-XL-2-256``.

    Only the DiT's own files and its scheduler's are fetched, not a pipeline's autoencoder. HF_HOME and HF_HUB_OFFLINE
    are obeyed.

    Raises:
        InputError: the name is malformed, the hub has no such model, or it cannot be reached and the files are not in
            the cache; the message says how to get them elsewhere.
    """
    repository, revision = _parse(name)
    files = _Files(repository, revision)
    for folder in _FOLDERS:
        config = files.get(CONFIG, folder)
        if config is None:
            continue
        for weights in FOLDER_WEIGHTS:
            path = files.get(weights, folder)
            if path is None:
                continue
            missing = [shard for shard in shards(path) if files.get(shard, folder) is None]
            if missing:
                raise InputError(files.explain(f"{', '.join(missing)}: named by {weights}"))
            if folder is not None:
                files.get(SCHEDULER_CONFIG, SCHEDULER)  # says what the model predicts, where it is published
            return config.parent
        raise InputError(files.explain(f"{folder or 'its root'} has {CONFIG} but no weights that can be had"))
    raise InputError(files.explain(f"no {CONFIG} of a model can be had"))


def fetch_pipeline(name: str, parts: Sequence[str]) -> Path:
    """The local folder of a pipeline ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``, with these parts of it.

    Of each part only configurations and safetensors in full precision are fetched. HF_HOME and HF_HUB_OFFLINE are
    obeyed.

    Raises:
        InputError: the name is malformed, the hub has no such model, or it cannot be reached and the files are not in
            the cache; the message says how to get them elsewhere.
    """
    from huggingface_hub import snapshot_download

    repository, revision = _parse(name)
    wanted = ["model_index.json"]
    for part in parts:
        wanted += [f"{part}/*.json", f"{part}/*.txt", f"{part}/*model.safetensors"]
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except (OSError, ValueError) as error:  # out of reach, no such repository, no access, no space
        raise InputError(
            _explained(repository, revision, str(error), "--local-dir FOLDER`) and give the folder instead.")
        ) from error


def _parse(name: str) -> tuple[str, str | None]:
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise InputError(f"{name}: expected {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    return repository, revision or None


class _Files:
    """Files of one repository; once the hub was out of reach, only the cache is asked."""

    def __init__(self, repository: str, revision: str | None) -> None:
        self.repository, self.revision = repository, revision
        self.unreachable = ""

    def get(self, name: str, folder: str | None) -> Path | None:
        """The local path of a file; None where there is none or it cannot be had."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            return Path(
                hf_hub_download(
                    self.repository,
                    name,
                    subfolder=folder,
                    revision=self.revision,
                    local_files_only=bool(self.unreachable),
                )
            )
        except LocalEntryNotFoundError as error:  # an EntryNotFoundError too, so it comes first
            self.unreachable = self.unreachable or str(error.__cause__ or error)
            return None
        except EntryNotFoundError:
            return None
        except (OSError, ValueError) as error:  # no such repository, no access, no such name, no space
            raise InputError(self.explain(f"{type(error).__name__}: {error}")) from error

    def explain(self, problem: str) -> str:
        """A message that says what was tried and what to do."""
        looked = (
            f"Looked for {_FOLDERS[0]}/{CONFIG} and {CONFIG} with weights beside it, revision"
            f" {self.revision or 'main'}, in"
        )
        how = "--include 'transformer/*' --local-dir FOLDER`) and give the folder instead."
        return _explained(self.repository, self.revision, self.unreachable or problem, how, looked)


def _explained(
    repository: str, revision: str | None, reason: str, how: str, looked: str = "Looked in"
) -> str:
    """Why files cannot be had, where they were looked for, and what to do; ``how`` ends the command."""
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    first_line = "HF_HUB_OFFLINE is set" if offline else reason.strip().splitlines()[0]
    at = f" --revision {revision}" if revision else ""
    return (
        f"{PREFIX}{repository}: cannot be had ({first_line}). {looked} the cache {constants.HF_HUB_CACHE}"
        + ("" if offline else f" and at {constants.ENDPOINT}")
        + ". Set HF_HOME to a cache that has it, unset HF_HUB_OFFLINE where the hub can be reached, or download it"
        f" elsewhere (`hf download {repository}{at} {how}"
    )
