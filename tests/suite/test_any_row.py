"""Rows of rival methods, solvers and grids: what cannot be is a located error, and what loads can be sampled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssdbench.methods import METHODS
from ssdbench.plan import build
from ssdbench.samplers import GRIDS, SAMPLERS
from ssdbench.stages import SampleSpec, TrainSpec
from ssdbench.suite import load_suite
from ssdbench.suite.variant import variant_of

from .conftest import ProblemsOf, Write
from .test_along_grid import MINI
from .test_properties import load

_OF_GRIDS = [name for name in GRIDS if name in GRIDS.builtin]
lists = st.one_of(
    st.lists(st.integers(0, 999), min_size=1, max_size=5, unique=True).map(
        lambda found: sorted(found, reverse=True)
    ),
    st.lists(st.floats(0.01, 1), max_size=4, unique=True).map(
        lambda found: [1, *sorted(found, reverse=True)]
    ),
)
rows = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["dit-mini", "sit-mini", "repa-mini"]),
        "variant": st.sampled_from([name for name, method in METHODS.builtin.items() if not method.halves]),
        "sampler": st.sampled_from(list(SAMPLERS)),
        "nfe": st.one_of(st.integers(0, 6), st.sampled_from([10, 64, 1000, 1001])),
    },
    optional={
        "grid": st.one_of(st.sampled_from(_OF_GRIDS), lists),
        "predicts": st.sampled_from(["eps", "v", "x0"]),
        "forwards": st.integers(0, 9),
        "data": st.sampled_from(["original", "synthetic-3"]),
        "student_at": st.sampled_from(["trained", [999], [0.5]]),
    },
)

SAMPLED = [name for name, method in METHODS.builtin.items() if method.sampled and not method.halves]
GIVEN = {"eps": (["dit-mini"], _OF_GRIDS), "v": (["sit-mini", "repa-mini"], ["even"])}


@st.composite
def plausible(draw: st.DrawFn) -> dict[str, Any]:
    """A row of one prediction's things, with as many evaluations as its list has timesteps."""
    predicted = draw(st.sampled_from(["eps", "v"]))
    models, grids = GIVEN[predicted]
    variant = draw(st.sampled_from(SAMPLED))
    fitting = METHODS[variant].samplers or [
        name for name, one in SAMPLERS.items() if predicted in one.predictions and not one.follows_pairs
    ]
    sampler = draw(st.sampled_from(sorted(fitting)))
    steps = draw(st.integers(2, 8))
    levels = st.sets(st.integers(1, 99), min_size=steps - 1, max_size=steps - 1)
    times = sorted(draw(levels), reverse=True)
    listed = [999, *(9 * t for t in times)] if predicted == "eps" else [1, *(t / 100 for t in times)]
    nfe = SAMPLERS[sampler].nfe(steps)
    grid = draw(st.sampled_from([*grids, listed]))
    return {
        "model": draw(st.sampled_from(models)),
        "variant": variant,
        "sampler": sampler,
        "nfe": nfe,
        "grid": grid,
    }


DEFAULTS: dict[str, Any] = {
    "resolution": 32,
    "guidance": {"scale": 1.5},
    "train": {"steps": 3, "fuse": "last"},
    "eval": {"samples": 4, "reference": "fashion-mnist", "network": "effnet-lite0"},
}


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(rows, plausible(), plausible()))
def test_a_row_that_loads_can_be_sampled_with_its_evaluations(row: dict[str, Any]) -> None:
    suite = load(
        {"suite": "x", "defaults": DEFAULTS, "runs": [row]}
    )  # which checks that problems are located
    if suite is None:
        return
    graph = build(suite)
    for node in graph.nodes.values():
        how = node.spec.sampling if isinstance(node.spec, SampleSpec) else None
        if isinstance(node.spec, TrainSpec):
            node.spec.forwards()
        if how is None:
            continue
        sampler = SAMPLERS[how.sampler]
        assert ("eps" if how.flow is None else "v") in sampler.predictions
        walk = how.timesteps() if how.flow is None else how.times()
        if not sampler.adaptive:
            pairs = how.pairs if sampler.follows_pairs else "all"
            steps = len(walk) - (sampler.to_first if how.flow is None else 1)
            assert sampler.nfe(steps, pairs) == how.nfe
    fitting = variant_of(row["variant"]).methods[-1].samplers
    assert not fitting or row["sampler"] in fitting


@pytest.mark.parametrize("name", [name for name, method in METHODS.builtin.items() if method.samplers])
@pytest.mark.parametrize("sampler", ["plms", "unipc", "heun", "sde"])
def test_a_sampler_that_does_not_fit_a_student(problems_of: ProblemsOf, name: str, sampler: str) -> None:
    found = problems_of(f"{MINI}  - {{variant: {name}, sampler: {sampler}, nfe: 4}}\n")
    there = ", ".join(METHODS[name].samplers)
    assert any(f"sampler: {sampler!r} does not fit {name!r} (there are {there})" in text for text in found)
    assert all(text.startswith("x.yaml:9:") for text in found)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("variant: base, nfe: 64, grid: leading", "grid: grid 'leading' has no integer stride that gives 64 of 1000"),
        ("variant: base, nfe: 1001", "grid: grid 'even' needs between 1 and 1000 timesteps, not 1001"),
        ("variant: base, nfe: 1", "grid: grid 'even' has no timestep above 0 with 1"),
        ("variant: base, nfe: 7, sampler: dpm-solver-2", "nfe: must be 6 or 8 for sampler 'dpm-solver-2'"),
        ("variant: base, nfe: 5, sampler: heun, model: sit-mini", "nfe: must be 4 or 6 for sampler 'heun'"),
        ("variant: issd, nfe: 1, grid: trailing", "nfe: must be at least 2 for 'issd'"),
        ("variant: base, model: sit-mini, predicts: x0", "predicts: is of models of timesteps, and model 'sit-mini'"),
        ("variant: pretrain, predicts: v", "predicts: is of the weights that a row starts from, and 'pretrain' has"),
        ("variant: base, predicts: x", "predicts: must be 'eps', 'v' or 'x0', not 'x'"),
    ],
)  # fmt: skip
def test_what_cannot_be(problems_of: ProblemsOf, row: str, problem: str) -> None:
    found = problems_of(f"{MINI}  - {{{row}}}\n")
    assert any(text.split(": ", 1)[1].startswith(problem) for text in found), found
    assert all(text.startswith("x.yaml:9:") for text in found)


def test_a_stated_prediction_that_the_files_deny_is_found_before_any_work(write: Write) -> None:
    rows = "  - {variant: base}\n  - {variant: base, predicts: eps}\n  - {variant: base, predicts: x0}\n"
    plain, same, denied = build(load_suite(write(MINI + rows))).runs
    if denied.target is None:
        assert "predicts: x0: " in denied.missing[0]
        assert "says eps" in denied.missing[0]
    else:  # nothing beside the weights says what they predict
        assert denied.target != plain.target
    assert plain.target == same.target
