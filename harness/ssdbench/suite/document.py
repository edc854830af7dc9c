"""A parsed YAML text: plain data, the place of everything in it, how its author wrote it, and what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ssdbench.errors import SuiteError
from ssdbench.setting import Setting


class _Invalid:
    """Stands for a value whose problem is already noted: nothing more is said about it."""

    def __repr__(self) -> str:
        return "INVALID"


INVALID: Final = _Invalid()


class Mark(Setting):
    """A place in a file, line and column from 1; with line 0, all of ``file``, a command-line option."""

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


KeyPath = tuple[str | int, ...]
"""The keys, and the positions in lists, that lead to a value."""
Entries = dict[int, dict[str, tuple[Node, Node]]]
"""By the id of a mapping's node, its entries and those that are merged into it: the nodes of a key and its value."""


@dataclass(eq=False)
class Document:
    """A parsed YAML text: its plain ``data`` and, on request, the place of any path in it and what is written there.

    A path begins with ``under``, the keys of a mapping that the text is taken to stand in. Without ``lines`` all of it
    is at one place, a command-line option.
    """

    file: str
    root: Node | None
    data: Any
    text: str = ""
    entries: Entries = field(default_factory=dict)
    under: Sequence[str] = ()
    lines: bool = True

    def __post_init__(self) -> None:
        for part in reversed(self.under):
            self.data = {part: self.data}

    def get(self, key: str) -> Any:
        """The value under a key, or None; also where it is ``INVALID``, or the document is no mapping."""
        found = self.data.get(key) if isinstance(self.data, dict) else None
        return None if found is INVALID else found

    def mark(self, path: Sequence[str | int] = (), *, key: bool = False) -> Mark:
        """The place of the value at ``path`` (or of its key), or of what encloses it where it is absent."""
        if not self.lines:
            return Mark(file=self.file)
        entry, whole = self._find(path)
        node = entry[0] if key and whole else entry[1]
        return Mark(file=self.file, line=1, column=1) if node is None else mark_of(self.file, node.start_mark)

    def written(self, path: Sequence[str | int]) -> str | None:
        """The scalar at ``path`` as its author wrote it, so ``1.10`` for 1.1; None where there is no scalar."""
        (_, node), whole = self._find(path)
        return node.value if whole and isinstance(node, ScalarNode) else None

    def _find(self, path: Sequence[str | int]) -> tuple[tuple[Node | None, Node | None], bool]:
        """Key and value at ``path``, or those of what encloses it; and whether they are those at ``path``."""
        key, node = self.root, self.root
        for part in path[len(self.under) :]:
            if isinstance(node, MappingNode):
                found = self.entries.get(id(node), {}).get(str(part))
                if found is None:
                    return (key, node), False
                key, node = found
            elif isinstance(node, SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
                key = node = node.value[part]
            else:
                return (key, node), False
        return (key, node), len(path) >= len(self.under)


def mark_of(file: str, mark: Any) -> Mark:
    """The place of one of the parser's marks, which count from 0."""
    return Mark(file=file, line=mark.line + 1, column=mark.column + 1)


def whole_number(text: str) -> int | None:
    """The whole number that a decimal says exactly, such as 2000 for ``2e3``; None for 2.5, and for what is immense."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or number.adjusted() > _MOST_DIGITS or number != number.to_integral_value():
        return None
    return int(number)


_MOST_DIGITS = 30  # no setting takes more, and 1e999999999 would fill the memory
