"""What every sampler declares holds of its body: order, evaluations, ends, noise; so for one that is added tomorrow."""

import inspect
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError, SsdbenchError
from ssdbench.samplers import NONE, SAMPLERS, Sampler
from ssdbench.samplers.sampler import Pairs
from ssdbench.samplers.walks import end_of, flow_times, timesteps
from tests.samplers.gaussian import (
    LABELS,
    MEAN,
    VARIANCE,
    exact_flow,
    grid_of,
    orders,
    sit_velocity,
    smooth_eps,
)

EPS = [name for name, sampler in SAMPLERS.items() if sampler.eps is not None]
FLOWS = [name for name, sampler in SAMPLERS.items() if sampler.v is not None]
WALKING = [name for name in FLOWS if not SAMPLERS[name].adaptive]
X = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1)


def further(sampler: Sampler, steps: int, x: Tensor) -> dict[str, Any]:
    """What a body is given beside its walk."""
    given: dict[str, Any] = {}
    if sampler.stochastic:
        given["noise"] = lambda step: torch.full_like(x, (-1) ** step)
    if sampler.follows_pairs:
        given |= {"pairs": range(1, steps), "lam": 0.3}
    return given


def told(sampler: Sampler, denoiser: Any) -> Any:
    """The denoiser, which may be told where a step leads and does not heed it."""
    return (lambda x, t, cond, r: denoiser(x, t, cond)) if sampler.second_time else denoiser


def walk(name: str, denoiser: Any, x: Tensor, grid: Sequence[int], end: int = -1) -> Tensor:
    """The sample of a body for eps."""
    sampler = SAMPLERS[name]
    given = further(sampler, len(grid), x)
    return sampler.function("eps")(
        told(sampler, denoiser), x, grid, alphas_cumprod(), LABELS[: len(x)], end, **given
    )


def flow(name: str, denoiser: Any, x: Tensor, steps: int) -> Tensor:
    """The sample of a body for v."""
    sampler = SAMPLERS[name]
    times = flow_times(sampler.times, steps, 0)
    return sampler.function("v")(
        told(sampler, denoiser), x, times, LABELS[: len(x)], **further(sampler, steps, x)
    )


@pytest.mark.parametrize("name", [name for name in EPS if SAMPLERS[name].order])
def test_the_order_of_convergence_on_gaussian_data(name: str) -> None:
    # From t = 600 to 120, and no further: the steps shrink everywhere by the same factor.
    sampler, errors = SAMPLERS[name], []
    assert sampler.order is not None
    for stride in (8, 4, 2):
        grid = grid_of(stride)
        found = walk(name, smooth_eps, X, grid if sampler.to_first else grid[1:], grid[0])
        errors.append((found - exact_flow(X, grid[-1], grid[0])).abs().max().item())
    rates = orders(errors)
    # A higher order would mean that the test does not see the steps.
    assert all(sampler.order - 0.3 < rate < sampler.order + 0.75 for rate in rates), (errors, rates)


@pytest.mark.parametrize("name", [name for name in WALKING if SAMPLERS[name].order])
def test_the_order_of_convergence_on_a_gaussian_flow(name: str) -> None:
    order = SAMPLERS[name].order
    assert order is not None
    truth = MEAN + VARIANCE**0.5 * X
    errors = [(flow(name, sit_velocity, X, n) - truth).abs().max().item() for n in (20, 40, 80)]
    assert all(order - 0.25 < rate < order + 0.5 for rate in orders(errors)), (errors, orders(errors))


@pytest.mark.parametrize("name", EPS)
@pytest.mark.parametrize("more", [0, 1, 7])
def test_the_evaluations_of_an_eps_sampler_are_counted(name: str, more: int) -> None:
    sampler = SAMPLERS[name]
    steps = max(2, sampler.fewest) + more
    nfe = sampler.nfe(steps)
    assert sampler.steps(nfe) == steps
    grid = timesteps("even", sampler.timesteps(nfe))
    counted = Counted(smooth_eps)
    walk(name, counted, X, grid)
    counted.expect(nfe)
    with pytest.raises(SsdbenchError, match=f"used {nfe} function evaluations where {nfe + 1}"):
        counted.expect(nfe + 1)


