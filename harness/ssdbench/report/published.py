"""The paper's own figures, kept as they were printed, and the search for the one that belongs to a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from ssdbench.samplers import GRIDS, SAMPLERS
from ssdbench.suite.variant import canonical_variant

FIGURES = ("is", "fid", "sfid", "precision", "recall")
SAMPLES = 50_000
"""Images behind every published figure on ImageNet."""


@dataclass(frozen=True)
class PaperRow:
    """One row of one table; ``figures`` are the printed texts, so that 0.80 stays 0.80.

    ``reported``: the paper took the figures over from elsewhere; there is nothing of it to run. ``reference`` is what
    they are measured against where a table has several; ``samples``, the images behind them, are None where unsaid.
    """

    model: str
    variant: str
    sampler: str
    nfe: int | None
    resolution: int
    data: str | None
    epochs: str | None
    figures: Mapping[str, str]
    reported: bool = False
    reference: str | None = None
    samples: int | None = SAMPLES


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper: rows in print order and what must be said about them."""

    name: str
    title: str
    rows: tuple[PaperRow, ...]
    notes: tuple[str, ...]

    @property
    def reported(self) -> tuple[PaperRow, ...]:
        """The rows that only repeat another publication's figures."""
        return tuple(row for row in self.rows if row.reported)

    def find(
        self,
        *,
        model: str,
        variant: str,
        sampler: str,
        nfe: int,
        resolution: int,
        data: str = "original",
        reference: str | None = None,
    ) -> PaperRow | None:
        """Return the row printed for these names, or None.

        The names are those of a suite before any profile. DDIM is the paper's ODE solver, so the two match.
        A row without its own data source stands for the original images.
        """
        wanted = (model, canonical_variant(variant), sampler_family(sampler), nfe, resolution, data)
        for row in self.rows:
            family = sampler_family(row.sampler)
            if row.reference not in (None, reference):
                continue
            if (row.model, row.variant, family, row.nfe, row.resolution, row.data or "original") == wanted:
                return row
        return None


def sampler_family(name: str) -> str:
    """Return ``ode`` or ``sde`` for the paper's two kinds of samplers, any other name unchanged."""
    sampler = SAMPLERS.known(name.lower())
    return (sampler and sampler.family) or name.lower()


def sampler_label(name: str) -> str:
    """Return what a table prints for a sampler: its title, or the name of one that is not found here."""
    sampler = SAMPLERS.known(name)
    return name if sampler is None else sampler.label


def grid_label(name: str) -> str:
    """Return what a table prints for a grid, as :func:`sampler_label`."""
    grid = GRIDS.known(name)
    return name if grid is None else grid.label


@lru_cache(maxsize=1)
def paper_tables() -> dict[str, PaperTable]:
    """Return the published tables by name (``table1`` to ``table8``)."""
    text = files("ssdbench.report").joinpath("paper.yaml").read_text(encoding="utf-8")
    # BaseLoader resolves nothing: every figure stays the text that was printed.
    document = yaml.load(text, Loader=yaml.BaseLoader)
    return {name: _table(name, body) for name, body in document.items()}


def _table(name: str, body: Mapping[str, Any]) -> PaperTable:
    sections = body.get("groups", [body])
    rows = tuple(found for section in sections for row in section["rows"] for found in _rows(row))
    return PaperTable(name=name, title=body["title"], rows=rows, notes=tuple(body.get("notes", ())))


def _rows(row: Mapping[str, str]) -> list[PaperRow]:
    """A row of a model; Table 4 prints FIDs of one model side by side, by sampler, and the distilled model's last."""
    if "model" in row:
        return [_row(row)]
    return [
        PaperRow(
            model="SD v1.5",
            variant="issd" if column == "ours" else "base",
            sampler="ddim" if column == "ours" else column,
            nfe=int(row["nfe"]),
            resolution=512,
            data=None,
            epochs=None,
            figures={} if row[column] == "null" else {"fid": row[column]},
            reference=row["reference"],
            samples=None,
        )
        for column in ("ddim", "plms", "dpm-solver-2", "ours")
    ]


def _row(row: Mapping[str, str]) -> PaperRow:
    given = {key: value for key, value in row.items() if value != "null"}
    return PaperRow(
        model=given["model"],
        variant=canonical_variant(given["variant"]),
        sampler=given.get("sampler", "ddim"),
        nfe=int(given["nfe"]) if "nfe" in given else None,
        resolution=int(given.get("resolution", "256")),
        data=given.get("data"),
        epochs=given.get("epochs"),
        figures={name: given[name] for name in FIGURES if name in given},
        reported=given.get("reported") == "true",
    )
