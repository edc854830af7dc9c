"""What every declaration of a training method keeps to."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ssdbench import own
from ssdbench.declaration import Declaration
from ssdbench.methods import METHODS, Method, Plain, method_of, objective_class
from ssdbench.methods.method import Recipe
from ssdbench.models.checkpoint import save_dit
from ssdbench.models.dit import DiT
from ssdbench.stages import Source, TrainSpec, load_spec
from ssdbench.stages.learning import make_objective, make_setup
from ssdbench.suite.layers import DEFAULTS, REQUIRED
from ssdbench.suite.schema import Run
from ssdbench.suite.training import Pretrain, Train
from ssdbench.training.objectives import Batch
from tests.training.toy import SHAPE, small_dit

EVERY: list[Declaration] = [*METHODS.builtin.values()]
TRAINING = [method for method in METHODS.builtin.values() if method.trains]


@pytest.mark.parametrize("declaration", EVERY, ids=lambda one: f"{one.KIND} {one.name}")
def test_a_declaration_says_what_it_is_and_its_body_can_be_imported(declaration: Declaration) -> None:
    assert declaration.name == declaration.name.strip() != ""
    assert declaration.help
    assert "\n" not in declaration.help + declaration.title + declaration.cite
    assert declaration.label
    assert hash(declaration) == hash(declaration)
    if declaration.body:
        assert own.is_own(declaration.body)
        assert callable(declaration.load())


@pytest.mark.parametrize("method", METHODS.builtin.values(), ids=lambda method: method.name)
def test_a_method_reads_keys_that_there_are_and_names_its_objectives(method: Method) -> None:
    known = {*DEFAULTS, *REQUIRED, *Run.model_fields}
    assert set(method.reads) <= known
    for keys, check in method.checks:
        assert set(keys) <= known | {"prediction"}
        assert callable(check)
    assert method.trains == bool(method.specs)
    assert set(method.pace(Train.model_validate({}))) <= set(Train.model_fields)
    for spec in method.specs:
        for kind in spec.kinds():
            assert objective_class(kind) is spec
            if spec is not Plain:
                assert method_of(spec.model_construct(kind=kind)).body == method.body


def objective_of(method: Method) -> object:
    recipe = Recipe(
        name=method.name,
        method=method,
        train=Train.model_validate({"fuse": "last"}),
        shape=SHAPE,
        grid="even",
        nfe=4,
    )
    return method.objective(recipe)


@pytest.mark.parametrize("method", TRAINING, ids=lambda method: method.name)
def test_what_a_method_declares_of_a_training_is_what_its_loss_does(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its forward passes are counted, a smoke step has gradients, and its specification survives a worker's pipe."""
    save_dit(small_dit(0), tmp_path)
    source = Source(digest="a" * 64, path=str(tmp_path))
    shape = replace(SHAPE, second_time=method.second_time == "needs")
    spec = TrainSpec(
        objective=objective_of(method),
        shape=shape,
        flow=None if "eps" in method.predictions else 0,
        weights=source,
        steps=1,
        batch_size=4,
        lr=1e-3,
    )
    assert load_spec("train", spec.dump()) == spec
    assert spec.objective.kind in {kind for one in method.specs for kind in one.kinds()}
    passes = {True: 0, False: 0}
    forward = DiT.forward

    def counted(self: DiT, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        passes[torch.is_grad_enabled()] += len(x)
        return forward(self, x, t, cond, **further)

    student = small_dit(1, shape=shape)
    objective = make_objective(spec, make_setup(spec, student, tmp_path, "cpu"))
    monkeypatch.setattr(DiT, "forward", counted)
    batch = Batch(torch.randn(4, 4, 4, 4), torch.tensor([0, 1, 2, 3]), 0, range(4))
    objective.loss(student, batch).backward()
    declared = method.passes(spec.objective)
    assert passes == {True: 4 * declared.student, False: 4 * (declared.frozen + declared.second)}
    assert sum(p.grad is not None and bool(p.grad.any()) for p in student.parameters()) > 5
    assert spec.flops() == (passes[False] + 3 * passes[True]) * shape.forward_flops()


def test_declarations_are_free_of_torch() -> None:
    import subprocess
    import sys

    modules = {importlib.import_module("ssdbench.methods").__name__}
    script = (
        f"import sys; {'; '.join(f'import {name}' for name in modules)}; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_recipe_of_pretraining_gives_no_setting_of_a_methods_pace() -> None:
    """A section ``pretrain`` overrides what a method's pace says, so both name the same settings."""
    assert {"steps", "lr"} <= set(Pretrain.model_fields)
