"""Output on a terminal or into a pipe whose encoding lacks some characters: a fallback instead of an error."""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from pathlib import Path

_ERRORS, _ASCII = "ssdbench-plain", "ssdbench-ascii"
# One character for one where that can be read, so that columns stay aligned.
_PLAIN = dict(zip("↑↓–—−·•≈‘’“”\u00a0\u2009", "^v---.*~''\"\"  ", strict=True)) | {
    "←": "<-",
    "→": "->",
    "±": "+/-",
    "×": "x",
    "…": "...",
    "λ": "lambda",
    "≤": "<=",
    "≥": ">=",
    "°": " deg",
}


def prepare_streams() -> None:
    """Let stdout and stderr take every text: what their encoding lacks is written in ASCII, as readably as it can be.

    Names of files that are no UTF-8 are no text in any encoding, so this holds for UTF-8 too.
    """
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        # typer takes ASCII for a mistake, and writes UTF-8 there unless the encoding has another name.
        encoding = _ASCII if _name(stream.encoding) == "ascii" else None
        reconfigure(encoding=encoding, errors=_ERRORS)


def silence() -> None:
    """Write nothing more to stdout: who read it has left, as ``head`` does."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.__stdout__.fileno() if sys.__stdout__ else 1)


def speaks_unicode() -> bool:
    """Whether stdout takes every character."""
    return _name(getattr(sys.stdout, "encoding", None)).startswith("utf")


def ascii_json(text: str) -> str:
    """JSON's text in ASCII: what lies beyond stands in strings alone, where JSON has escapes."""
    return re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found[0])[1:-1], text)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or ascii(letter)[1:-1] for letter in lacking), error.end


def _name(encoding: str | None) -> str:
    try:
        return codecs.lookup(encoding or "ascii").name
    except LookupError:
        return "ascii"


def _find(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != _ASCII:
        return None
    found = codecs.lookup("ascii")
    return codecs.CodecInfo(*found, found.incrementalencoder, found.incrementaldecoder, name=_ASCII)


codecs.register(_find)
