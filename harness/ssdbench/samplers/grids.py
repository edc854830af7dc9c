"""Grids: which N of the T = 1,000 training timesteps, or which times of a flow, a sampler visits. Free of torch.

A new rule is a function and its declaration here, listed in :data:`BUILTIN`. What is made of a rule is in
:mod:`ssdbench.samplers.walks`. Listed timesteps are a grid too: its name is the list, :func:`listed`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

from ssdbench.declaration import Catalog, Declaration
from ssdbench.diffusion.schedule import CLEAN, TRAIN_TIMESTEPS
from ssdbench.errors import InputError
from ssdbench.samplers.sampler import Predicted


@dataclass(frozen=True, kw_only=True)
class Grid(Declaration):
    """A rule that places the steps of a sampler.

    Args:
        rule: for models that predict eps, a function of (N, T): N increasing timesteps within 0..T-1. For flows, a
            function of N: N + 1 increasing shares of the way, from 0 at the noise to 1 at the data.
        by_noise: the rule is given log(sigma / alpha) of each of the T timesteps instead of T.
        prediction: what the models predict whose steps it places.
        end: the timestep that the last step leads to, after the first of the grid.
        of_pipeline: a pipeline's own grid: where the model's files hold a scheduler's configuration, that places the
            timesteps and says where they end.
    """

    KIND: ClassVar[str] = "grid"

    rule: Callable[..., Sequence[float]] = field(repr=False)
    prediction: Predicted = "eps"
    by_noise: bool = False
    end: int = CLEAN
    of_pipeline: bool = False


def even(n: int, total: int) -> list[int]:
    """DiT's "N": a fractional stride over 0..T-1, rounded."""
    if n == 1:
        return [0]
    stride = (total - 1) / (n - 1)
    grid, position = [], 0.0
    for _ in range(n):  # the published code accumulates the stride, which decides the rounding of the halves
        grid.append(round(position))
        position += stride
    return grid


def leading(n: int, total: int) -> list[int]:
    """The smallest integer stride that gives exactly n points from 0 ("ddimN" in DiT's code).

    Raises:
        InputError: there is none.
    """
    for stride in range(1, total + 1):
        points = range(0, total, stride)
        if len(points) == n:
            return list(points)
    raise InputError(f"grid 'leading' has no integer stride that gives {n} of {total} timesteps")


def trailing(n: int, total: int) -> list[int]:
    """The integer stride that ends at T - 1."""
    return [round(total * (i + 1) / n) - 1 for i in range(n)]


def stable_diffusion(n: int, total: int, offset: int = 1) -> list[int]:
    """Stride T // n from ``offset``.

    Raises:
        InputError: the last timestep would be beyond T - 1.
    """
    stride = total // n
    last = (n - 1) * stride + offset
    if last >= total:
        raise InputError(
            f"grid 'sd' begins at timestep {offset}: the last of {n} would be {last}, beyond the last there is,"
            f" {total - 1}"
        )
    return list(range(offset, last + 1, stride))


def power(n: int, total: int, exponent: float = 2.0) -> list[int]:
    """Timesteps that grow with a power of their number, from 0 to T - 1: close to each other near the data."""
    return _distinct([(total - 1) * (i / max(1, n - 1)) ** exponent for i in range(n)], total)


def by_log_snr(n: int, log_rho: Sequence[float]) -> list[int]:
    """Equal steps in log(alpha / sigma), from the first timestep to the last; the nearest timesteps."""
    return _nearest(n, log_rho, lambda share: log_rho[0] + (log_rho[-1] - log_rho[0]) * share)


def karras(n: int, log_rho: Sequence[float], exponent: float = 7.0) -> list[int]:
    """Equal steps in (sigma / alpha)^(1/7) (Karras et al., 2022, Eq. 5); the nearest timesteps."""
    low, high = (math.exp(value / exponent) for value in (log_rho[0], log_rho[-1]))
    return _nearest(n, log_rho, lambda share: exponent * math.log(low + (high - low) * share))


