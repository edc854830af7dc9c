"""What explicit and implicit SSD learn, applied while sampling without any training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssdbench.diffusion.schedule import CLEAN, ddim_step, midpoint_lambda
from ssdbench.samplers.ddim import ddim, euler
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import at, steps

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser


def ssd_teacher(
    denoiser: Denoiser,
    x: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    cond: Tensor,
    end: int = CLEAN,
    *,
    pairs: Sequence[int],
    lam: float | None,
) -> Tensor:
    """Eq. 5's target at every pair.

    A step from s = g[i] with i in ``pairs`` goes along lam * eps(x_t, t) + (1 - lam) * eps(x_s, s), x_t the DDIM step
    from x_s; ``lam`` None is Eq. 12's. Other steps are DDIM's. N timesteps and P pairs are N + P evaluations.
    Arguments and result else as for :func:`ssdbench.samplers.ddim.ddim`.
    """
    for done, (s, alpha_s, t, alpha_t) in enumerate(steps(grid, alphas_cumprod, end), 1):
        eps = denoiser(x, at(s, x), cond)
        if len(grid) - done in pairs:
            weight = midpoint_lambda(alphas_cumprod, s, t) if lam is None else lam
            ahead = denoiser(ddim_step(x, eps, alpha_s, alpha_t), at(t, x), cond)
            eps = eps + weight * (ahead - eps)
        x = ddim_step(x, eps, alpha_s, alpha_t)
    return x


SSD_TEACHER = Sampler(
    name="ssd-teacher",
    title="SSD teacher",
    help="Eq. 5's target applied while sampling, with train.lambda and train.pairs: what explicit SSD imitates",
    cite="Self Step-Distillation, Eq. 5",
    eps=ssd_teacher,
    cost="one evaluation a timestep and one a pair",
    fewest=2,
    follows_pairs=True,
    from_pure_noise=False,
    note="Eq. 5's target while sampling: lambda {lam}, pairs {pairs}",
)
ISSD_LIMIT = Sampler(
    name="issd-limit",
    title="iSSD limit",
    help="Eq. 6's exact limit in one fused layer while sampling, with the train settings of issd: what iSSD ends at",
    cite="Self Step-Distillation, Eq. 6",
    eps=ddim,
    v=euler,
    extrapolates=True,
    order=1,
    note="Eq. 6's limit while sampling: {fusion}, pairs {pairs}",
)
SAMPLERS = (SSD_TEACHER, ISSD_LIMIT)
