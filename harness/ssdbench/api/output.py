"""Files and folders that appear whole or not at all, and replace nothing but what they may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssdbench.errors import UsageError
from ssdbench.models.parts import INDEX, PARTS, UNET

_OF_A_MODEL = (".safetensors", ".bin", ".index.json", ".md")
_OF_A_PART = (
    "scheduler_config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)


@contextmanager
def appearing_whole(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a path beside ``target`` to write a file or a directory to; it takes ``target``'s name at the end.

    Raises:
        UsageError: ``target`` exists and ``force`` is not set, or it is a directory that holds more than a model; or
            something cannot be written.

    """
    import tempfile

    from ssdbench.store.files import give_plain_mode, walk_files, writing

    refuse_to_replace(target, force)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as directory:
            new = Path(directory) / "new"
            yield new
            # The directory is its owner's alone; a new one in it tells the mode that everything else gets.
            plain = Path(directory) / "plain"
            plain.mkdir()
            for file in walk_files(new) if new.is_dir() else [new]:
                give_plain_mode(file, plain)
            if target.is_dir() or (target.exists() and new.is_dir()):
                target.rename(Path(directory) / "old")
            new.replace(target)


def refuse_to_replace(target: Path, force: bool) -> None:
    """Check that ``target`` is free, or may be replaced.

    Raises:
        UsageError: as :func:`appearing_whole`.

    """
    if not target.exists() and not target.is_symlink():
        return
    if not force:
        raise UsageError(f"{target} exists already")
    if target.is_dir():
        others = sorted(
            path.name for path in target.iterdir() if not _of_a_model(path) and not _is_part(path)
        )
        if others:
            raise UsageError(f"{target} holds more than a model ({others[0]}, ...): not replaced")


def _of_a_model(path: Path) -> bool:
    names = ("config.json", INDEX)
    return not path.is_dir() and (path.name in names or path.name.endswith(_OF_A_MODEL))


def _is_part(path: Path) -> bool:
    """Whether it is a part of a pipeline's folder, and holds nothing else."""
    whole = (path.parent / INDEX).is_file() or (path.parent / UNET / "config.json").is_file()
    if not whole or path.name not in PARTS or not path.is_dir():
        return False
    return all(_of_a_model(file) or file.name in _OF_A_PART for file in path.iterdir())
