"""Consistency sampling: its boundary, where it leads on Gaussian data, and agreement with diffusers' scheduler."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.samplers.consistency import boundary, renoise, renoise_flow
from ssdbench.samplers.walks import flow_times, timesteps
from tests.samplers.gaussian import LABELS, VARIANCE, exact_flow

ALPHAS = alphas_cumprod()
X = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1)


def noises(step: int) -> Tensor:
    return torch.randn(X.shape, generator=torch.Generator().manual_seed(step), dtype=X.dtype)


def consistent_eps(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """The eps of which the exact consistency function of N(0, VARIANCE) is made: f(x, t) = x sqrt(VARIANCE) / std_t."""
    step = int(t[0])
    skip, out = boundary((step + 1) / 1000)
    a = float(ALPHAS[step])
    sample = (exact_flow(x, step, -1) - skip * x) / out
    return (x - math.sqrt(a) * sample) / math.sqrt(1 - a)


def test_the_boundary_is_at_clean_data_and_nowhere_else() -> None:
    assert boundary(0.0) == (1.0, 0.0)
    shares = torch.tensor([0.0, 1e-3, 0.5, 1.0], dtype=torch.float64)
    skip, out = boundary(shares)
    assert skip.tolist() == [boundary(share)[0] for share in shares.tolist()]
    assert (out[1:] > 0.998).all()
    assert (out**2 + skip).tolist() == pytest.approx([1.0] * 4)  # s^2 / (s^2 + 1/4) and 1/4 / (s^2 + 1/4)


@pytest.mark.parametrize("nfe", [1, 2, 4, 8])
def test_the_exact_function_leads_along_the_flow_and_then_noises_anew(nfe: int) -> None:
    grid = timesteps("trailing", nfe)
    found = renoise(consistent_eps, X, grid, ALPHAS, LABELS, noise=noises)
    sample = X
    for i, t in enumerate(reversed(grid)):
        sample = exact_flow(sample, t, -1)
        if t != grid[0]:
            a = float(ALPHAS[grid[-2 - i]])
            sample = math.sqrt(a) * sample + math.sqrt(1 - a) * noises(i)
    torch.testing.assert_close(found, sample)


@pytest.mark.parametrize("noise_at", [0, 1])
@pytest.mark.parametrize("nfe", [1, 2, 4])
def test_a_flow_s_samples_have_the_data_s_variance(noise_at: int, nfe: int) -> None:
    def v(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        level = float(t[0]) if noise_at else 1 - float(t[0])
        skip, out = boundary(level)
        deviation = math.sqrt((1 - level) ** 2 * VARIANCE + level**2)
        sample = (x * math.sqrt(VARIANCE) / deviation - skip * x) / out
        return (x - sample) / level if noise_at else (sample - x) / level

    x = torch.randn(20_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    given: list[int] = []

    def noise(step: int) -> Tensor:
        given.append(step)
        return torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(step))

    found = renoise_flow(v, x, flow_times("uniform", nfe, noise_at), torch.zeros(len(x)), noise=noise)
    assert given == list(range(nfe - 1))
    assert float(found.var()) == pytest.approx(VARIANCE, rel=0.04)  # four standard errors
    if nfe == 1:
        torch.testing.assert_close(found, x * math.sqrt(VARIANCE))


@pytest.mark.parametrize("nfe", [1, 2, 4, 8])
def test_it_agrees_with_diffusers(nfe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose scheduler counts its scaled time from timestep 0, one earlier: nothing but at the first timesteps."""
    lcm = pytest.importorskip("diffusers.schedulers.scheduling_lcm")
    scheduler = lcm.LCMScheduler(
        beta_start=1e-4, beta_end=2e-2, beta_schedule="linear", clip_sample=False, set_alpha_to_one=True
    )
    scheduler.alphas_cumprod = ALPHAS  # in float64
    grid = timesteps("trailing", nfe)
    scheduler.set_timesteps(timesteps=grid[::-1])
    drawn = iter(range(nfe))
    monkeypatch.setattr(lcm, "randn_tensor", lambda *given, **named: noises(next(drawn)))
    denoiser = lambda x, t, cond: torch.tanh(x + t[0] / 1000)  # noqa: E731
    expected = X
    for t in scheduler.timesteps:
        out = denoiser(expected, t.reshape(1), LABELS)
        expected = scheduler.step(out, t, expected).prev_sample
    found = renoise(denoiser, X, grid, ALPHAS, LABELS, noise=noises)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
