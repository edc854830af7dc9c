"""Things of the user's own, named ``package.module:name`` in a suite. Free of torch until one is loaded."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ssdbench.errors import InputError, SsdbenchError

PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def is_own(name: str) -> bool:
    """Whether ``name`` reads ``package.module:function``."""
    return re.fullmatch(PATTERN, name) is not None


@contextmanager
def running(failed: str, passing: type[SsdbenchError] | tuple[()] = ()) -> Iterator[None]:
    """Inside, code of the user's own runs, which may fail in any way.

    Raises:
        InputError: it ``failed``, as this says, and how. Errors of the type ``passing`` are raised as they are.
    """
    try:
        yield
    except passing:
        raise
    except Exception as error:
        raise InputError(f"{failed}: {type(error).__name__}: {error}") from error


def source_file(name: str) -> Path:
    """The file of the function's module, whose digest stands for the function in keys.

    Modules are found on the Python path and in the working directory.

    Raises:
        InputError: there is no such module, or it has no source file.
    """
    module = name.partition(":")[0]
    _search_working_directory()
    spec = None
    with running(f"{name}: looking for {module!r} failed"), suppress(ModuleNotFoundError):
        spec = importlib.util.find_spec(module)  # imports the packages that hold the module
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise InputError(
            f"{name}: the module {module!r} cannot be found on the Python path or in {Path.cwd()}"
        )
    return Path(spec.origin)


def imported(name: str) -> Any:
    """Import the object of any type at ``package.module:name``; None where its module has none of that name.

    Raises:
        InputError: the module cannot be found or fails to import.
    """
    source_file(name)
    module, _, attribute = name.partition(":")
    with running(f"{name}: importing {module!r} failed"):
        return getattr(importlib.import_module(module), attribute, None)


def load(name: str) -> Callable[..., Any]:
    """Import the function.

    Raises:
        InputError: as :func:`imported`, or there is no such function.
    """
    found = imported(name)
    if not callable(found):
        module, _, function = name.partition(":")
        raise InputError(f"{name}: the module {module!r} has no function {function!r}")
    return found  # type: ignore[no-any-return]


def _search_working_directory() -> None:
    # The console script, unlike `python -m`, does not look where it was started.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
