"""Where data lies: what comes with the installation, and the user's own directory."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ssdbench.errors import InputError

ASSETS = Path(__file__).parent.parent / "assets"


def data_root() -> Path:
    """Where the user keeps data sets: ``$SSDBENCH_DATA``, else ``ssdbench`` in the XDG data directory.

    Raises:
        InputError: neither that nor ``$XDG_DATA_HOME`` is set, and there is no home directory.
    """
    own, xdg = os.environ.get("SSDBENCH_DATA"), os.environ.get("XDG_DATA_HOME")
    if own:
        return Path(own)
    try:
        return (Path(xdg) if xdg else Path.home() / ".local/share") / "ssdbench"
    except RuntimeError as error:
        raise InputError("there is no home directory: set SSDBENCH_DATA to where your data is") from error


def placed(text: str) -> Path:
    """Return the path of ``package:PATH`` (shipped), ``file:NAME`` (in the user's weights) or ``path:PATH`` (as it is).

    Whether anything lies there is not looked at.
    """
    scheme, _, name = text.partition(":")
    if scheme == "path":
        return Path(name).expanduser().resolve()
    return ASSETS / name if scheme == "package" else data_root() / "weights" / name


def filled(hint: str) -> str:
    """A hint with the user's directory of data for ``{data}``, as a shell takes it."""
    return hint.replace("{data}", shlex.quote(str(data_root()))) if "{data}" in hint else hint
