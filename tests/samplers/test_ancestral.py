"""Ancestral sampling against diffusers, and against the exact variances of Gaussian data.

Where the denoiser is linear, a sample is a linear combination of the starting noise and the steps' noises. Those are
given here as unit vectors, so that a "batch" holds the coefficients and its sum of squares is the exact variance.
"""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted, Denoiser, Guided
from ssdbench.diffusion.noise import normal
from ssdbench.diffusion.schedule import alphas_cumprod, linear_betas
from ssdbench.errors import InputError
from ssdbench.models.checkpoint import load_dit
from ssdbench.models.shapes import DiTShape
from ssdbench.samplers.sde import ddpm
from ssdbench.samplers.walks import timesteps
from tests.samplers.gaussian import VARIANCE, exact_eps

GOLDEN = Path(__file__).parent.parent / "golden"
SHAPE = DiTShape(width=48, depth=3, heads=4, input_size=8, num_classes=10)


def with_sigma(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """A learned sigma of every size between the bounds."""
    return torch.cat([exact_eps(x, t, cond), torch.tanh(x + t.reshape(-1, 1) / 500 - 1)], dim=1)


def by_diffusers(
    denoiser: Denoiser, x: Tensor, alphas: Tensor, n: int, variance_type: str, cond: Tensor, seed: int
) -> Tensor:
    scheduler = DDPMScheduler(
        num_train_timesteps=len(alphas),
        variance_type=variance_type,
        clip_sample=False,
        timestep_spacing="leading",
    )
    scheduler.alphas_cumprod = alphas
    scheduler.set_timesteps(n)
    generator = torch.Generator().manual_seed(seed)
    for t in scheduler.timesteps:
        out = denoiser(x, t.expand(len(x)), cond)
        x = scheduler.step(out, int(t), x, generator=generator).prev_sample
    return x


@pytest.mark.parametrize(
    ("denoiser", "variance", "theirs"),
    [
        (exact_eps, "small", "fixed_small"),
        (exact_eps, "large", "fixed_large"),
        (with_sigma, "small", "learned_range"),
    ],
)
@pytest.mark.parametrize(("total", "n"), [(1000, 10), (1000, 50), (40, 40)])
def test_ddpm_agrees_with_diffusers(
    denoiser: Denoiser, variance: Any, theirs: str, total: int, n: int
) -> None:
    # Its steps lead to t - T // N, which is the next timestep of the leading grid when N divides T.
    alphas = alphas_cumprod(linear_betas(total, 1e-4 * 1000 / total, 2e-2 * 1000 / total))
    x, cond = torch.randn(5, 3, dtype=torch.float64), torch.zeros(5, dtype=torch.int64)
    expected = by_diffusers(denoiser, x, alphas, n, theirs, cond, seed=4)
    generator = torch.Generator().manual_seed(4)
    counted = Counted(denoiser)
    found = ddpm(
        counted,
        x,
        list(range(0, total, total // n)),
        alphas,
        cond,
        noise=lambda step: torch.randn(5, 3, dtype=torch.float64, generator=generator),
        variance=variance,
    )
    counted.expect(n)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_guided_dit_samples_with_its_conditional_sigma() -> None:
    model = load_dit(GOLDEN / "dit_official_layout.pt", SHAPE)
    labels = torch.tensor([1, 7])
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def two_branches(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        conditional = model(x, t, cond)
        null = model(x, t, torch.full_like(cond, SHAPE.num_classes))
        return torch.cat([null[:, :3] + 1.5 * (conditional[:, :3] - null[:, :3]), conditional[:, 3:]], dim=1)

    with torch.no_grad():
        expected = by_diffusers(two_branches, x, alphas_cumprod(), 10, "learned_range", labels, seed=2)
        generator = torch.Generator().manual_seed(2)
        found = ddpm(
            Guided(model, model.null, scale=1.5, channels=3),
            x,
            timesteps("leading", 10),
            alphas_cumprod(),
            labels,
            noise=lambda step: torch.randn(x.shape, generator=generator),
        )
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def variances(denoiser: Denoiser, grid: list[int], variance: Any = "small") -> tuple[list[float], float]:
    """The exact variance at each timestep of the grid, from the noisy end, and of the sample."""
    n = len(grid)
    unit = torch.eye(n, dtype=torch.float64).unsqueeze(-1)  # (N noises, N coefficients, 1)
    seen: list[float] = []

    def watch(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        seen.append(float(x.square().sum()))
        return denoiser(x, t, cond)

    a = float(alphas_cumprod()[grid[-1]])
    start = unit[0] * math.sqrt(seen_at(a))
    cond = torch.zeros(n, dtype=torch.int64)
    out = ddpm(
        watch, start, grid, alphas_cumprod(), cond, noise=lambda step: unit[step + 1], variance=variance
    )
    return seen, float(out.square().sum())


def seen_at(a: float, data: float = VARIANCE) -> float:
    return a * data + 1 - a


GRID = [20, 130, 333, 480, 800, 950]


def test_small_is_exact_for_a_single_point() -> None:
    def denoiser(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return x / (1 - alphas_cumprod()[t].reshape(-1, 1)).sqrt()

    a = alphas_cumprod()
    found, last = variances(denoiser, GRID)
    # The start has exact_eps's variance rather than the point's, and each step forgets a part of the difference.
    rest = found[0] - (1 - float(a[GRID[-1]]))
    for t, value in zip(GRID[::-1], found, strict=True):
        kept = float(a[GRID[-1]] / a[t] * ((1 - a[t]) / (1 - a[GRID[-1]])) ** 2)
        assert value == pytest.approx(1 - float(a[t]) + kept * rest, rel=1e-10)
    assert last == pytest.approx(0.0, abs=1e-12)


def test_large_is_exact_for_standard_normal_data() -> None:
    def denoiser(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return (1 - alphas_cumprod()[t].reshape(-1, 1)).sqrt() * x

    found, _ = variances(denoiser, GRID, "large")
    # Each step keeps the share (1 - beta) of what the start lacks to 1, so a_start / a_t of it is left at t.
    a = alphas_cumprod()
    for t, value in zip(GRID[::-1], found, strict=True):
        assert value == pytest.approx(1 - float(a[GRID[-1]] / a[t]) * (1 - found[0]), rel=1e-10)


def test_the_right_learned_sigma_keeps_every_variance_of_gaussian_data() -> None:
    alphas = alphas_cumprod()

    def ideal(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        # Var(x_next | x_t), of two Gaussians of which the second is sqrt(1 - beta) times the first and noise
        here = int(t[0])
        a, b = float(alphas[here]), float(alphas[max(GRID[0], max((g for g in GRID if g < here), default=0))])
        beta = 1 - a / b
        variance = seen_at(b) * beta / seen_at(a) if here > GRID[0] else beta
        low = math.log(beta * (1 - b) / (1 - a)) if here > GRID[0] else 0.0
        v = 2 * (math.log(variance) - low) / (math.log(beta) - low) - 1 if here > GRID[0] else 0.0
        assert -1 <= v <= 1
        return torch.cat([exact_eps(x, t, cond), torch.full_like(x, v)], dim=1)

    found, last = variances(ideal, GRID)
    for t, value in zip(GRID[::-1], found, strict=True):
        assert value == pytest.approx(seen_at(float(alphas[t])), rel=1e-10)
    a = float(alphas[GRID[0]])
    assert last == pytest.approx(a * VARIANCE**2 / seen_at(a), rel=1e-10)  # of E[x_0 | x_t]


def test_fixed_variances_converge_to_the_data_s() -> None:
    errors = []
    for stride in (40, 20, 10):
        found, _ = variances(exact_eps, list(range(120, 601, stride)))
        errors.append(abs(found[-1] - seen_at(float(alphas_cumprod()[120]))))
    rates = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert all(0.75 < rate < 1.5 for rate in rates), (errors, rates)


def test_noise_is_asked_for_once_a_step_but_the_last_and_rows_do_not_mix() -> None:
    grid, asked = timesteps("even", 8), list[int]()

    def run(rows: slice) -> Tensor:
        indices = range(*rows.indices(6))

        def noise(step: int) -> Tensor:
            asked.append(step)
            return normal((4, 2, 2), 5, f"step/{step}", indices)

        def denoiser(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
            return torch.cat([exact_eps(x, t, cond), torch.sin(x)], dim=1)

        start = normal((4, 2, 2), 5, "start", indices)
        cond = torch.zeros(len(indices), dtype=torch.int64)
        return ddpm(denoiser, start, grid, alphas_cumprod(), cond, noise=noise)

    whole = run(slice(0, 6))
    assert asked == list(range(7))
    torch.testing.assert_close(torch.cat([run(slice(0, 2)), run(slice(2, 6))]), whole, rtol=1e-6, atol=1e-6)


def test_a_denoiser_of_other_channels_is_an_error() -> None:
    x = torch.randn(2, 4, 1, 1)
    with pytest.raises(InputError, match=r"4 channels \(eps\) or 8 .* returned 12"):
        ddpm(
            lambda x, t, c: x.repeat(1, 3, 1, 1),
            x,
            [0, 500],
            alphas_cumprod(),
            torch.zeros(2),
            noise=lambda i: x,
        )
