"""Listed timesteps as a grid: one text whatever the spelling, walked as listed, and mistakes in them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import ssdbench
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.plan import build
from ssdbench.report.fields import grid as shown
from ssdbench.report.rows import Result, Row
from ssdbench.samplers.ddim import ddim, euler
from ssdbench.samplers.grids import GRIDS, listed
from ssdbench.samplers.walks import far_from_noise, flow_times, timesteps
from ssdbench.suite import load_suite

from .conftest import ProblemsOf, Write
from .test_along_grid import MINI, sampled

falling = st.lists(st.integers(500, 999), min_size=1, max_size=20, unique=True)
levels = st.lists(st.floats(1e-6, 0.999), max_size=10, unique_by=lambda level: 1 - level)


@given(falling)
def test_the_timesteps_of_a_list_are_those_listed(times: list[int]) -> None:
    times.sort(reverse=True)
    assert timesteps(listed(times), len(times)) == times[::-1]
    with pytest.raises(InputError, match=rf"lists {len(times)} timesteps?, not {len(times) + 1}"):
        timesteps(listed(times), len(times) + 1)


@given(levels, st.sampled_from([0, 1]))
def test_the_levels_of_a_list_are_those_listed(given: list[float], noise_at: int) -> None:
    given = [1.0, *sorted(given, reverse=True)]
    times = flow_times(listed(given), len(given), noise_at)
    assert times[-1] == 1 - noise_at
    expected = given if noise_at else [1 - level for level in given]
    assert times[:-1] == pytest.approx(expected, abs=1e-15)


@given(
    st.lists(st.one_of(st.integers(-2, 1001), st.floats(), st.booleans(), st.text(max_size=3)), max_size=5)
)
def test_any_list_is_a_grid_or_refused(times: list[object]) -> None:
    try:
        name = listed(times)  # type: ignore[arg-type]
    except InputError:
        return
    grid = GRIDS.named(name)
    assert grid.name == name == listed([float(t) if "." in t else int(t) for t in name.split(", ")])
    assert GRIDS.place(name) is None
    assert len(grid.rule(len(times), 1000)) == len(times) + (grid.prediction == "v")


def eps(x: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
    return x * (t.to(x.dtype).reshape(-1, 1) / 1000 + 0.1)


def test_a_listed_grid_without_a_suite() -> None:
    x = torch.randn(5, 3, dtype=torch.float64)
    found = ssdbench.sampler("ddim")(eps, x, nfe=3, grid=[999, 640, 77])
    expected = ddim(eps, x, [77, 640, 999], alphas_cumprod(), None)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    found = ssdbench.sampler("ddim")(eps, x, nfe=2, grid=[1, 0.25], noise_at=1)
    torch.testing.assert_close(found, euler(eps, x, [1.0, 0.25, 0.0], None))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"\[850, 999\] is no grid"):
        ssdbench.sampler("ddim")(eps, x, nfe=2, grid=[850, 999])


def test_one_list_has_one_key_and_another_list_another(write: Write) -> None:
    rows = ("[999, 640, 20]", "'999,640,20'", "[999, 640, 21]", "even")
    text = MINI + "".join(f"  - {{variant: base, nfe: 3, grid: {grid}}}\n" for grid in rows)
    suite = load_suite(write(text))
    keys = [planned.target for planned in build(suite).runs]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert [run.grid for run in suite.runs[:2]] == ["999, 640, 20"] * 2
    assert shown(Row((Result(suite.runs[0]),))) == "999, 640, 20"


def test_what_walks_a_list(write: Write) -> None:
    how = sampled(write, "{variant: base, nfe: 3, grid: [999, 640, 20]}")
    assert how.timesteps() == [20, 640, 999]
    how = sampled(write, "{variant: base, nfe: 2, sampler: dpm-solver-2, grid: [999, 0]}")
    assert how.timesteps() == [0, 999]
    # A student of progressive distillation walks every other timestep of its teacher's list.
    how = sampled(write, "{variant: pd 4-2, nfe: 2, grid: [999, 640, 320, 20]}")
    assert how.timesteps() == [320, 999]
    how = sampled(write, "{model: sit-mini, variant: issd, nfe: 2, grid: [1, 0.25], train: {share: 0.3}}")
    assert how.times() == [0.0, 0.75, 1.0]


def test_a_profile_leaves_the_evaluations_of_a_list(write: Write) -> None:
    text = MINI.replace("dit-mini", "DiT-XL/2").replace("32", "256").replace("fashion-mnist", "imagenet-256")
    rows = (
        "  - {variant: base, grid: [999, 900, 800, 700, 600, 500, 400, 300, 200, 100]}\n  - {variant: base}\n"
    )
    text = text.replace("effnet-lite0", "inception") + rows
    listed_run, run = load_suite(write(text), profile="mini").runs
    assert (listed_run.nfe, listed_run.named.nfe) == (10, 10)
    assert run.nfe < run.named.nfe == 10


def test_a_list_that_starts_far_from_noise_is_told(write: Write) -> None:
    suite = load_suite(write(f"{MINI}  - {{variant: base, nfe: 2, grid: [850, 20]}}\n"))
    assert "sampling starts at timestep 850 of grid '850, 20', below 900" in suite.notes[0]
    assert far_from_noise("900, 20", 2) is None


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("grid: [999, 850]", "grid: grid '999, 850' lists 2 timesteps, not 3"),
        ("grid: 999", "grid: grid '999' lists 1 timestep, not 3"),
        ("grid: [999, 850, 900]", "grid: [999, 850, 900] is no grid: expected whole timesteps that fall, within 999"),
        ("grid: [999, 850, 7.5]", "grid: [999, 850, 7.5] is no grid: "),
        ("grid: []", "grid: [] is no grid: "),
        ("grid: [400, 300, 20]", "grid: grid '400, 300, 20' has no timestep above 400 with 3"),
        ("grid: [1, 0.5, 0.2]", "grid: '1, 0.5, 0.2' is for models that predict v"),
        ("grid: [0.9, 0.5, 0.2]", "grid: [0.9, 0.5, 0.2] is no grid: "),
        ("model: sit-mini, grid: [1, 0.5]", "grid: grid '1, 0.5' lists 2 noise levels, not 3"),
        ("model: sit-mini, grid: [999, 20, 3]", "grid: '999, 20, 3' is for models that predict eps"),
        ("model: sit-mini, sampler: dopri5, nfe: 0, grid: [1, 0.5]", "grid: grid '1, 0.5' lists 2 noise levels"),
        ("sampler: plms-prk, nfe: 13, grid: [999, 5, 0]", "grid: grid '999, 5, 0' lists 3 timesteps, not 4"),
        ("grid: [999, 5, 0], data: synthetic-10, variant: ssd", "data: 'synthetic-10' cannot be sampled: grid '999,"),
        ("grid: [999, 5, 0], eval: {trajectory: 50}", "eval.trajectory: grid '999, 5, 0' lists 3 timesteps, not 50"),
        ("grid: [999, 5, 0], variant: ssd, train: {nfe: 5}", "train.nfe: grid '999, 5, 0' lists 3 timesteps, not 5"),
        ("model: sit-mini, grid: [1, 0.5, 0.2], variant: pd 6-3", "grid: 'pd 6-3' of a flow halves equal steps"),
    ],
)  # fmt: skip
def test_mistakes(problems_of: ProblemsOf, row: str, problem: str) -> None:
    variant = "" if "variant" in row else "variant: base, "
    nfe = "" if "nfe: 0" in row or "nfe: 13" in row else "nfe: 3, "
    [found] = problems_of(f"{MINI}  - {{{variant}{nfe}{row}}}\n")
    assert found.startswith("x.yaml:9:")
    assert found.split(": ", 1)[1].startswith(problem)
