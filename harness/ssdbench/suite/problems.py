"""Problems in a suite: where they are, what they say, and their collection into one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails

from ssdbench.errors import SuiteError


class _Invalid:
    """Stands for a value whose problem is already noted: nothing more is said about it."""

    def __repr__(self) -> str:
        return "INVALID"


INVALID: Final = _Invalid()


class Mark(BaseModel):
    """A place in a file, line and column from 1; with line 0, all of ``file``, a command-line option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One mistake: the place, the dotted key it is about (may be empty) and what is wrong with it."""

    mark: Mark
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.mark}: {self.key}: {self.text}" if self.key else f"{self.mark}: {self.text}"


class Problems(dict[Problem, None]):
    """Collects problems, each once, and raises them together in order; those of ``file`` come first."""

    def __init__(self, file: str = "") -> None:
        super().__init__()
        self._file = file

    def add(self, mark: Mark, key: str, text: str) -> None:
        """Note a problem; the same one found by many runs counts once."""
        self.setdefault(Problem(mark, key, text))

    def raise_any(self) -> None:
        """Raise all problems, sorted by file (the others in order of first mention), line and column.

        Raises:
            SuiteError: there is at least one problem.
        """
        if not self:
            return
        files = dict.fromkeys([self._file, *(problem.mark.file for problem in self)])
        rank = {file: i for i, file in enumerate(files)}
        ordered = sorted(self, key=lambda p: (rank[p.mark.file], p.mark.line, p.mark.column))
        raise SuiteError([str(problem) for problem in ordered])


_LONGEST_SLIP = 200  # characters; comparing longer names takes long, and none is known


def nearest(name: str, known: Iterable[object]) -> str | None:
    """The known name that ``name`` is most likely a slip of the pen for, or None."""
    if len(name) > _LONGEST_SLIP:
        return None
    folded = {str(k).casefold(): str(k) for k in known}
    match = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[match[0]] if match else None


def did_you_mean(name: str, known: Sequence[object]) -> str:
    """A suffix for an 'unknown name' message: the nearest known name, or all of them when they are few."""
    match = nearest(name, known)
    if match is not None:
        return f" (did you mean {match!r}?)"
    if 0 < len(known) <= 12:
        return f" (known: {', '.join(str(k) for k in known)})"
    return ""


def show(value: object) -> str:
    """How a message quotes a value that the file holds, in YAML's terms."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_MUST_BE = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "greater_than_equal": "at least {ge}",
    "greater_than": "above {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "below {lt}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "of the form {pattern}",
    "string_too_long": "at most {max_length} characters long",
}


def describe(error: ErrorDetails, written: str | None = None) -> str:
    """The text of one of pydantic's errors in the words of a suite's author, who has ``written`` a number so."""
    kind, value = error["type"], error["input"]
    context: dict[str, Any] = error.get("ctx", {})
    if kind in _MUST_BE:
        numbers = {k: f"{v:g}" if isinstance(v, float) else v for k, v in context.items()}
        got = written if written and isinstance(value, int | float) and len(written) <= 60 else show(value)
        return f"must be {_MUST_BE[kind].format(**numbers)}, not {got}"
    if kind == "missing":
        return "missing" if isinstance(error["loc"][-1], str) else "has too few entries"
    if kind in {"too_short", "too_long"} and "actual_length" in context:
        least, most = context.get("min_length"), context.get("max_length")
        bound = f"at least {least}" if kind == "too_short" else f"at most {most}"
        return f"must have {bound} item(s), not {context['actual_length']}"
    return error["msg"]
