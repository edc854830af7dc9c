"""Safe YAML with places: plain data, and the line and column of everything in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from ssdbench.suite.document import INVALID, Document, Entries, Mark, Problems, mark_of

MAX_CHARACTERS = 4_000_000
MAX_DEPTH = 32
MAX_NODES = 1_000_000

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    """The safe loader with YAML 1.2's core scalars, so that ``5e-6`` is a number and ``no`` is text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}
    _depth = 0

    # The composer calls these two around every node. It recurses, in C without a limit: deep nesting would
    # take the whole process down.
    def descend_resolver(self, parent: Node | None, index: object) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH and parent is not None:
            mark: Any = parent.start_mark
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=mark)

    def ascend_resolver(self) -> None:
        self._depth -= 1


_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
for _name, _pattern, _first in (
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+0123456789.")),
    ("merge", re.compile(r"<<"), ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern.pattern})$"), _first)


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper quotes text that YAML 1.1 reads as something else; this one also what 1.2 does."""


_Dumper.add_implicit_resolver(_TAG + "float", re.compile(f"(?:{_FLOAT.pattern})$"), list("-+0123456789."))
_Dumper.add_implicit_resolver(_TAG + "int", re.compile(f"(?:{_INT.pattern})$"), list("-+0123456789"))


def dump_yaml(data: Any) -> str:
    """YAML text of plain data that versions 1.1 and 1.2 read alike; mappings keep their order."""
    text = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )
    return str(text)


def option_document(text: str, option: str, under: Sequence[str], problems: Problems) -> Document:
    """As :func:`parse_yaml` for the value of a command-line option, whose place is ``option``; see Document."""
    found = Problems()
    document = parse_yaml(text, option, found)
    for problem in found:
        problems.add(Mark(file=option), problem.key, problem.text)
    return Document(option, document.root, document.data, text, document.entries, under, lines=False)


def parse_yaml(text: str, file: str, problems: Problems) -> Document:
    """Parse one YAML document without running anything in it; what is wrong is added to ``problems``.

    The data are None, bool, int, float, str, list and dict with keys of type str or int. ``INVALID`` stands
    for a part that was broken, so that the rest can still be checked; an empty document is None.
    """
    start = Mark(file=file, line=1, column=1)

    def broken(reason: str, mark: Mark = start) -> Document:
        problems.add(mark, "", reason)
        return Document(file, None, INVALID)

    if len(text) > MAX_CHARACTERS:
        return broken(f"the file has more than {MAX_CHARACTERS:,} characters")
    directive = _TAG_DIRECTIVE.search(text)
    if directive is not None:
        line = text.count("\n", 0, directive.start()) + 1
        return broken("not valid here: a %TAG directive", Mark(file=file, line=line, column=1))
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        return broken(f"not valid YAML: {reason}", start if mark is None else mark_of(file, mark))
    except ReaderError as error:
        character = error.character if isinstance(error.character, int) else ord(error.character)
        place = _place(file, text, chr(character))
        return broken(f"not valid YAML: {str(error).splitlines()[0]}", place)
    except UnicodeEncodeError:  # of an option: Python keeps a byte that is not UTF-8 as half a surrogate pair
        return broken("not valid YAML: it holds a byte that is not UTF-8")
    except yaml.YAMLError as error:
        return broken(f"not valid YAML: {str(error).splitlines()[0]}")
    if root is None:
        return Document(file, None, None, text)
    builder = _Builder(file, problems)
    return Document(file, root, builder.build(root), text, builder.entries)


def _place(file: str, text: str, character: str) -> Mark:
    """Where a character first stands: the first that YAML does not allow is the one that it complains of."""
    before = text[: max(text.find(character), 0)].splitlines() or [""]
    return Mark(file=file, line=len(before), column=len(before[-1]) + 1)


# A handle may stand for megabytes, again for every tag that it is used in.
_TAG_DIRECTIVE = re.compile(r"^%TAG", re.MULTILINE)


class _TooLargeError(Exception):
    """Aliases expand to more nodes than any suite needs."""


class _Builder:
    """Turns nodes into plain data, once, within a budget of nodes; ``entries`` are as of :class:`Document`."""

    def __init__(self, file: str, problems: Problems) -> None:
        self._file = file
        self._problems = problems
        self._budget = MAX_NODES
        self._open: set[int] = set()
        self.entries: Entries = {}

    def build(self, root: Node) -> Any:
        try:
            return self._value(root)
        except _TooLargeError:
            return self._invalid(root, f"more than {MAX_NODES:,} values once aliases are expanded")

    def _invalid(self, node: Node, text: str, key: str = "") -> Any:
        self._problems.add(mark_of(self._file, node.start_mark), key, text)
        return INVALID

    def _bad_tag(self, node: Node) -> Any:
        tag = "!!" + node.tag.removeprefix(_TAG) if node.tag.startswith(_TAG) else node.tag
        return self._invalid(node, f"the tag {tag} is not allowed in a suite")

    def _value(self, node: Node) -> Any:
        self._budget -= 1
        if self._budget < 0:
            raise _TooLargeError
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            return self._invalid(node, "an alias refers to the mapping or list that it stands in")
        if node.tag not in {_TAG + "seq", _TAG + "map"}:
            return self._bad_tag(node)
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self._value(item) for item in node.value]
            return self._mapping(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Node) -> dict[str | int, Any]:
        data: dict[str | int, Any] = {}
        own: dict[str, tuple[Node, Node]] = {}
        sources: list[tuple[MappingNode, dict[str | int, Any]]] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                sources += self._merge(value_node)
                continue
            key = self._scalar(key_node) if isinstance(key_node, ScalarNode) else None
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                self._invalid(key_node, "a key must be text")
            elif key in data:
                line = own[str(key)][0].start_mark.line + 1
                self._invalid(key_node, f"duplicate key (first on line {line})", str(key))
            else:
                own[str(key)] = key_node, value_node
                data[key] = self._value(value_node)
        merged: dict[str | int, Any] = {}
        entries = self.entries[id(node)] = {}
        for source, inherited in reversed(sources):  # the first holds; in place, since there may be thousands
            merged.update(inherited)
            entries.update(self.entries[id(source)])
        entries.update(own)
        return {**merged, **data}

    def _merge(self, node: Node) -> list[tuple[MappingNode, dict[str | int, Any]]]:
        found = []
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(source, MappingNode):
                self._invalid(source, "'<<' merges a mapping or a list of mappings")
            elif isinstance(value := self._value(source), dict):
                found.append((source, value))
        return found

    def _scalar(self, node: ScalarNode) -> Any:
        text = node.value
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "str" | "merge":
                return text
            case "bool" if text.lower() in {"true", "false"}:
                return text.lower() == "true"
            case "int" if _INT.fullmatch(text) and len(text) <= 400:
                return int(text, 0) if text.startswith(("0x", "0o")) else int(text)
            case "float" if _FLOAT.fullmatch(text):
                return float(re.sub(r"\.(?=[in])", "", text.lower()))
            case "bool" | "int" | "float" as kind:
                return self._invalid(node, f"{text[:40]!r} is no {kind}")
        return self._bad_tag(node)
