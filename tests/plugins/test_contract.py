"""What every declaration keeps to, whatever its kind."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from ssdbench.declaration import Catalog, Declaration
from ssdbench.errors import InputError
from ssdbench.layouts import DIAGNOSTICS, LAYOUTS, PLAIN
from ssdbench.metrics.catalog import METRICS
from ssdbench.metrics.networks import NETWORKS
from ssdbench.samplers import GRIDS, NONE, SAMPLERS

CATALOGS: tuple[Catalog[Any], ...] = (SAMPLERS, GRIDS, METRICS, NETWORKS, LAYOUTS)
DECLARATIONS = [
    pytest.param(catalog, declaration, id=f"{declaration.KIND}-{name}")
    for catalog in CATALOGS
    for name, declaration in catalog.builtin.items()
]


@pytest.mark.parametrize(("catalog", "declaration"), DECLARATIONS)
def test_a_declaration_is_complete(catalog: Catalog[Declaration], declaration: Declaration) -> None:
    assert catalog.find(declaration.name) is declaration is catalog.named(declaration.name)
    assert catalog.place(declaration.name) is None
    assert declaration.label
    assert declaration.help == declaration.help.strip()
    assert "\n" not in declaration.help
    assert len(declaration.help) <= 120
    assert not declaration.help.endswith(".")
    assert declaration.cite or declaration in (NONE, PLAIN, DIAGNOSTICS)
    if declaration.body:
        assert callable(declaration.load())
    # Settings round-trip: a declaration is its fields and nothing else.
    given = {field.name: getattr(declaration, field.name) for field in fields(declaration)}
    assert type(declaration)(**given) == declaration
    assert replace(declaration, name="other").name == "other"


@pytest.mark.parametrize("catalog", CATALOGS, ids=lambda catalog: catalog.kind.KIND)
def test_a_name_that_is_not_there(catalog: Catalog[Declaration]) -> None:
    assert catalog.find("no such thing") is None
    assert catalog.known("no_such_module:X") is None
    with pytest.raises(InputError, match=rf"unknown {catalog.kind.KIND} 'no such thing'; known: "):
        catalog.named("no such thing")
