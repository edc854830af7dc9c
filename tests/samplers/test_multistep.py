"""PLMS and the DPM-Solvers against polynomials, the Gaussian flow and diffusers."""

from typing import Any

import pytest
import torch
from diffusers import DPMSolverSinglestepScheduler, PNDMScheduler
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted
from ssdbench.diffusion.schedule import alphas_cumprod, ddim_step, midpoint
from ssdbench.errors import InputError
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.dpm_solver import dpm_solver_1, dpm_solver_2
from ssdbench.samplers.multistep import ab2, plms
from ssdbench.samplers.walks import end_of, timesteps
from tests.samplers.gaussian import LABELS, exact_eps, exact_flow, grid_of, orders, smooth_eps

WARMUPS = ["orders", "heun", "prk"]


def test_runge_kutta_and_adams_bashforth_are_exact_where_eps_is_a_cubic_in_time() -> None:
    # Simpson's rule, which Runge-Kutta is where eps does not depend on x, and four values both carry a cubic.
    coefficients = (0.3, -1.1, 0.7, 0.9)

    def cubic(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        u = t.to(x.dtype).reshape(-1, 1) / 500
        return sum((c * u**k for k, c in enumerate(coefficients)), torch.zeros_like(x))

    def mean(a: float, b: float) -> float:
        a, b = a / 500, b / 500
        return sum(
            c * (b ** (k + 1) - a ** (k + 1)) / ((k + 1) * (b - a)) for k, c in enumerate(coefficients)
        )

    grid, alphas = [3, 40, 111, 300, 420, 700, 800, 900], alphas_cumprod()
    x = torch.tensor([[0.4]], dtype=torch.float64)
    found = plms(cubic, x, grid, alphas, LABELS[:1], warmup="prk")
    expected = x
    for t, t_next in zip(grid[::-1], [*grid[-2::-1], -1], strict=True):
        a_next = 1.0 if t_next < 0 else float(alphas[t_next])
        expected = ddim_step(expected, torch.full_like(x, mean(t, t_next)), float(alphas[t]), a_next)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("warmup", WARMUPS)
def test_plms_is_of_second_order_and_more_exact_than_ab2(warmup: Any) -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1)
    errors, of_ab2 = [], []
    for stride in (
        8,
        4,
        2,
    ):  # at larger ones its errors, smaller than ab2's by far, have not settled to an order
        grid = grid_of(stride)
        truth = exact_flow(x, grid[-1], grid[0])
        found = plms(exact_eps, x, grid[1:], alphas_cumprod(), LABELS, grid[0], warmup=warmup)
        errors.append((found - truth).abs().max().item())
        found = ab2(exact_eps, x, grid[1:], alphas_cumprod(), LABELS, grid[0])
        of_ab2.append((found - truth).abs().max().item())
    assert all(1.75 < order < 2.75 for order in orders(errors)), (errors, orders(errors))
    assert all(10 * a < b for a, b in zip(errors, of_ab2, strict=True))


