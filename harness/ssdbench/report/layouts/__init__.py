"""The shapes that tables come in, as data; a suite names one with ``layout``."""

from __future__ import annotations

from ssdbench.report.layouts.general import DIAGNOSTICS, PLAIN
from ssdbench.report.layouts.paper import (
    FIGURE4,
    TABLE1,
    TABLE2,
    TABLE3,
    TABLE4,
    TABLE5,
    TABLE6,
    TABLE7,
    TABLE8,
)
from ssdbench.report.layouts.shape import Layout

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        *(PLAIN, DIAGNOSTICS),
        *(TABLE1, TABLE2, TABLE3, TABLE4, TABLE5, TABLE6, TABLE7, TABLE8, FIGURE4),
    )
}


def find_layout(name: str) -> Layout:
    """Return the layout called ``name``; a suite whose layout has no shape of its own is shown plainly."""
    return LAYOUTS.get(name, PLAIN)


__all__ = ["LAYOUTS", "PLAIN", "TABLE2", "Layout", "find_layout"]