def _nearest(n: int, log_rho: Sequence[float], level: Callable[[float], float]) -> list[int]:
    """The timesteps whose log(sigma / alpha) is nearest ``level`` of the shares 0 to 1 of the way to the noise."""
    found = []
    for i in range(n):
        wanted = level(i / max(1, n - 1))
        above = min(bisect_left(log_rho, wanted), len(log_rho) - 1)
        below = max(above - 1, 0)
        found.append(below if wanted - log_rho[below] < log_rho[above] - wanted else above)
    return _distinct(found, len(log_rho))


def _distinct(times: Sequence[float], total: int) -> list[int]:
    """Whole timesteps, the last T - 1; those that fall together are moved apart."""
    found: list[int] = []
    for i, t in enumerate(times):
        lowest = found[-1] + 1 if found else 0
        found.append(min(max(round(t), lowest), total - len(times) + i))  # room for those that follow
    return [*found[:-1], total - 1]


def uniform(n: int) -> list[float]:
    """Equal steps. SiT's published script counts the times, not the steps: its N = 50 are 49. REPA's counts steps."""
    return [*(i / n for i in range(n)), 1.0]


LAST_STEP = 0.04


def last_short(n: int, last: float = LAST_STEP) -> list[float]:
    """SiT's and REPA's for Euler-Maruyama: n - 1 equal steps to ``last`` before the data, then one onto it.

    A single step covers it all.

    Raises:
        InputError: the last step is as long as the whole way, or has no length.
    """
    if not 0.0 < last < 1.0:
        raise InputError(f"the last step must be shorter than 1, and more than 0, not {last}")
    if n == 1:
        return [0.0, 1.0]
    return [*((1.0 - last) * i / (n - 1) for i in range(n - 1)), 1.0 - last, 1.0]


EVEN = Grid(
    name="even",
    help="fractional stride over 0..999, rounded: the paper's grid for DiT",
    cite="Peebles & Xie, 2023, DiT",
    rule=even,
)
LEADING = Grid(
    name="leading",
    help="smallest integer stride from 0",
    cite="Song et al., 2021, Denoising Diffusion Implicit Models",
    rule=leading,
)
TRAILING = Grid(
    name="trailing",
    help="integer stride ending at 999",
    cite="Lin et al., 2024, Common Diffusion Noise Schedules and Sample Steps are Flawed",
    rule=trailing,
)
QUADRATIC = Grid(
    name="quadratic",
    help="timesteps that grow quadratically, so that steps are short near the data",
    cite="Song et al., 2021, Denoising Diffusion Implicit Models, Appendix D.2",
    rule=power,
)
CUBIC = Grid(
    name="cubic",
    help="timesteps that grow with the third power",
    cite="Zhang & Chen, 2023, Fast Sampling of Diffusion Models with Exponential Integrator",
    rule=partial(power, exponent=3.0),
)
LOG_SNR = Grid(
    name="logsnr",
    help="equal steps in log(alpha / sigma), the nearest timesteps",
    cite="Lu et al., 2022, DPM-Solver",
    rule=by_log_snr,
    by_noise=True,
)
KARRAS = Grid(
    name="karras",
    help="equal steps in (sigma / alpha)^(1/7), the nearest timesteps",
    cite="Karras et al., 2022, Elucidating the Design Space of Diffusion-Based Generative Models, Eq. 5",
    rule=karras,
    by_noise=True,
)
SD = Grid(
    name="sd",
    help="Stable Diffusion v1.5's: leading with offset 1",
    cite="Rombach et al., 2022, Latent Diffusion Models",
    rule=stable_diffusion,
    end=0,
    of_pipeline=True,
)
UNIFORM = Grid(
    name="uniform",
    help="equal steps, for models that predict v: what their samplers but sde walk if nothing else is named",
    cite="Ma et al., 2024, SiT",
    rule=uniform,
    prediction="v",
)
SDE = Grid(
    name="sde",
    help="equal steps and a last one of 0.04, for models that predict v: what the sampler sde walks",
    cite="Ma et al., 2024, SiT",
    rule=last_short,
    prediction="v",
)
BUILTIN = (EVEN, LEADING, TRAILING, QUADRATIC, CUBIC, LOG_SNR, KARRAS, SD, UNIFORM, SDE)


