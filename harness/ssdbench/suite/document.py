"""A parsed YAML text: plain data, the place of everything in it, and how its author wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ssdbench.suite.problems import INVALID, Mark

KeyPath = tuple[str | int, ...]
"""The keys, and the positions in lists, that lead to a value."""
MERGE = "tag:yaml.org,2002:merge"
_Entry = tuple[Node, Node]


class Document:
    """A parsed YAML text: its plain ``data`` and, on request, the place of any path in it and what is written there.

    ``path`` begins with ``under``, the keys of a mapping that the text is taken to stand in.
    """

    def __init__(
        self,
        file: str,
        root: Node | None,
        data: Any,
        text: str = "",
        *,
        under: Sequence[str] = (),
        lines: bool = True,
    ) -> None:
        self.file = file
        self.text = text
        self.data = data
        for part in reversed(under):
            self.data = {part: self.data}
        self.root = root
        self._under = len(under)
        self._lines = lines
        self._entries: dict[int, dict[str, _Entry]] = {}

    def get(self, key: str) -> Any:
        """The value under a key, or None; also where it is ``INVALID``, or the document is no mapping."""
        found = self.data.get(key) if isinstance(self.data, dict) else None
        return None if found is INVALID else found

    def mark(self, path: Sequence[str | int] = (), *, key: bool = False) -> Mark:
        """The place of the value at ``path`` (or of its key), or of what encloses it where it is absent."""
        if not self._lines:
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
        for part in path[self._under :]:
            if isinstance(node, MappingNode):
                found = self._lookup(node, str(part))
                if found is None:
                    return (key, node), False
                key, node = found
            elif isinstance(node, SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
                key = node = node.value[part]
            else:
                return (key, node), False
        return (key, node), len(path) >= self._under

    def _lookup(self, node: MappingNode, part: str, seen: set[int] | None = None) -> _Entry | None:
        seen = set() if seen is None else seen
        if id(node) in seen:  # merged by several ways, or by itself
            return None
        seen.add(id(node))
        entries = self._entries.get(id(node))
        if entries is None:
            entries = self._entries[id(node)] = {
                key.value: (key, value) for key, value in reversed(node.value) if isinstance(key, ScalarNode)
            }
        if part in entries:
            return entries[part]
        for key, value in node.value:
            if key.tag == MERGE:
                for source in value.value if isinstance(value, SequenceNode) else [value]:
                    if isinstance(source, MappingNode):
                        found = self._lookup(source, part, seen)
                        if found is not None:
                            return found
        return None


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
