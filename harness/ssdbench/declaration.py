"""What a suite can name: every thing is described by a declaration, torch-free, beside its body.

A kind of thing (sampler, metric, method, ...) has a dataclass that extends :class:`Declaration` and one
:class:`Catalog`, which lists the built-in declarations as a plain tuple. A thing of the user's own is the same
declaration in a module of theirs: named ``package.module:name`` in a suite, or offered by an installed package through
the entry-point group ``ssdbench``. All of them are found by :meth:`Catalog.find`, and nothing else tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from ssdbench import own
from ssdbench.errors import InputError

_imported = cache(own.imported)

_OF_MODULE = re.compile(own.PATTERN.removesuffix("$") + r"(?![\w:/\\.])")

GROUP = "ssdbench"
"""The entry-point group in which an installed package offers its things: ``name = "package.module:DECLARATION"``."""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What every thing says of itself.

    Args:
        name: as a suite names it. A thing of the user's own is named by where it lies; this is what tables call it.
        help: one line for ``ssdbench list`` and editors.
        title: what a table prints; the name where it is empty.
        cite: the paper and the equation or algorithm.
        body: ``package.module:name`` of what does the work; imported only when it runs.
    """

    KIND: ClassVar[str]

    name: str
    help: str
    title: str = ""
    cite: str = ""
    body: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """What a table prints."""
        return self.title or self.name

    def load(self) -> Callable[..., Any]:
        """Import the body.

        Raises:
            InputError: it cannot be found, or its module fails to import.
        """
        return own.load(self.body)


def called(text: str) -> str:
    """Return a text that begins with the place of a thing of the user's own with what its author calls it there.

    Any other text, and one whose thing is not found here, is returned as it is.
    """
    if (place := _OF_MODULE.match(text)) is None:
        return text
    try:
        found = _imported(place[0])
    except InputError:
        return text
    return found.label + text[place.end() :] if isinstance(found, Declaration) else text


D = TypeVar("D", bound=Declaration)


class Catalog(Mapping[str, D], Generic[D]):
    """The things of one kind: the built-in ones, and those that installed packages offer; a mapping by name.

    Args:
        kind: the class of the declarations.
        builtin: their declarations, in the order in which they are listed.
        wrap: makes a declaration of an object that is none, such as a plain function of the user's own; its arguments
            are the name in the suite and the object. None: only declarations are taken.
    """

    def __init__(
        self, kind: type[D], builtin: tuple[D, ...], wrap: Callable[[str, Any], D] | None = None
    ) -> None:
        self.kind, self.wrap = kind, wrap
        self.builtin = {declaration.name: declaration for declaration in builtin}
        assert len(self.builtin) == len(builtin), f"two {kind.KIND}s of one name"

    @cached_property
    def offered(self) -> dict[str, EntryPoint]:
        """The entry points of installed packages, by the name that a suite uses; which kind each is, loading tells."""
        return {point.name: point for point in entry_points(group=GROUP) if point.name not in self.builtin}

    def __iter__(self) -> Iterator[str]:
        return iter([*self.builtin, *filter(self._from_package, self.offered)])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or (isinstance(name, str) and self._from_package(name) is not None)

    def __getitem__(self, name: str) -> D:
        if name in self.builtin:
            return self.builtin[name]
        found = self._from_package(name)
        if found is None:
            raise KeyError(name)
        return found

    def find(self, name: str) -> D | None:
        """The declaration that a suite's ``name`` stands for, built-in or not; None where there is none.

        Raises:
            InputError: ``name`` reads ``package.module:name``, and there is no thing of this kind; says what is there.
        """
        return self._imported(name) if own.is_own(name) else self.get(name)

    def named(self, name: str) -> D:
        """As :meth:`find`, where there must be one.

        Raises:
            InputError: there is none, or as for :meth:`find`.
        """
        found = self.find(name)
        if found is None:
            raise InputError(f"unknown {self.kind.KIND} {name!r}; known: {', '.join(self)}")
        return found

    def known(self, name: str) -> D | None:
        """As :meth:`find`; None too for a thing of the user's own that cannot be imported here."""
        try:
            return self.find(name)
        except InputError:
            return None

    def label(self, name: str) -> str:
        """What a table prints for a thing: its title, or the name of one that is not found here."""
        found = self.known(name)
        return name if found is None else found.label

    def place(self, name: str) -> str | None:
        """``package.module:name`` of a thing of the user's own; None for a built-in."""
        if name in self.builtin:
            return None
        return self.offered[name].value if name in self.offered else name

    def source(self, name: str) -> Path | None:
        """The file whose digest stands for a thing in keys; None for a built-in, which the package's version covers.

        Raises:
            InputError: there is no such module, or it has no source file.
        """
        place = self.place(name)
        return None if place is None else own.source_file(place)

    def sources(self, name: str) -> tuple[Path, ...]:
        """The files whose digest stands for a thing in keys: its declaration's and its body's; none for a built-in.

        Raises:
            InputError: there is no such module, or it has no source file.
        """
        declared = self.source(name)
        if declared is None:
            return ()
        found = self.find(name)
        body = own.source_file(found.body) if found is not None and own.is_own(found.body) else declared
        return tuple(dict.fromkeys((declared, body)))

    def _from_package(self, name: str) -> D | None:
        found = _imported(self.offered[name].value) if name in self.offered else None
        return replace(found, name=name) if isinstance(found, self.kind) else None

    def _imported(self, name: str) -> D:
        found = _imported(name)
        if isinstance(found, self.kind):
            return found
        if self.wrap is not None and callable(found):
            return self.wrap(name, found)
        module, _, attribute = name.partition(":")
        is_ = f"is {type(found).__name__}" if found is not None else f"is not in the module {module!r}"
        expected = f"{self.kind.__module__}.{self.kind.__name__}"
        raise InputError(f"{name}: {attribute!r} {is_}, expected a {expected}")
