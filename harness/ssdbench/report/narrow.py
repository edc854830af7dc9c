"""Tables made narrower: short headers, marks on the rows' names, one table a side where both do not fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from ssdbench.report.table import Cell, Column, Section, Table

_OF_NETWORK = re.compile(r"(\S+)\(([^()]+)\)( [↑↓])")


def parted(table: Table, fits: Callable[[Table], bool]) -> tuple[list[tuple[str | None, Table]], list[str]]:
    """Return ``table`` made narrower, in one part or in one for each side, and notes on what its headers left out.

    Args:
        table: as it was built.
        fits: whether the whole table fits.
    """
    short, networks = _shortened(table)
    notes = [f"{', '.join(headers)}: of {network}." for network, headers in networks.items()]
    sides = dict.fromkeys(column.side for column in table.columns if column.side)
    whole = _gathered(short, None)
    if not sides or fits(whole):
        return [(None, whole)], notes
    return [(side, _gathered(short, side)) for side in sides], notes


def _gathered(table: Table, side: str | None) -> Table:
    """The table, or one ``side`` of it under plain headers, with the marks of each line on its name, in order."""
    places = [i for i, column in enumerate(table.columns) if side is None or column.side in (None, side)]
    own = [i for i in places if side is None or table.columns[i].side == side]
    sections = []
    for section in table.sections:
        kept = [line for line in section.lines if any(line[i].text or line[i].published for i in own)]
        sections.append(Section(section.title, tuple(_marked([line[i] for i in places]) for line in kept)))
    columns = tuple(replace(table.columns[i], side=None if side else table.columns[i].side) for i in places)
    return replace(table, columns=columns, sections=tuple(one for one in sections if one.lines))


def _marked(line: Sequence[Cell]) -> tuple[Cell, ...]:
    marks = sorted({mark for cell in line for mark in cell.marks})
    return replace(line[0], marks=tuple(marks)), *(replace(cell, marks=()) for cell in line[1:])


def _shortened(table: Table) -> tuple[Table, dict[str, list[str]]]:
    """The table with headers that do not name their network, and the headers of each network.

    Two headers that would be alike keep theirs.
    """
    found = [_OF_NETWORK.fullmatch(column.header) for column in table.columns]
    headers = [
        one[1] + one[3] if one else column.header for one, column in zip(found, table.columns, strict=True)
    ]
    often = Counter(zip(headers, (column.side for column in table.columns), strict=True))
    networks: dict[str, list[str]] = {}
    columns: list[Column] = []
    for column, one, header in zip(table.columns, found, headers, strict=True):
        alone = one is not None and often[header, column.side] == 1
        if one is not None and alone and one[1] not in networks.setdefault(one[2], []):
            networks[one[2]].append(one[1])
        columns.append(replace(column, header=header) if alone else column)
    return replace(table, columns=tuple(columns)), networks
