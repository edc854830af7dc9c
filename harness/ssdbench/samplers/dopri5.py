"""Dormand-Prince 5(4): a flow's ODE with steps as long as a tolerance allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from ssdbench.diffusion.schedule import per_sample
from ssdbench.errors import InputError, NotFinite, SsdbenchError
from ssdbench.samplers.sampler import Sampler
from ssdbench.samplers.stepping import flow_steps

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.diffusion.denoiser import Denoiser

    _Norm = Callable[[Tensor], Tensor]

# Dormand & Prince (1980). The last row is the fifth-order solution: its stage is the next step's first.
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
# Fifth minus fourth order.
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0  # the usual ones
_SHORTEST = 1e-7


def dopri5(
    denoiser: Denoiser,
    x: Tensor,
    times: Sequence[float],
    cond: Tensor,
    *,
    atol: float = 1e-6,
    rtol: float = 1e-3,
    control: Literal["sample", "batch"] = "sample",
) -> Tensor:
    """Dormand-Prince 5(4) with SiT's default tolerances (Dormand & Prince, 1980).

    Six evaluations a step that is tried, and two to begin with. A step counts where the root mean square of
    (error estimate) / (atol + rtol |x|) is at most 1. The counter around the denoiser reports what was used.

    With ``control="sample"`` each sample has its own steps, and is left out of the batch when it has arrived: a sample
    depends on its noise alone, and the evaluations of a batch are those of its slowest sample. With ``"batch"``, as
    torchdiffeq and so SiT do it, the error is taken over the whole batch, and samples depend on which others are in it.

    Args:
        denoiser: predicts the velocity of x's shape, (B, C, H, W), at times (B,) that may differ from sample to sample.
        x: noise at times[0], (B, C, H, W).
        times: from the noise to the data. Only the first and the last count; the steps between are found.
        cond: passed on to the denoiser, (B, ...).
        atol: absolute tolerance.
        rtol: relative tolerance.
        control: what the error is taken over.

    Returns:
        The sample, (B, C, H, W).

    Raises:
        InputError: the times do not run one way, or a tolerance is not positive.
        NotFinite: the velocity is not finite.
        SsdbenchError: the tolerance cannot be met by any step.
    """
    import torch

    flow_steps(times)
    if atol <= 0 or rtol <= 0:
        raise InputError(f"dopri5 needs positive tolerances, not atol {atol} and rtol {rtol}")
    start, stop = times[0], times[-1]
    sign = 1.0 if stop > start else -1.0
    wide = torch.promote_types(x.dtype, torch.float32)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return denoiser(x, t.to(wide), cond)

    def norm(x: Tensor) -> Tensor:
        """Root mean square of each sample, or of all for each, float64 (B,)."""
        squares = x.double().square()
        each = squares.flatten(1).mean(1) if control == "sample" else squares.mean().expand(len(x))
        return each.sqrt()

    out, index = torch.empty_like(x), torch.arange(len(x), device=x.device)
    t = torch.full((len(x),), start, dtype=torch.float64, device=x.device)
    v = velocity(x, t)
    scale = atol + rtol * x.abs()
    length = _first_length(velocity, x, t, v, sign, lambda y: norm(y / scale)).clamp(max=abs(stop - start))
    while len(index):
        left = (stop - t).abs()
        last = length >= left
        length = torch.minimum(length, left)
        h = per_sample(sign * length, x)
        slopes = [v]
        x_next = x
        for node, row in zip(_NODES, _STAGES, strict=True):
            x_next = x + h * _combined(row, slopes)
            slopes.append(velocity(x_next, t + sign * node * length))
        scale = atol + rtol * torch.maximum(x.abs(), x_next.abs())
        error = norm(h * _combined(_ERROR, slopes) / scale)
        if not torch.isfinite(error).all():
            raise NotFinite("dopri5: the velocity is not finite")
        good = error <= 1.0
        x = torch.where(per_sample(good, x).bool(), x_next, x)
        v = torch.where(per_sample(good, v).bool(), slopes[-1], v)
        t = torch.where(good, torch.where(last, stop, t + sign * length), t)
        length = length * (_SAFETY * error.clamp(min=1e-10) ** -0.2).clamp(_SHRINK, _GROW)
        arrived = good & last
        out[index[arrived]] = x[arrived]
        stay = ~arrived
        if (length[stay] < _SHORTEST).any():
            raise SsdbenchError(
                f"dopri5: no step meets atol {atol} and rtol {rtol} at t = {t[length.argmin()]:.6f}"
            )
        x, v, t, length, cond, index = x[stay], v[stay], t[stay], length[stay], cond[stay], index[stay]
    return out


def _combined(weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        if weight:
            total = total + weight * slope
    return total


def _first_length(
    velocity: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor, v: Tensor, sign: float, norm: _Norm
) -> Tensor:
    """A first step, float64 (B,), from the velocity and its change (Hairer, Norsett & Wanner, 1993, Sec. II.4)."""
    import torch

    size, speed = norm(x), norm(v)
    trial = torch.where((size < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * size / speed.clamp(min=1e-15))
    ahead = velocity(x + per_sample(sign * trial, x) * v, t + sign * trial)
    change = norm(ahead - v) / trial
    fastest = torch.maximum(speed, change)
    best = torch.where(
        fastest <= 1e-15, (1e-3 * trial).clamp(min=1e-6), (0.01 / fastest.clamp(min=1e-15)) ** 0.2
    )
    return torch.minimum(100.0 * trial, best)


DOPRI5 = Sampler(
    name="dopri5",
    title="Dormand-Prince",
    help="Dormand-Prince 5(4) with SiT's tolerances; adaptive: takes no nfe, tables show what it used",
    cite="Dormand & Prince, 1980; as in Ma et al., 2024, SiT",
    v=dopri5,
    adaptive=50,  # 41 of the shipped SiT
    cost="as many evaluations as its tolerances need",
    order=5,
)
