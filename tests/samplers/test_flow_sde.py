"""Euler-Maruyama on a flow: weak convergence on Gaussian data, and SiT's and REPA's updates by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted, Denoiser
from ssdbench.diffusion.noise import normal
from ssdbench.errors import InputError
from ssdbench.samplers.ddim import euler
from ssdbench.samplers.sde import DIFFUSIONS, euler_maruyama
from tests.samplers.gaussian import (
    LABELS,
    MEAN,
    VARIANCE,
    centred,
    level_variance,
    orders,
    repa_velocity,
    sde_times,
    sit_velocity,
    uniform_times,
)

DIRECTIONS = [(sit_velocity, (0.0, 1.0)), (repa_velocity, (1.0, 0.0))]


def moments(velocity: Denoiser, times: list[float], diffusion: str) -> tuple[float, float]:
    """The exact mean and variance where the last evaluation is made.

    The sampler is linear in its noises. Without them, x is the mean; given as unit vectors to centred data, they make
    x the coefficients whose squares add up to the variance.
    """
    seen: list[Tensor] = []

    def watched(inner: Denoiser) -> Denoiser:
        def watch(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
            seen.append(x)
            return inner(x, t, cond)

        return watch

    n = len(times) - 1
    unit = torch.eye(n, dtype=torch.float64).unsqueeze(-1)
    cond = torch.zeros(n, dtype=torch.int64)
    none = torch.zeros(1, 1, dtype=torch.float64)
    euler_maruyama(watched(velocity), none, times, cond[:1], noise=lambda i: none, diffusion=diffusion)
    mean = float(seen[-1])
    euler_maruyama(
        watched(centred(velocity)), unit[0], times, cond, noise=lambda i: unit[i + 1], diffusion=diffusion
    )
    return mean, float(seen[-1].square().sum())


@pytest.mark.parametrize(("velocity", "ends"), DIRECTIONS)
@pytest.mark.parametrize("diffusion", sorted(DIFFUSIONS))
def test_the_mean_is_exact_and_the_variance_converges_in_first_order(
    diffusion: str, velocity: Denoiser, ends: tuple[float, float]
) -> None:
    # To the noise level 0.1, since what is beyond it is one step whatever their number.
    errors = []
    for n in (40, 80, 160):
        mean, variance = moments(velocity, sde_times(n + 1, *ends, last=0.1), diffusion)
        assert mean == pytest.approx(0.9 * MEAN, rel=1e-12)  # which moves along a straight line
        errors.append(abs(variance - level_variance(0.1)))
    assert all(0.75 < rate < 1.5 for rate in orders(errors)), (errors, orders(errors))


def test_many_particles_have_the_mean_and_variance_of_the_closed_form() -> None:
    count, level = 40_000, 0.04
    generator = torch.Generator().manual_seed(1)

    def noise(step: int) -> Tensor:
        return torch.randn(count, 1, generator=generator)

    cond = torch.zeros(count, dtype=torch.int64)
    found = euler_maruyama(sit_velocity, noise(-1), sde_times(250, 0.0, 1.0), cond, noise=noise)
    # The last step takes x at the level to E[data | x] - level E[noise | x], both linear in x.
    truth = ((1 - level) * VARIANCE - level**2) ** 2 / level_variance(level)
    assert found.mean().item() == pytest.approx(MEAN, abs=5 * math.sqrt(truth / count))
    assert found.var().item() == pytest.approx(truth, abs=5 * truth * math.sqrt(2 / count))


def test_mirrored_models_give_the_same_samples() -> None:
    x = torch.randn(9, 4, dtype=torch.float64)
    steps = torch.randn(10, 9, 4, dtype=torch.float64)
    sit, repa = (
        euler_maruyama(v, x, sde_times(10, *ends), LABELS, noise=lambda i: steps[i]) for v, ends in DIRECTIONS
    )
    torch.testing.assert_close(sit, repa, rtol=1e-12, atol=1e-12)


def waves(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """Some velocity, of no particular data."""
    return torch.sin(3 * x) + t.reshape(-1, 1)


def test_repa_s_update_by_hand() -> None:
    # dx = (v - t score) dt + sqrt(2 t |dt|) z with dt < 0 and score = ((t - 1) v - x) / t; the last without noise
    x, z = torch.randn(9, 4, dtype=torch.float64), torch.randn(7, 9, 4, dtype=torch.float64)
    found = euler_maruyama(waves, x, sde_times(8, 1.0, 0.0), LABELS, noise=lambda i: z[i])
    times = [*torch.linspace(1.0, 0.04, 8, dtype=torch.float64).tolist(), 0.0]
    for i, (t, t_next) in enumerate(zip(times, times[1:], strict=False)):
        v = waves(x, torch.full((9,), t, dtype=torch.float64), LABELS)
        score = ((t - 1) * v - x) / t
        x = x + (v - t * score) * (t_next - t)
        if t_next > 0:
            x = x + math.sqrt(2 * t * (t - t_next)) * z[i]
    torch.testing.assert_close(found, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("diffusion", "form"),
    [
        ("sigma", lambda t: 1 - t),
        ("constant", lambda t: 1.0),
        ("decreasing", lambda t: 0.25 * (math.cos(math.pi * t) + 1) ** 2),
        ("increasing-decreasing", lambda t: math.sin(math.pi * t) ** 2),
    ],
)
def test_sit_s_update_by_hand(diffusion: str, form: Callable[[float], float]) -> None:
    # dx = (v + w score) dt + sqrt(2 w dt) z with score = (t v - x) / (1 - t); the last step of 0.04 is the mean
    x, z = torch.randn(9, 4, dtype=torch.float64), torch.randn(7, 9, 4, dtype=torch.float64)
    found = euler_maruyama(
        waves, x, sde_times(8, 0.0, 1.0), LABELS, noise=lambda i: z[i], diffusion=diffusion
    )
    times = torch.linspace(0.0, 0.96, 8, dtype=torch.float64).tolist()
    for i, t in enumerate(times):
        v = waves(x, torch.full((9,), t, dtype=torch.float64), LABELS)
        w, dt = form(t), times[1] if i < 7 else 0.04
        x = x + (v + w * (t * v - x) / (1 - t)) * dt
        if i < 7:
            x = x + math.sqrt(2 * w * dt) * z[i]
    torch.testing.assert_close(found, x, rtol=1e-10, atol=1e-10)


def test_evaluations_noises_and_rows() -> None:
    asked: list[int] = []

    def run(rows: range) -> Tensor:
        def noise(step: int) -> Tensor:
            asked.append(step)
            return normal((3,), 7, f"step/{step}", rows)

        counted = Counted(sit_velocity)
        times = sde_times(10, 0.0, 1.0)
        out = euler_maruyama(counted, normal((3,), 7, "start", rows), times, LABELS[: len(rows)], noise=noise)
        counted.expect(10)
        return out

    whole = run(range(6))
    assert asked == list(range(9))
    torch.testing.assert_close(torch.cat([run(range(2)), run(range(2, 6))]), whole, rtol=1e-6, atol=1e-6)


def test_without_diffusion_it_would_be_the_ode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIFFUSIONS, "none", lambda level: 0.0)
    x, times = torch.randn(9, 4), uniform_times(6, 1.0, 0.0)
    found = euler_maruyama(repa_velocity, x, times, LABELS, noise=lambda i: x, diffusion="none")
    torch.testing.assert_close(found, euler(repa_velocity, x, times, LABELS))


def test_what_it_does_not_take() -> None:
    x = torch.randn(2, 3)
    with pytest.raises(InputError, match=r"unknown diffusion 'SBDM'; known: sigma, constant"):
        euler_maruyama(waves, x, [0.0, 1.0], LABELS[:2], noise=lambda i: x, diffusion="SBDM")
    with pytest.raises(InputError, match=r"span at most 1, not 999 to 0"):
        euler_maruyama(waves, x, [999, 0], LABELS[:2], noise=lambda i: x)
