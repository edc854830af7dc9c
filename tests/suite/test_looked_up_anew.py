"""What a suite names is looked up anew by every load: things come, go and change while a notebook runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ssdbench.errors import SuiteError
from ssdbench.suite import catalog, load_suite
from ssdbench.suite.variant import variant_of

SUITE = """
suite: t
defaults: {model: DiT-XL/2, nfe: 10, resolution: 32, eval: {samples: 8, reference: fashion-mnist}}
runs: [{variant: base}]
"""


def test_a_model_that_was_changed_is_checked_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(SUITE)
    model = catalog.MODELS["DiT-XL/2"]
    for size in (32, 256):
        changed = replace(model, shapes={size: next(iter(model.shapes.values()))})
        monkeypatch.setitem(catalog.MODELS.builtin, "DiT-XL/2", changed)
        if size == 32:
            load_suite(path)
        else:
            with pytest.raises(SuiteError, match="exists for 256, not 32"):
                load_suite(path)


def test_a_method_that_was_not_there_is_found_once_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "come_later_to_variants:MINE"
    assert variant_of(name).methods[0].help == ""  # of a record whose method is not on this machine
    (tmp_path / "come_later_to_variants.py").write_text(
        "from ssdbench.methods import Method\n"
        "MINE = Method(name='mine', help='come later', body='come_later_to_variants:body')\n"
    )
    assert variant_of(name).methods[0].help == "come later"