@pytest.mark.parametrize("name", WALKING)
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_evaluations_of_a_flow_s_sampler_are_counted(name: str, steps: int) -> None:
    counted = Counted(sit_velocity)
    flow(name, counted, X, steps)
    counted.expect(SAMPLERS[name].nfe(steps))


@pytest.mark.parametrize("name", EPS)
def test_where_a_sampler_ends(name: str) -> None:
    # Who goes on from the first timestep has to evaluate there.
    sampler, grid = SAMPLERS[name], timesteps("even", max(4, SAMPLERS[name].fewest))
    seen: list[Tensor] = []

    def watch(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        seen.append(t)
        return smooth_eps(x, t, cond)

    walk(name, watch, X, grid, end_of("even"))
    at_the_end = any(float(t[0]) == grid[0] for t in seen)
    assert at_the_end != sampler.to_first


@pytest.mark.parametrize("name", EPS)
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    x = torch.randn(7, 3, dtype=torch.float64)
    grid = timesteps("even", 8)
    whole = walk(name, smooth_eps, x, grid)
    parts = [walk(name, smooth_eps, x[i:j], grid) for i, j in ((0, 1), (1, 5), (5, 7))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_s_sample_does_not_depend_on_its_batch(name: str) -> None:
    whole = flow(name, sit_velocity, X, 6)
    parts = [flow(name, sit_velocity, X[i:j], 6) for i, j in ((0, 1), (1, 6), (6, 9))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("name", "prediction"), [(n, p) for n, s in SAMPLERS.items() for p in s.predictions])
def test_a_body_takes_what_is_declared(name: str, prediction: Any) -> None:
    sampler = SAMPLERS[name]
    parameters = inspect.signature(sampler.function(prediction)).parameters
    assert ("noise" in parameters) == sampler.stochastic
    assert ({"pairs", "lam"} <= parameters.keys()) == sampler.follows_pairs
    assert sampler.options.keys() <= parameters.keys()


@given(st.sampled_from([*EPS, *WALKING]), st.integers(1, 400), st.sampled_from(["all", "skip_last", (1, 2)]))
def test_steps_and_evaluations_are_inverse_or_the_nearest_are_named(
    name: str, nfe: int, pairs: Pairs
) -> None:
    sampler = SAMPLERS[name]
    try:
        steps = sampler.steps(nfe, pairs)
    except InputError as error:
        text = str(error)
        assert text.endswith(f"for sampler {name!r}, which takes {sampler.cost}, not {nfe}")
        offered = [int(word) for word in text.split(" for ")[0].split() if word.isdigit()]
        assert all(sampler.nfe(sampler.steps(other, pairs), pairs) == other for other in offered)
        assert min(offered) > nfe or offered[0] < nfe < offered[1]
        return
    assert steps >= sampler.fewest
    assert sampler.nfe(steps, pairs) == nfe


@pytest.mark.parametrize(
    ("name", "nfe", "message"),
    [
        ("dpm-solver-2", 7, "must be 6 or 8 for sampler 'dpm-solver-2', which takes two evaluations a step, not 7"),
        ("dpm-solver-2", 1, "must be at least 2 for"),
        ("ssd-teacher", 4, "must be 3 or 5 for sampler 'ssd-teacher', which takes one evaluation a timestep and one a"),
        ("dopri5", 12, "must be 0 or left out for sampler 'dopri5', which takes as many evaluations as its tolerances"),
        ("plms-prk", 12, "must be at least 13 for sampler 'plms-prk', which takes one evaluation a step and nine more"),
    ],
)  # fmt: skip
def test_evaluations_that_no_steps_take(name: str, nfe: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SAMPLERS[name].steps(nfe)


def test_a_declaration_that_contradicts_itself_is_told() -> None:
    stuck = replace(SAMPLERS["ddim"], name="stuck", evaluations=lambda steps: 3)
    assert stuck.steps(3) == 1
    with pytest.raises(InputError, match="'stuck': 2 steps take 3 evaluations and 1 take 3: expected more"):
        stuck.steps(5)
    with pytest.raises(InputError, match="'heun' is not for models that predict eps"):
        SAMPLERS["heun"].function("eps")
    assert NONE.predictions == ()


def test_declarations_do_without_torch() -> None:
    code = (
        "import sys; from ssdbench.samplers import SAMPLERS, GRIDS; import ssdbench.samplers.walks;"
        "list(SAMPLERS), list(GRIDS); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
