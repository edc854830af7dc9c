"""What every declaration keeps to, whatever its kind."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

import pytest

from ssdbench import own
from ssdbench.data.datasets import DATASETS
from ssdbench.declaration import Catalog, Declaration
from ssdbench.errors import InputError
from ssdbench.layouts import DIAGNOSTICS, LAYOUTS, PLAIN, RIVALS
from ssdbench.metrics.catalog import METRICS
from ssdbench.metrics.networks import NETWORKS
from ssdbench.metrics.reference_set import REFERENCES
from ssdbench.models.catalog import FAMILIES, MODELS, family_of, model_of
from ssdbench.samplers import GRIDS, NONE, SAMPLERS

CATALOGS: tuple[Catalog[Any], ...] = (
    SAMPLERS,
    GRIDS,
    METRICS,
    NETWORKS,
    LAYOUTS,
    FAMILIES,
    MODELS,
    DATASETS,
    REFERENCES,
)
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
    assert declaration.cite or declaration in (NONE, PLAIN, DIAGNOSTICS, RIVALS)
    if declaration.body:
        assert callable(declaration.load())
        for place in (getattr(declaration, "find", ""), getattr(declaration, "save", "")):
            assert not place or callable(own.load(place))
    # Settings round-trip: a declaration is its fields and nothing else.
    given = {field.name: getattr(declaration, field.name) for field in fields(declaration)}
    assert type(declaration)(**given) == declaration
    assert replace(declaration, name="other").name == "other"


@pytest.mark.parametrize("catalog", CATALOGS, ids=lambda catalog: catalog.kind.KIND)
def test_no_two_are_called_the_same_in_tables(catalog: Catalog[Declaration]) -> None:
    labels = [declaration.label for declaration in catalog.builtin.values()]
    assert sorted(set(labels)) == sorted(labels)


@pytest.mark.parametrize("catalog", CATALOGS, ids=lambda catalog: catalog.kind.KIND)
def test_a_name_that_is_not_there(catalog: Catalog[Declaration]) -> None:
    assert catalog.find("no such thing") is None
    assert catalog.known("no_such_module:X") is None
    with pytest.raises(InputError, match=rf"unknown {catalog.kind.KIND} 'no such thing'; known: "):
        catalog.named("no such thing")


@pytest.mark.parametrize("name", MODELS.builtin)
def test_a_model_names_things_that_are_there(name: str) -> None:
    model = MODELS[name]
    assert model.dataset in DATASETS.builtin
    assert FAMILIES.builtin[model.family.name] is model.family
    assert model.weights.keys() == model.shapes.keys()
    for resolution, shape in model.shapes.items():
        assert type(shape) is model.family.shape
        assert model_of(name, resolution).shapes[resolution] == shape
        assert family_of(shape).find == model.family.find
        assert model.takes_texts == (shape.texts is not None)
        assert shape.forward_flops() > 0
        assert shape.weights() > 0
    with pytest.raises(InputError, match=f"model '{re.escape(name)}' exists for .*, not 7"):
        model_of(name, 7)


@pytest.mark.parametrize("name", REFERENCES.builtin)
def test_a_reference_names_things_that_are_there(name: str) -> None:
    reference = REFERENCES[name]
    assert set(reference.held_by) <= set(DATASETS.builtin)
    assert set(reference.networks) <= set(NETWORKS.builtin)
    assert reference.networks or reference.dataset is not None
    if reference.dataset is not None:
        held = DATASETS[reference.dataset]
        assert held.images == reference.images
        assert reference.dataset in reference.held_by
