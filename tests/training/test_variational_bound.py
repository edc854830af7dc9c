"""The learned sigma's loss against the same bound written with torch's distributions, and whom it trains."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ssdbench.diffusion.process import Discrete, LinearFlow
from ssdbench.diffusion.schedule import alphas_cumprod, linear_betas
from ssdbench.errors import InputError
from ssdbench.methods.denoising_loss import Denoise, variational_bound
from ssdbench.training.objectives import Shared
from tests.training.toy import Probe, batch_of, small_dit

BETAS, ALPHAS = linear_betas(), alphas_cumprod()
PROCESS = Discrete(ALPHAS)
NO_DROP = Shared(label_dropout=0.0)


def drawn(t: list[int], spread: float = 0.6) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(2)
    at = torch.tensor(t)
    x0 = (spread * torch.randn(len(t), 4, 4, 4)).double()
    x_t = PROCESS.noised(x0, torch.randn(x0.shape).double(), at)
    prediction = torch.randn(len(t), 8, 4, 4).double()
    prediction[:, 4:] = torch.rand(len(t), 4, 4, 4) * 2 - 1
    return at, x0, x_t, prediction


def posterior(x0: torch.Tensor, x_t: torch.Tensor, t: int) -> tuple[torch.Tensor, float]:
    """Mean and variance of q(x_{t-1} | x_t, x_0), from the product of two normal densities.

    q(x_t | x_{t-1}) q(x_{t-1} | x_0), completed to a square in x_{t-1}.
    """
    beta, before = BETAS[t], ALPHAS[t - 1]
    precision = (1 - beta) / beta + 1 / (1 - before)
    mean = ((1 - beta).sqrt() * x_t / beta + before.sqrt() * x0 / (1 - before)) / precision
    return mean, float(1 / precision)


@pytest.mark.parametrize("t", [1, 2, 50, 500, 998, 999])
def test_the_divergence_is_that_of_two_normal_distributions(t: int) -> None:
    at, x0, x_t, prediction = drawn([t, t])
    eps, v = prediction[:, :4], prediction[:, 4:]
    implied = (x_t - (1 - ALPHAS[t]).sqrt() * eps) / ALPHAS[t].sqrt()
    true, variance = posterior(x0, x_t, t)
    model, _ = posterior(implied, x_t, t)
    share = (v + 1) / 2
    sigma = (0.5 * (share * math.log(BETAS[t]) + (1 - share) * math.log(variance))).exp()
    bits = kl_divergence(Normal(true, variance**0.5), Normal(model, sigma)).flatten(1).mean(1) / math.log(2)
    torch.testing.assert_close(
        variational_bound(PROCESS, x0, x_t, at, prediction), bits, rtol=1e-6, atol=1e-9
    )


def test_the_first_step_is_the_likelihood_of_bins_that_add_up_to_one() -> None:
    """Of one value of x_0 at a time: all 256 grey levels together have probability 1."""
    levels = (torch.arange(256).double() / 127.5 - 1.0).reshape(256, 1, 1, 1)
    x_t = torch.full((256, 1, 1, 1), 0.1).double()
    prediction = torch.tensor([0.3, 0.2]).double().reshape(1, 2, 1, 1).expand(256, 2, 1, 1)
    bits = variational_bound(PROCESS, levels, x_t, torch.zeros(256, dtype=torch.int64), prediction)
    probabilities = torch.exp2(-bits)
    assert float(probabilities.sum()) == pytest.approx(1.0, abs=1e-6)
    # And its middle is x_0 as eps implies it, with the sigma between the posterior's at t = 1 and beta's.
    implied = float((0.1 - (1 - ALPHAS[0]).sqrt() * 0.3) / ALPHAS[0].sqrt())
    assert float((probabilities * levels.flatten()).sum()) == pytest.approx(implied, abs=2e-3)
    small = BETAS[1] * (1 - ALPHAS[0]) / (1 - ALPHAS[1])
    sigma = math.exp(0.5 * (0.6 * math.log(BETAS[0]) + 0.4 * math.log(small)))
    edges = Normal(implied, sigma).cdf(torch.stack([levels.flatten() - 1 / 255, levels.flatten() + 1 / 255]))
    # tanh's approximation of a normal's distribution function is off by 3e-4 at the most
    assert (probabilities - (edges[1] - edges[0])).abs()[1:-1].max() < 1e-3


def test_it_is_least_where_the_variance_is_the_true_one() -> None:
    """The mean right and t in the middle, -1 is the posterior's variance: zero bits."""
    at, x0, x_t, prediction = drawn([300, 700])
    a = ALPHAS[at].reshape(-1, 1, 1, 1)
    prediction[:, :4] = (x_t - a.sqrt() * x0) / (1 - a).sqrt()
    prediction[:, 4:] = -1.0
    assert variational_bound(PROCESS, x0, x_t, at, prediction).abs().max() < 1e-9
    prediction[:, 4:] = 1.0
    assert (variational_bound(PROCESS, x0, x_t, at, prediction) > 0).all()


def test_the_loss_is_eq_3_and_the_bound_which_trains_the_sigma_alone() -> None:
    student, batch = small_dit(7), batch_of(6)
    plain, both = (Denoise(PROCESS, NO_DROP, vb_loss).loss(student, batch) for vb_loss in (False, True))
    assert both > plain
    head = student.final_layer.linear.weight
    parts = torch.autograd.grad(both - plain, head, retain_graph=True)[0]
    # Of the last layer, the rows of one patch are (p, p, C'), the first half of C' being eps.
    rows = parts.reshape(4, 8, -1)
    assert not rows[:, :4].any()
    assert rows[:, 4:].any()
    assert torch.allclose(
        torch.autograd.grad(plain, head, retain_graph=True)[0].reshape(4, 8, -1)[:, :4],
        torch.autograd.grad(both, head)[0].reshape(4, 8, -1)[:, :4],
    )


def test_what_learns_no_sigma_is_refused() -> None:
    with pytest.raises(InputError, match="takes a model of 8 channels"):
        Denoise(PROCESS, NO_DROP, vb_loss=True).loss(Probe(), batch_of(2))
    with pytest.raises(InputError, match="a flow does not have"):
        Denoise(LinearFlow(0), NO_DROP, vb_loss=True)
