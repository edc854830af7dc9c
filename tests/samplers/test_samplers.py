"""Samplers against the published code's samples, an ODE with a known solution, and another library."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted, Guided, Prediction
from ssdbench.diffusion.schedule import alphas_cumprod, ddim_step
from ssdbench.models.checkpoint import load_dit
from ssdbench.models.shapes import DiTShape
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.multistep import ab2
from ssdbench.samplers.teacher import ssd_teacher
from ssdbench.samplers.walks import end_of, timesteps
from tests.samplers.gaussian import exact_eps, exact_flow

GOLDEN = Path(__file__).parent.parent / "golden"
GOLDEN_SHAPE = DiTShape(width=48, depth=3, heads=4, input_size=8, num_classes=10)


@pytest.mark.parametrize(
    ("name", "grid", "n"),
    [("10", "even", 10), ("4", "even", 4), ("25", "even", 25), ("ddim20", "leading", 20)],
)
def test_ddim_equals_the_published_sampler(name: str, grid: str, n: int) -> None:
    golden = np.load(GOLDEN / "dit_forward_and_ddim.npz")
    model = load_dit(GOLDEN / "dit_official_layout.pt", GOLDEN_SHAPE)
    steps = timesteps(grid, n)
    assert steps == golden[f"grid_{name}"].tolist()
    guided = Prediction(Guided(model, model.null, scale=1.5, channels=3))
    with torch.no_grad():
        found = ddim(
            guided, torch.from_numpy(golden["z"]), steps, alphas_cumprod(), torch.from_numpy(golden["labels"])
        )
    expected = torch.from_numpy(golden[f"ddim_{name}"])
    # The random model's samples reach +-500, so the distance is relative to that.
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_ddim_reaches_the_exact_flow() -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1)
    found = ddim(exact_eps, x, timesteps("even", 1000), alphas_cumprod(), torch.zeros(9, dtype=torch.int64))
    torch.testing.assert_close(found, exact_flow(x, 999, -1), rtol=5e-3, atol=0)


@pytest.mark.parametrize(
    ("grid", "spacing", "offset", "to_one"), [("trailing", "trailing", 0, True), ("sd", "leading", 1, False)]
)
def test_ddim_agrees_with_diffusers_where_its_steps_are_right(
    grid: str, spacing: str, offset: int, to_one: bool
) -> None:
    # diffusers steps to t - T // N, which is the next grid point for these two when N divides T.
    scheduler = DDIMScheduler(
        beta_start=1e-4,
        beta_end=2e-2,
        beta_schedule="linear",
        timestep_spacing=spacing,
        steps_offset=offset,
        set_alpha_to_one=to_one,
        clip_sample=False,
    )
    scheduler.set_timesteps(10)
    x = torch.randn(4, 3, dtype=torch.float64)
    cond = torch.zeros(4, dtype=torch.int64)
    expected = x
    for t in scheduler.timesteps:
        expected = scheduler.step(exact_eps(expected, t.expand(4), cond), int(t), expected).prev_sample
    found = ddim(exact_eps, x, timesteps(grid, 10), alphas_cumprod(), cond, end_of(grid))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_teacher_of_eq_5_by_hand() -> None:
    grid, alphas = [0, 300, 600, 900], alphas_cumprod()
    x, cond = torch.randn(3, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.int64)
    counted = Counted(exact_eps)
    found = ssd_teacher(counted, x, grid, alphas, cond, pairs=[2, 3], lam=0.3)
    counted.expect(6)
    expected = x
    for s, t, mixed in ((900, 600, True), (600, 300, True), (300, 0, False), (0, -1, False)):
        a_s, a_t = float(alphas[s]), 1.0 if t < 0 else float(alphas[t])
        eps = exact_eps(expected, torch.full((3,), s), cond)
        if mixed:
            ahead = ddim_step(expected, eps, a_s, a_t)
            eps = 0.7 * eps + 0.3 * exact_eps(ahead, torch.full((3,), t), cond)
        expected = ddim_step(expected, eps, a_s, a_t)
    torch.testing.assert_close(found, expected)
    plain = ssd_teacher(exact_eps, x, grid, alphas, cond, pairs=[], lam=0.3)
    torch.testing.assert_close(plain, ddim(exact_eps, x, grid, alphas, cond))


def test_adams_bashforth_is_exact_where_eps_is_linear_in_time() -> None:
    # With eps = t (whatever x), the extrapolated value of each step is eps at the middle of it.
    seen: list[float] = []

    def linear(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return t.to(x.dtype).reshape(-1, 1).expand_as(x)

    grid, alphas = [100, 250, 400, 700], alphas_cumprod()
    x = ab2(linear, torch.zeros(1, 1, dtype=torch.float64), grid, alphas, torch.zeros(1, dtype=torch.int64))
    expected = torch.zeros(1, 1, dtype=torch.float64)
    ends = [(700, 400, 700.0), (400, 250, 325.0), (250, 100, 175.0), (100, -1, 100 - 101 / 2)]
    for t, t_next, value in ends:
        a_next = 1.0 if t_next < 0 else float(alphas[t_next])
        expected = ddim_step(expected, torch.full_like(expected, value), float(alphas[t]), a_next)
        seen.append(value)
    torch.testing.assert_close(x, expected)
