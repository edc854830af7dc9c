"""A table as data, between the rows it is built from and the formats it is written in."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Column:
    """One column; ``side`` is the heading shared by the columns of one half of a side-by-side table."""

    header: str
    side: str | None = None
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell: what was measured (or a label), in parentheses what was published, and marks of footnotes.

    ``keys`` are those of the records behind the cell.
    """

    text: str = ""
    published: str | None = None
    best: bool = False
    marks: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()

    def marked(self, marks: tuple[int, ...]) -> Cell:
        """Return the cell with further footnote marks, each at most once."""
        return replace(self, marks=tuple(dict.fromkeys(self.marks + marks)))

    def of(self, keys: tuple[str, ...]) -> Cell:
        """Return the cell with the keys of the records behind it."""
        return replace(self, keys=tuple(dict.fromkeys(self.keys + keys)))


@dataclass(frozen=True)
class Section:
    """Lines under a heading of their own, or without one."""

    title: str | None
    lines: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Table:
    """A finished table. ``footnotes[i]`` is what mark ``i + 1`` says; ``notes`` hold for the whole table."""

    name: str
    title: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    footnotes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
