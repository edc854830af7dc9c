"""The flow's ODE in both directions: orders of convergence, tolerances, evaluations."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import RK45, solve_ivp
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted, Denoiser
from ssdbench.errors import InputError, NotFinite, SsdbenchError
from ssdbench.samplers import dopri5 as adaptive
from ssdbench.samplers.ddim import euler
from ssdbench.samplers.dopri5 import dopri5
from ssdbench.samplers.heun import heun
from tests.samplers.gaussian import LABELS, MEAN, VARIANCE, orders, repa_velocity, sit_velocity, uniform_times

X = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1)
TRUTH = MEAN + math.sqrt(VARIANCE) * X
DIRECTIONS = [(sit_velocity, (0.0, 1.0)), (repa_velocity, (1.0, 0.0))]


@pytest.mark.parametrize(("velocity", "ends"), DIRECTIONS)
@pytest.mark.parametrize(
    ("sampler", "order"),
    [(euler, 1), (heun, 2), (lambda *a: heun(*a, last="euler"), 2)],
    ids=["euler", "heun", "heun-euler"],
)
def test_orders_of_convergence(
    sampler: Any, order: int, velocity: Denoiser, ends: tuple[float, float]
) -> None:
    errors = []
    for n in (20, 40, 80):
        found = sampler(velocity, X, uniform_times(n, *ends), LABELS)
        errors.append((found - TRUTH).abs().max().item())
    assert all(order - 0.25 < rate < order + 0.5 for rate in orders(errors)), (errors, orders(errors))


@pytest.mark.parametrize("sampler", [euler, heun, dopri5])
def test_mirrored_models_give_the_same_samples(sampler: Any) -> None:
    sit, repa = (sampler(v, X, uniform_times(8, *ends), LABELS) for v, ends in DIRECTIONS)
    torch.testing.assert_close(sit, repa, rtol=1e-12, atol=1e-12)


def test_heun_with_a_last_step_of_euler_saves_one_evaluation() -> None:
    counted = Counted(repa_velocity)
    heun(counted, X, uniform_times(5, 1.0, 0.0), LABELS, last="euler")
    counted.expect(9)


@pytest.mark.parametrize("times", [[], [0.5], [0.0, 0.5, 0.5, 1.0], [0.0, 0.7, 0.3, 1.0]])
@pytest.mark.parametrize("sampler", [euler, heun, dopri5])
def test_times_that_stand_still_or_turn_back(sampler: Any, times: list[float]) -> None:
    with pytest.raises(InputError, match="must run one way"):
        sampler(sit_velocity, X, times, LABELS)


def test_the_time_is_of_the_sample_s_precision_and_device() -> None:
    seen: list[Tensor] = []

    def watch(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        seen.append(t)
        return torch.zeros_like(x)

    for dtype, expected in (
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
    ):
        for sampler in (euler, dopri5):
            out = sampler(watch, torch.ones(3, 2, dtype=dtype), [1.0, 0.0], LABELS[:3])
            assert out.dtype == dtype
            assert seen.pop().dtype == expected
    assert seen[0].shape == (3,)


@pytest.mark.parametrize("sampler", [euler, heun, dopri5])
def test_a_sample_does_not_depend_on_its_batch(sampler: Any) -> None:
    times = uniform_times(6, 0.0, 1.0)
    whole = sampler(sit_velocity, X, times, LABELS)
    parts = [sampler(sit_velocity, X[i:j], times, LABELS[i:j]) for i, j in ((0, 1), (1, 6), (6, 9))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-13, atol=1e-13)


def test_dormand_prince_s_coefficients_are_scipy_s() -> None:
    stages = adaptive._STAGES
    for i, row in enumerate(stages[:-1]):
        assert row == pytest.approx(RK45.A[i + 1, : i + 1], rel=1e-15)
    assert stages[-1] == pytest.approx(RK45.B, rel=1e-15)
    assert adaptive._NODES[:-1] == pytest.approx(RK45.C[1:], rel=1e-15)
    assert np.asarray(adaptive._ERROR) == pytest.approx(-RK45.E, rel=1e-13)


@pytest.mark.parametrize(("velocity", "ends"), DIRECTIONS)
@pytest.mark.parametrize("control", ["sample", "batch"])
def test_dopri5_meets_its_tolerance_at_a_cost_like_scipy_s(
    velocity: Denoiser, ends: tuple[float, float], control: Any
) -> None:
    used = []
    for rtol in (1e-3, 1e-6, 1e-9):
        counted = Counted(velocity)
        found = dopri5(
            counted, X, [*ends], LABELS, atol=1e-3 * rtol, rtol=rtol, control=control
        )  # local errors add up over some steps
        assert (found - TRUTH).abs().max() < 20 * rtol
        assert (counted.nfe - 2) % 6 == 0
        used.append(counted.nfe)
        theirs = solve_ivp(
            lambda t, x: (
                velocity(torch.from_numpy(x).reshape(-1, 1), torch.tensor([t]), LABELS).flatten().numpy()
            ),
            ends,
            X.flatten().numpy(),
            rtol=rtol,
            atol=1e-3 * rtol,
        ).nfev
        assert 0.5 * theirs <= counted.nfe <= 1.5 * theirs + 6
    assert used == sorted(used)


def bumpy(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """d/dt of sin(cond t): the higher cond, the shorter the steps must be."""
    c = cond.to(x.dtype)
    return (c * torch.cos(c * t)).reshape(-1, 1).expand_as(x)


def test_each_sample_of_dopri5_has_steps_of_its_own() -> None:
    cond = torch.tensor([1, 40, 7, 3])
    x = torch.zeros(4, 2, dtype=torch.float64)
    together = Counted(bumpy)
    found = dopri5(together, x, [0.0, 1.0], cond, rtol=1e-6)
    torch.testing.assert_close(found, torch.sin(cond.double()).reshape(-1, 1).expand(4, 2), rtol=0, atol=1e-4)
    alone = [Counted(bumpy) for _ in cond]
    for i, counted in enumerate(alone):
        single = dopri5(counted, x[i : i + 1], [0.0, 1.0], cond[i : i + 1], rtol=1e-6)
        torch.testing.assert_close(single, found[i : i + 1], rtol=1e-13, atol=1e-13)
    assert together.nfe == max(counted.nfe for counted in alone) > 2 * min(c.nfe for c in alone)
    batch = Counted(bumpy)
    dopri5(batch, x[:1], [0.0, 1.0], cond[:1], rtol=1e-6, control="batch")
    batch.expect(alone[0].nfe)


def test_samples_that_have_arrived_are_evaluated_no_more() -> None:
    rows: list[int] = []

    def watch(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        rows.append(len(x))
        return bumpy(x, t, cond)

    dopri5(watch, torch.zeros(2, 1), [0.0, 1.0], torch.tensor([1, 40]))
    assert rows[0] == 2
    assert rows[-1] == 1


def test_dopri5_says_why_it_cannot_go_on() -> None:
    with pytest.raises(InputError, match=r"positive tolerances, not atol 0.0 and"):
        dopri5(sit_velocity, X, [0.0, 1.0], LABELS, atol=0.0)
    with pytest.raises(NotFinite, match="not finite"):
        dopri5(lambda x, t, c: x / 0.0, X, [0.0, 1.0], LABELS)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(SsdbenchError, match="no step meets"):
        dopri5(
            lambda x, t, c: torch.randn(x.shape, dtype=x.dtype, generator=generator),
            X,
            [0.0, 1.0],
            LABELS,
            atol=1e-12,
            rtol=1e-12,
        )