@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize(("warmup", "skip"), [("heun", True), ("prk", False)])
@pytest.mark.parametrize(("grid", "spacing", "offset"), [("trailing", "trailing", 0), ("sd", "leading", 1)])
def test_plms_agrees_with_diffusers(
    grid: str, spacing: str, offset: int, warmup: Any, skip: bool, n: int
) -> None:
    scheduler = PNDMScheduler(
        beta_start=1e-4,
        beta_end=2e-2,
        beta_schedule="linear",
        timestep_spacing=spacing,
        steps_offset=offset,
        skip_prk_steps=skip,
        set_alpha_to_one=True,
    )
    scheduler.alphas_cumprod = alphas_cumprod()
    scheduler.set_timesteps(n)
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = [x]
    for t in scheduler.timesteps:
        eps = exact_eps(expected[-1], t.expand(4), LABELS[:4])
        expected.append(scheduler.step(eps, int(t), expected[-1]).prev_sample)
    assert len(scheduler.timesteps) == n + {"heun": 1, "prk": 9}[warmup]
    path = timesteps(grid, n)
    inputs: list[Tensor] = []

    def watch(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        inputs.append(x)
        return exact_eps(x, t, cond)

    found = plms(watch, x, path, alphas_cumprod(), LABELS[:4], end_of(grid), warmup=warmup)
    # diffusers gives its last step the weights of a whole stride even where, as on "sd", it is one timestep long.
    torch.testing.assert_close(inputs[-1], expected[-2], rtol=1e-5, atol=1e-5)
    if grid == "trailing":
        torch.testing.assert_close(found, expected[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("warmup", "further", "fewest"), [("orders", 0, 1), ("heun", 1, 2), ("prk", 9, 4)])
def test_what_a_warmup_costs(warmup: Any, further: int, fewest: int) -> None:
    declared = SAMPLERS["plms" if warmup == "orders" else f"plms-{warmup}"]
    for n in range(fewest, 12):
        counted = Counted(exact_eps)
        plms(
            counted, torch.randn(2, 3), timesteps("trailing", n), alphas_cumprod(), LABELS[:2], warmup=warmup
        )
        assert counted.nfe == n + further
        assert declared.timesteps(n + further) == n
    with pytest.raises(InputError, match=f"at least {fewest + further} "):
        declared.steps(fewest + further - 1)
    if fewest > 1:
        with pytest.raises(InputError, match=f"needs at least {fewest} timesteps, not {fewest - 1}"):
            plms(
                exact_eps,
                torch.randn(2, 3),
                [0, 500, 999][: fewest - 1],
                alphas_cumprod(),
                LABELS[:2],
                warmup=warmup,
            )


def test_dpm_solver_1_is_ddim_without_its_last_step() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    grid, alphas = timesteps("even", 11), alphas_cumprod()
    counted = Counted(exact_eps)
    found = dpm_solver_1(counted, x, grid, alphas, LABELS[:4])
    counted.expect(10)
    last = ddim_step(
        found, exact_eps(found, torch.full((4,), grid[0]), LABELS[:4]), float(alphas[grid[0]]), 1.0
    )
    torch.testing.assert_close(last, ddim(exact_eps, x, grid, alphas, LABELS[:4]))


@pytest.mark.parametrize("order", [1, 2])
def test_dpm_solvers_agree_with_diffusers(order: int) -> None:
    # diffusers rounds the intermediate timesteps of its own grids, so it is given ours.
    grid, alphas = timesteps("even", 6), alphas_cumprod()
    levels: list[tuple[float, float]] = []
    for s, t in zip(grid[:0:-1], grid[-2::-1], strict=True):
        levels.append((float(s), float(alphas[s])))
        if order == 2:
            levels.append(midpoint(alphas, s, t))
    signal = torch.tensor([a for _, a in levels] + [float(alphas[grid[0]])], dtype=torch.float64)
    scheduler = DPMSolverSinglestepScheduler(
        solver_order=order,
        algorithm_type="dpmsolver",
        lower_order_final=False,
        final_sigmas_type="sigma_min",
    )
    scheduler.set_timesteps(len(levels))
    scheduler.sigmas = ((1 - signal) / signal).sqrt()
    scheduler.timesteps = torch.tensor([t for t, _ in levels], dtype=torch.float64)
    scheduler.set_begin_index(0)
    x = torch.randn(4, 3, dtype=torch.float64)
    expected = x
    for t in scheduler.timesteps:
        eps = smooth_eps(expected, t.expand(4), LABELS[:4])
        expected = scheduler.step(eps, t, expected).prev_sample
    sampler = dpm_solver_1 if order == 1 else dpm_solver_2
    found = sampler(smooth_eps, x, grid, alphas, LABELS[:4])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_dpm_solver_1_agrees_with_diffusers_own_grid() -> None:
    scheduler = DPMSolverSinglestepScheduler(
        solver_order=1,
        algorithm_type="dpmsolver",
        final_sigmas_type="sigma_min",
        beta_start=1e-4,
        beta_end=2e-2,
        beta_schedule="linear",
    )
    scheduler.set_timesteps(10)
    grid = timesteps("even", 11)
    assert scheduler.timesteps.tolist() == grid[:0:-1]
    x = torch.randn(4, 3, dtype=torch.float64)
    expected = x
    for t in scheduler.timesteps:
        expected = scheduler.step(exact_eps(expected, t.expand(4), LABELS[:4]), int(t), expected).prev_sample
    found = dpm_solver_1(exact_eps, x, grid, alphas_cumprod(), LABELS[:4])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
