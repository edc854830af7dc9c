"""Output that appears whole or not at all, and replaces nothing but what it may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssdbench.errors import UsageError

_OF_A_MODEL = (".safetensors", ".bin", ".index.json", ".md")


@contextmanager
def appearing_whole(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a path beside ``target`` to write a file or a directory to; it takes ``target``'s name at the end.

    Raises:
        UsageError: ``target`` exists and ``force`` is not set, or it is a directory that holds more than a model; or
            something cannot be written.

    """
    import tempfile

    from ssdbench.store.files import give_plain_mode, walk_files

    refuse_to_replace(target, force)
    try:
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
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from error


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
            path.name
            for path in target.iterdir()
            if path.is_dir() or not (path.name == "config.json" or path.name.endswith(_OF_A_MODEL))
        )
        if others:
            raise UsageError(f"{target} holds more than a model ({others[0]}, ...): not replaced")
