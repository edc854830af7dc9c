"""Where suites and profiles are: the working directory, the checkout, or the installed package."""

from __future__ import annotations

from pathlib import Path

import ssdbench
from ssdbench.errors import UsageError
from ssdbench.inputs import NotUtf8, decode
from ssdbench.suite.document import INVALID, Document, Mark, Problems, did_you_mean
from ssdbench.suite.yaml_nodes import MAX_CHARACTERS, parse_yaml

CLAIMS = "claims.yaml"
"""Beside suites, and none of them."""

_PACKAGE = Path(ssdbench.__file__).resolve().parent


def suite_directories() -> list[Path]:
    """Directories that hold suites, nearest first: ``./suites``, then those that came with the package."""
    directories = [Path("suites"), _PACKAGE.parent.parent / "suites", _PACKAGE / "_suites"]
    if _PACKAGE.parent.name != "harness":  # installed: what lies two levels up is not ours
        del directories[1]
    found: dict[Path, Path] = {}
    for directory in directories:
        if directory.is_dir():
            found.setdefault(directory.resolve(), directory)
    return list(found.values())


def list_suites() -> dict[str, Path]:
    """All suites that can be named without a path."""
    return {name: path for name, path in yaml_files(suite_directories()).items() if path.name != CLAIMS}


def find_claims() -> Path:
    """The file of the paper's claims that is nearest.

    Raises:
        UsageError: there is none.
    """
    found = (directory / CLAIMS for directory in suite_directories())
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        raise UsageError(f"there is no suites/{CLAIMS}: name a file of claims")
    return path


def list_profiles(*beside: Path) -> dict[str, Path]:
    """All profiles by name; ``beside`` is a suite's directory, whose own ``profiles/`` comes first."""
    return yaml_files([directory / "profiles" for directory in (*beside, *suite_directories())])


def list_settings(beside: Path) -> dict[str, Path]:
    """All settings by name: those beside a suite come first, then the working directory's and the shipped ones."""
    return yaml_files([directory / "settings" for directory in (beside, Path(), *suite_directories())])


def find_suite(name: str | Path) -> Path:
    """The file of a suite given as a path or by name: ``quick``, ``quick.yaml`` or ``suites/quick.yaml``.

    Raises:
        UsageError: there is none; the message suggests the nearest name.
    """
    path = Path(name)
    try:
        if path.is_file():
            return path
    except OSError as error:  # a name that is too long, say
        raise UsageError(f"{str(name)[:200]}: there is no such suite: {error.strerror}") from None
    bare = path.name.removesuffix(".yaml").removesuffix(".yml")
    known = list_suites()
    # A path into some other directory that does not exist is a mistake, not another suite's name.
    if path.parent in (Path(), Path("suites")) and bare in known:
        return known[bare]
    raise UsageError(f"{name}: there is no such suite{did_you_mean(bare, list(known))}")


def read_document(path: Path, problems: Problems, name: str | None = None) -> Document:
    """Read and parse a suite, a profile or a baseline, which messages call ``name``; see :func:`parse_yaml`.

    One that is not UTF-8 is a problem too.

    Raises:
        UsageError: the file cannot be read.
    """
    name = display(path) if name is None else name
    try:
        with path.open("rb") as file:  # of one that is too long, so much that the parser can say so
            data = file.read(_MOST_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        text = decode(data, name, cut=len(data) == _MOST_BYTES)
    except NotUtf8 as error:
        problems.add(Mark(file=name, line=error.line, column=error.column), "", error.reason)
        return Document(name, None, INVALID)
    return parse_yaml(text, name, problems)


_MOST_BYTES = 4 * (MAX_CHARACTERS + 1)


def display(path: Path) -> str:
    """The path as messages show it: relative to the working directory where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def yaml_files(directories: list[Path]) -> dict[str, Path]:
    """The YAML files in directories by their stems; the first of a name counts."""
    found: dict[str, Path] = {}
    for directory in directories:
        for file in sorted(directory.glob("*.yaml")):
            found.setdefault(file.stem, file)
    return found
