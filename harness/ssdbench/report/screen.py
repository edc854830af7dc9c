"""Tables for a terminal: fitted to its width, with short headers; what they leave out stands in notes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ssdbench.report.narrow import parted
from ssdbench.report.table import Cell, Table

if TYPE_CHECKING:
    from rich.console import Group, JustifyMethod, RenderableType

_GAP = 2
_NAMES = 0.4  # of the width: what the rows' names take at most before they are wrapped


def to_screen(table: Table, width: int) -> Group:
    """Return ``table`` for a terminal of ``width`` columns, for rich to print; nothing is cut.

    Where it is too wide each side is a grid of its own. What is too wide even so goes on in a further grid below, which
    begins with as many columns as tell its rows apart.
    """
    from rich.console import Group
    from rich.text import Text

    parts, of = parted(table, lambda whole: _fits(_named(whole), width))
    shown: list[RenderableType] = [Text(table.title, style="bold")]
    for side, part in parts:
        if side is not None:
            shown += ["", Text(side, style="bold")]
        shown += (
            _grids(_named(part), width) if any(one.lines for one in part.sections) else [Text("(no rows)")]
        )
    notes = [("-", note) for note in (*of, *table.notes)]
    notes += [(f"[{number}]", text) for number, text in enumerate(table.footnotes, start=1)]
    return Group(*shown, "", _notes(notes), "")


def _named(table: Table) -> Table:
    """The table whose headers begin with their side."""
    headers = [" ".join(filter(None, (one.side, one.header))) for one in table.columns]
    columns = zip(table.columns, headers, strict=True)
    return replace(table, columns=tuple(replace(one, header=header) for one, header in columns))


def _notes(notes: Iterable[tuple[str, str]]) -> RenderableType:
    """Notes whose further lines stand under the first one's text."""
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for mark, text in notes:
        grid.add_row(Text(mark), Text(text))
    return grid


def _widths(table: Table) -> list[int]:
    lines = [line for section in table.sections for line in section.lines]
    return [
        max(_least(column.header), *(len(_plain(line[i])) for line in lines), 1)
        for i, column in enumerate(table.columns)
    ]


def _name(table: Table, width: int) -> int:
    """Columns of the terminal for the rows' names."""
    titles = (len(section.title or "") for section in table.sections)
    return min(max(_widths(table)[0], *titles, 1), max(int(_NAMES * width), 12))


def _fits(table: Table, width: int) -> bool:
    return _name(table, width) + sum(each + _GAP for each in _widths(table)[1:]) <= width


def _grids(table: Table, width: int) -> Iterator[RenderableType]:
    """The table as one grid, or as several that have the columns in common by which rows are told apart."""
    widths, name, told = _widths(table), _name(table, width), _telling(table)
    chosen: list[int] = []
    used = name
    for i in range(1, len(widths)):
        room = min(widths[i], width - name - _GAP)
        if chosen and used + room + _GAP > width:
            yield _grid(table, chosen, name, width)
            chosen = [place for place in told if place < i]
            used = name + sum(widths[j] + _GAP for j in chosen)
            yield ""
        chosen.append(i)
        used += room + _GAP
    yield _grid(table, chosen, name, width)


def _telling(table: Table) -> list[int]:
    """The columns before the metrics by which, with its name, a row is told from the others of its section."""
    ends = (i for i, column in enumerate(table.columns) if column.header.endswith(("↑", "↓")))
    places = list(range(1, next(ends, len(table.columns))))

    def told(places: Sequence[int]) -> int:
        return sum(
            len({tuple(line[i].text for i in (0, *places)) for line in section.lines})
            for section in table.sections
        )

    most = told(places)
    for place in reversed(places):  # what stands further to the left names a row sooner
        rest = [other for other in places if other != place]
        if told(rest) == most:
            places = rest
    return places


def _grid(table: Table, places: Sequence[int], name: int, width: int) -> RenderableType:
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    grid.add_column(Text(table.columns[0].header), width=name, overflow="fold")
    for i, room in zip(places, _rooms(table, places, width - name), strict=True):
        column = table.columns[i]
        justify: JustifyMethod = "right" if column.numeric else "left"
        grid.add_column(Text(column.header), justify=justify, overflow="fold", width=room)
    for section in table.sections:
        if section.title is not None:
            grid.add_row(Text(section.title, style="italic"))
        for line in section.lines:
            cells = [line[0], *(line[i] for i in places)]
            grid.add_row(*(Text(_plain(cell), style="bold" if cell.best else "") for cell in cells))
        grid.add_section()
    return grid


def _rooms(table: Table, places: Sequence[int], width: int) -> list[int] | list[None]:
    """The columns' widths: no cell is wrapped, and headers for want of room alone; None, for rich to choose, else."""
    widths = _widths(table)
    least = [widths[i] for i in places]
    spare = width - sum(each + _GAP for each in least)
    if spare < 0:
        return [None] * len(places)
    for place, i in enumerate(places):
        more = min(max(len(table.columns[i].header) - least[place], 0), spare)
        least[place] += more
        spare -= more
    return least


def _plain(cell: Cell) -> str:
    marks = f"[{','.join(map(str, cell.marks))}]" if cell.marks else ""
    published = f"({cell.published})" if cell.published else ""
    return " ".join(filter(None, (cell.text.replace(" ± ", "±"), published, marks)))


def _least(header: str) -> int:
    """The width that a header takes once it is wrapped; an arrow stays with its word."""
    return max(map(len, re.split(r" (?![↑↓])", header)), default=0)