def listed(times: Sequence[float]) -> str:
    """The name of the grid of listed timesteps, the noisiest first: ``999, 850, 700``.

    Numbers of at most 1 and above 0 are noise levels of a flow, 1 being noise: ``1, 0.75, 0.5``. Sampling goes on from
    the last of them to the data.

    Raises:
        InputError: they are neither, or do not fall.
    """
    numbers = [t for t in times if isinstance(t, int | float) and not isinstance(t, bool)]
    falling = len(numbers) == len(times) > 0 and all(a > b for a, b in pairwise(numbers))
    whole = all(isinstance(t, int) and 0 <= t < TRAIN_TIMESTEPS for t in numbers)
    if not falling or not (whole or _levels(numbers)):
        shown = ", ".join(map(str, times[:20])) + (", ..." if len(times) > 20 else "")
        raise InputError(
            f"[{shown}] is no grid: expected whole timesteps that fall, within {TRAIN_TIMESTEPS - 1} to 0, or of a flow"
            " noise levels that fall from 1, all above 0"
        )
    return ", ".join(str(int(t) if t == int(t) else t) for t in numbers)


def is_listed(name: str) -> bool:
    """Whether a grid's name is a list of timesteps or noise levels."""
    return name[:1].isdigit()


def read_list(name: str) -> list[float]:
    """The numbers of a list in text.

    Raises:
        InputError: they are none.
    """
    try:
        return [int(t) if t.strip().isdecimal() else float(t) for t in name.split(",")]
    except ValueError:
        raise InputError(f"{name!r} is no grid: expected timesteps, such as '999, 850, 700'") from None


def _levels(times: Sequence[float]) -> bool:
    # Some are counted from the data and some from the noise: neighbours must differ as both.
    return times[0] == 1 and all(0 < t <= 1 for t in times) and all(1 - a < 1 - b for a, b in pairwise(times))


def _of_list(name: str) -> Grid:
    """The grid of listed timesteps or noise levels.

    Raises:
        InputError: as :func:`listed`.
    """
    times = read_list(name)
    name, flow = listed(times), _levels(times)

    def rule(n: int, *_: object) -> Sequence[float]:
        if n != len(times):
            kind = ("noise level" if flow else "timestep") + "s" * (len(times) > 1)
            raise InputError(f"grid '{name}' lists {len(times)} {kind}, not {n}")
        return [*(1.0 - t for t in times), 1.0] if flow else [int(t) for t in reversed(times)]

    return Grid(name=name, help="listed timesteps", rule=rule, prediction="v" if flow else "eps")


def of_function(name: str, rule: Callable[..., Any]) -> Grid:
    """The declaration of a plain function of (N, T)."""
    return Grid(name=name, help=f"{name}, a function of the user's own", rule=rule)


def walked_by(name: str, prediction: Predicted) -> str:
    """The grid that a model is walked on where a suite names ``name``: flows ignore the built-in ones of timesteps."""
    grid = GRIDS.known(name)
    # Not those of the user's own: a suite that names no grid has 'even', but whoever names their own means it.
    passed_over = grid is None or (grid.prediction == "eps" and name in GRIDS.builtin)
    return UNIFORM.name if prediction == "v" and passed_over else name


class _Grids(Catalog[Grid]):
    """The grids by name, and those that are listed."""

    def find(self, name: str) -> Grid | None:
        return _of_list(name) if is_listed(name) else super().find(name)

    def place(self, name: str) -> str | None:
        return None if is_listed(name) else super().place(name)


GRIDS: Catalog[Grid] = _Grids(Grid, BUILTIN, of_function)
