"""The paper's own figures, kept as they were printed, and the search for the one that belongs to a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict

from ssdbench.layouts import FIGURES
from ssdbench.metrics.reference_set import is_through
from ssdbench.samplers import SAMPLERS
from ssdbench.suite.schema import Named
from ssdbench.suite.variant import canonical_variant

SAMPLES = 50_000
"""Images behind every published figure on ImageNet."""


class PaperRow(BaseModel):
    """One row of one table; ``figures`` are the printed texts, so that 0.80 stays 0.80.

    ``reference`` is what they are measured against where a table has several; ``samples``, the images behind them, are
    None where unsaid.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    variant: Annotated[str, AfterValidator(canonical_variant)]
    sampler: str = "ddim"
    nfe: int | None = None
    resolution: int = 256
    data: str | None = None
    epochs: str | None = None
    figures: dict[str, str]
    reference: str | None = None
    samples: int | None = SAMPLES

    @classmethod
    def of(cls, row: Mapping[str, str]) -> PaperRow:
        """Return a row as it stands in the file, where ``null`` is what the paper does not say."""
        given: dict[str, Any] = {key: value for key, value in row.items() if value != "null"}
        if row.get("samples") == "null":
            given["samples"] = None
        figures = {name: given[name] for name in FIGURES if name in given}
        return cls.model_validate(given | {"figures": figures})


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper: rows in print order and what must be said about them."""

    name: str
    title: str
    rows: tuple[PaperRow, ...]
    notes: tuple[str, ...]

    def find(self, named: Named) -> PaperRow | None:
        """Return the row printed for the names that a suite gives a run, before any profile; or None.

        DDIM is the paper's ODE solver, so the two match. A row without its own data source stands for the original
        images.
        """
        if is_through(named.reference):
            return None  # the paper scores against the images as they are
        names = named.model, canonical_variant(named.variant), sampler_family(named.sampler)
        wanted = *names, named.nfe, named.resolution, named.data
        for row in self.rows:
            names = row.model, row.variant, sampler_family(row.sampler)
            found = *names, row.nfe, row.resolution, row.data or "original"
            if found == wanted and row.reference in (None, named.reference):
                return row
        return None


def sampler_family(name: str) -> str:
    """Return ``ode`` or ``sde`` for the paper's two kinds of samplers, any other name unchanged."""
    sampler = SAMPLERS.known(name.lower())
    return (sampler and sampler.family) or name.lower()


@lru_cache(maxsize=1)
def paper_tables() -> dict[str, PaperTable]:
    """Return the published tables by name (``table1`` to ``table8``)."""
    text = files("ssdbench.report").joinpath("paper.yaml").read_text(encoding="utf-8")
    # BaseLoader resolves nothing: every figure stays the text that was printed.
    document = yaml.load(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    return {name: _table(name, body) for name, body in document.items()}


def _table(name: str, body: Mapping[str, Any]) -> PaperTable:
    sections = body.get("groups", [body])
    rows = tuple(PaperRow.of(row) for section in sections for row in section["rows"])
    return PaperTable(name=name, title=body["title"], rows=rows, notes=tuple(body.get("notes", ())))
