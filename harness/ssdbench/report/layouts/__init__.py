"""The shapes that tables come in, as data; a suite names one with ``layout``."""

from __future__ import annotations

from dataclasses import replace

from ssdbench.report.layouts.shape import Layout

PLAIN = Layout(
    name="plain", fields=("nfe", "train", "resolution", "data", "grid"), optional=True, order="suite"
)

DIAGNOSTICS = replace(PLAIN, name="diagnostics", fields=(*PLAIN.fields, "frozen", "trained", "seconds"))

TABLE2 = Layout(
    name="table2",
    paper="table2",
    fields=("nfe", "train"),
    sides="resolution",
    order="nfe",
)

LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (PLAIN, DIAGNOSTICS, TABLE2)}


def find_layout(name: str) -> Layout:
    """Return the layout called ``name``; a suite whose layout has no shape of its own is shown plainly."""
    return LAYOUTS.get(name, PLAIN)


__all__ = ["LAYOUTS", "PLAIN", "TABLE2", "Layout", "find_layout"]
