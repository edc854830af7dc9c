"""Shapes for any suite."""

from __future__ import annotations

from dataclasses import replace

from ssdbench.report.layouts.shape import Layout

PLAIN = Layout(
    name="plain", fields=("nfe", "train", "resolution", "data", "grid"), optional=True, order="suite"
)

DIAGNOSTICS = replace(PLAIN, name="diagnostics", fields=(*PLAIN.fields, "frozen", "trained", "seconds"))
