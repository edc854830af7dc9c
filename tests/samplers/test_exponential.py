"""DPM-Solver++, UniPC, DEIS, EDM and the analytic first step, against diffusers, closed forms and each other."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    UniPCMultistepScheduler,
)
from scipy.integrate import quad
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted
from ssdbench.diffusion.schedule import alphas_cumprod, ddim_step, midpoint, timestep_at
from ssdbench.errors import InputError
from ssdbench.samplers import SAMPLERS, Sampler
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.deis import deis
from ssdbench.samplers.heun import edm, edm_sde
from ssdbench.samplers.walks import timesteps
from tests.samplers.gaussian import LABELS, VARIANCE, exact_eps, exact_flow, grid_of, smooth_eps

ALPHAS = alphas_cumprod()
X = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1)


def scheduled(scheduler: Any, levels: list[tuple[float, float]]) -> list[Tensor]:
    """What diffusers evaluates the denoiser at, along (timestep, alphas_cumprod) of ours, and its sample."""
    scheduler.set_timesteps(len(levels))
    signal = torch.tensor([a for _, a in levels], dtype=torch.float64)
    scheduler.sigmas = torch.cat([((1 - signal) / signal).sqrt(), scheduler.sigmas[-1:].double()])
    scheduler.timesteps = torch.tensor([t for t, _ in levels], dtype=torch.float64)
    scheduler.set_begin_index(0)
    seen = [X]
    for t in scheduler.timesteps:
        eps = smooth_eps(seen[-1], t.expand(9), LABELS)
        seen.append(scheduler.step(eps, t, seen[-1]).prev_sample)
    return seen


@pytest.mark.parametrize("n", [4, 8, 14])
@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("dpm-solver++-2m", DPMSolverMultistepScheduler(solver_order=2, final_sigmas_type="zero")),
        ("dpm-solver++-3m", DPMSolverMultistepScheduler(solver_order=3, final_sigmas_type="zero")),
        ("unipc", UniPCMultistepScheduler(solver_order=2)),
        ("unipc-bh1", UniPCMultistepScheduler(solver_order=2, solver_type="bh1")),
        ("unipc-3", UniPCMultistepScheduler(solver_order=3)),
        ("unipc-3-bh1", UniPCMultistepScheduler(solver_order=3, solver_type="bh1")),
        ("deis-log-rho", DEISMultistepScheduler(solver_order=3)),
    ],
)
def test_multistep_solvers_agree_with_diffusers(name: str, scheduler: Any, n: int) -> None:
    grid = timesteps("even", n)
    expected = scheduled(scheduler, [(float(t), float(ALPHAS[t])) for t in reversed(grid)])
    seen: list[Tensor] = []

    def watch(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        seen.append(x)
        return smooth_eps(x, t, cond)

    seen.append(SAMPLERS[name].function("eps")(watch, X, grid, ALPHAS, LABELS))
    assert len(seen) == n + 1
    # diffusers' DEIS ends at timestep 0, and its UniPC with B(h) = h multiplies infinity by 0 in the last step.
    whole = name not in ("deis-log-rho", "unipc-bh1", "unipc-3-bh1")
    torch.testing.assert_close(seen[: n + whole], expected[: n + whole], rtol=1e-5, atol=1e-6)
    assert seen[-1].isfinite().all()


def test_the_singlestep_solver_agrees_with_diffusers() -> None:
    grid, levels = timesteps("even", 6), []
    for s, t in zip(grid[:0:-1], grid[-2::-1], strict=True):
        levels += [(float(s), float(ALPHAS[s])), midpoint(ALPHAS, s, t)]
    scheduler = DPMSolverSinglestepScheduler(
        solver_order=2, lower_order_final=False, final_sigmas_type="sigma_min"
    )
    scheduler.set_timesteps(len(levels))
    signal = torch.tensor([a for _, a in levels] + [float(ALPHAS[grid[0]])], dtype=torch.float64)
    scheduler.sigmas = ((1 - signal) / signal).sqrt()
    scheduler.timesteps = torch.tensor([t for t, _ in levels], dtype=torch.float64)
    scheduler.set_begin_index(0)
    expected = X
    for t in scheduler.timesteps:
        expected = scheduler.step(smooth_eps(expected, t.expand(9), LABELS), t, expected).prev_sample
    found = SAMPLERS["dpm-solver++-2s"].function("eps")(smooth_eps, X, grid, ALPHAS, LABELS)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("third", "second"), [("dpm-solver++-3m", "dpm-solver++-2m"), ("ipndm-3", "ab2")])
@pytest.mark.parametrize("stride", [48, 24, 12])
def test_a_third_order_is_more_exact_than_the_second(third: str, second: str, stride: int) -> None:
    grid = grid_of(stride)
    truth = exact_flow(X, grid[-1], grid[0])
    errors = [
        (SAMPLERS[name].function("eps")(smooth_eps, X, grid[1:], ALPHAS, LABELS, grid[0]) - truth).abs().max()
        for name in (third, second)
    ]
    assert 2 * errors[0] < errors[1]


SOLVERS = [
    name
    for name, sampler in SAMPLERS.items()
    if sampler.eps
    and not (sampler.stochastic or sampler.adaptive or sampler.follows_pairs or sampler.extrapolates)
]


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_is_as_exact_as_ddim_with_as_many_evaluations(name: str) -> None:
    def error(sampler: Sampler, nfe: int) -> float:
        n = sampler.steps(nfe)
        walk = [
            round((8**0.5 + (999**0.5 - 8**0.5) * i / n) ** 2) for i in range(n + 1)
        ]  # from the noise to t = 8
        x = X * math.sqrt(float(ALPHAS[999]) * VARIANCE + 1 - float(ALPHAS[999]))
        grid = walk if sampler.to_first else walk[1:]
        found = sampler.function("eps")(smooth_eps, x, grid, ALPHAS, LABELS, walk[0])
        return float((found - exact_flow(x, 999, walk[0])).abs().max())

    sampler = SAMPLERS[name]
    nfe = next((nfe for nfe in (10, 9) if _takes(sampler, nfe)), None)
    if nfe is None:
        pytest.skip("takes more evaluations for its first steps alone")
    assert error(sampler, nfe) <= error(SAMPLERS["ddim"], nfe) * (1 + 1e-9)


def _takes(sampler: Sampler, nfe: int) -> bool:
    try:
        return bool(sampler.steps(nfe))
    except InputError:
        return False


def test_tab_deis_integrates_polynomials_in_the_timestep() -> None:
    # eps = t^2: three values carry it, so that the third step on is exact to the schedule's interpolation.
    log_rho = (0.5 * ((1 - ALPHAS) / ALPHAS).log()).numpy()

    def slope(t: float) -> float:  # of rho, log(rho) linear between timesteps
        low = min(int(t), 998)
        step = log_rho[low + 1] - log_rho[low]
        return float(step * np.exp(log_rho[low] + (t - low) * step))

    def squared(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return (t.double() ** 2).reshape(-1, 1).expand_as(x)

    grid = [120, 160, 230, 300]
    found = deis(squared, torch.zeros(1, 1, dtype=torch.float64), grid[1:], ALPHAS, LABELS[:1], grid[0])
    before = deis(squared, torch.zeros(1, 1, dtype=torch.float64), grid[2:], ALPHAS, LABELS[:1], grid[1])
    y = [float(v / math.sqrt(float(ALPHAS[t]))) for v, t in ((before, 160), (found, 120))]
    expected = sum(quad(lambda t: t**2 * slope(t), k, k + 1)[0] for k in range(120, 160))
    assert y[0] - y[1] == pytest.approx(expected, rel=1e-6)


def test_edm_is_heun_s_method_by_hand() -> None:
    grid = [0, 200, 700]
    x, cond = torch.randn(3, 2, dtype=torch.float64), LABELS[:3]
    counted = Counted(exact_eps)
    found = edm(counted, x, grid, ALPHAS, cond)
    counted.expect(5)
    expected = x
    for s, t in ((700, 200), (200, 0)):
        a, b = float(ALPHAS[s]), float(ALPHAS[t])
        eps = exact_eps(expected, torch.full((3,), s), cond)
        ahead = exact_eps(ddim_step(expected, eps, a, b), torch.full((3,), t), cond)
        expected = ddim_step(expected, (eps + ahead) / 2, a, b)
    expected = ddim_step(expected, exact_eps(expected, torch.full((3,), 0), cond), float(ALPHAS[0]), 1.0)
    torch.testing.assert_close(found, expected)


def test_edm_without_churn_is_the_deterministic_sampler_and_with_it_keeps_the_variance() -> None:
    grid = timesteps("even", 100)

    def noise(step: int) -> Tensor:
        return torch.randn(20_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(step))

    x, cond = noise(100), torch.zeros(20_000, dtype=torch.int64)
    plain = edm(smooth_eps, x, grid, ALPHAS, cond)
    torch.testing.assert_close(edm_sde(smooth_eps, x, grid, ALPHAS, cond, noise=noise, churn=0.0), plain)
    churned = edm_sde(smooth_eps, x, grid, ALPHAS, cond, noise=noise, inflation=1.0)
    assert float(churned.std()) == pytest.approx(VARIANCE**0.5, rel=0.03)
    assert abs(float(torch.corrcoef(torch.stack([churned, plain]).squeeze())[0, 1])) < 0.5


@pytest.mark.parametrize("name", ["ddim", "ab2", "plms", "dpm-solver++-2m", "unipc"])
def test_the_analytic_first_step_is_the_answer_for_normal_data(name: str) -> None:
    # Data of variance 1: the answer is exact, so that the sample is the plain sampler's with one evaluation fewer.
    def normal(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return (1 - ALPHAS[t]).sqrt().to(x.dtype).reshape(-1, 1) * x

    grid = timesteps("even", 6)
    counted = Counted(normal)
    found = SAMPLERS[f"{name}-afs"].function("eps")(counted, X, grid, ALPHAS, LABELS)
    counted.expect(5)
    torch.testing.assert_close(found, SAMPLERS[name].function("eps")(normal, X, grid, ALPHAS, LABELS))


@pytest.mark.parametrize("t", [0, 3, 640, 998, 999])
def test_the_timestep_of_a_level_is_the_schedule_s(t: int) -> None:
    u, signal = timestep_at(ALPHAS, float((ALPHAS[t] / (1 - ALPHAS[t])).log() / 2))
    assert u == pytest.approx(t, abs=1e-9)
    assert signal == pytest.approx(float(ALPHAS[t]), rel=1e-12)
    assert ddim(exact_eps, X, [t], ALPHAS, LABELS).isfinite().all()
