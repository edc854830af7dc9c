"""DPM-Solver++, UniPC, DEIS, EDM and the analytic first step, against closed forms and each other."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted
from ssdbench.diffusion.schedule import alphas_cumprod, ddim_step, timestep_at
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.heun import edm, edm_sde
from ssdbench.samplers.multistep import deis
from ssdbench.samplers.walks import timesteps
from tests.samplers.gaussian import LABELS, VARIANCE, exact_eps, exact_flow, grid_of, smooth_eps

ALPHAS = alphas_cumprod()
X = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1)


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
