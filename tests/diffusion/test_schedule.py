import math

import pytest
import torch
from diffusers import DDIMScheduler

from ssdbench.diffusion.schedule import add_noise, alphas_cumprod, ddim_step, midpoint_lambda
from ssdbench.samplers.walks import timesteps


def test_alphas_agree_with_diffusers() -> None:
    scheduler = DDIMScheduler(beta_start=1e-4, beta_end=2e-2, beta_schedule="linear")
    torch.testing.assert_close(alphas_cumprod().float(), scheduler.alphas_cumprod, rtol=1e-5, atol=1e-8)


def test_eq12_weights_on_the_ten_step_grid() -> None:
    grid, alphas = timesteps("even", 10), alphas_cumprod()
    found = [midpoint_lambda(alphas, grid[i], grid[i - 1]) for i in range(1, 10)]
    expected = [0.8691, 0.5611, 0.5156, 0.4943, 0.4844, 0.4814, 0.4819, 0.4835, 0.4853]
    assert found == pytest.approx(expected, abs=5e-5)


def test_a_ddim_step_with_the_true_noise_lands_on_the_forward_process() -> None:
    x0, eps = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64)
    moved = ddim_step(add_noise(x0, eps, 0.2), eps, 0.2, 0.7)
    torch.testing.assert_close(moved, add_noise(x0, eps, 0.7))


def test_steps_with_one_level_a_sample_equal_steps_of_single_samples() -> None:
    x, eps = torch.randn(2, 3, 2, 4, 4)
    start, end = (
        torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64),
        torch.tensor([0.3, 0.4, 1.0], dtype=torch.float64),
    )
    together = ddim_step(x, eps, start, end)
    for i in range(3):
        alone = ddim_step(x[i : i + 1], eps[i : i + 1], float(start[i]), float(end[i]))
        torch.testing.assert_close(together[i : i + 1], alone)
    torch.testing.assert_close(together[1], x[1])  # a step to the same level is the identity


def test_noise_keeps_unit_variance() -> None:
    x0, eps = torch.randn(2, 20_000)
    assert math.isclose(add_noise(x0, eps, 0.37).std(), 1.0, rel_tol=0.02)
