"""Timestep grids: which N of the T = 1,000 training timesteps, or which times, a sampler visits. Free of torch.

A grid is an increasing list ``g[0] < ... < g[N-1]``; samplers walk it from its end. See :data:`GRIDS` for the names.
Flow models have continuous times instead: a list that samplers walk from its first, at the noise, to its last, at the
data. SiT's run from 0 to 1, REPA's from 1 to 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

from ssdbench.diffusion.scheduler import Schedule
from ssdbench.errors import InputError

Time = TypeVar("Time", int, float)

TRAIN_TIMESTEPS = 1000
NEAR = 0.9  # of T: a grid whose noisiest timestep is below is told of, below FAR it is refused
FAR = 0.5
LAST_CLEAN = 1  # the last timestep that a sample may be left at
PIPELINE = "sd"  # the grid that a Stable Diffusion pipeline walks by itself
CLEAN = -1  # the timestep before the first: alphas_cumprod, there a product of no factors, is 1


def _even(n: int, total: int) -> list[int]:
    # DiT's "N": a fractional stride over 0..T-1. Accumulating the stride, as the published code does, decides
    # the rounding of the halves.
    if n == 1:
        return [0]
    stride = (total - 1) / (n - 1)
    grid, position = [], 0.0
    for _ in range(n):
        grid.append(round(position))
        position += stride
    return grid


def _leading(n: int, total: int) -> list[int]:
    # The smallest integer stride that gives exactly n points starting at 0 ("ddimN" in the published code).
    for stride in range(1, total + 1):
        points = range(0, total, stride)
        if len(points) == n:
            return list(points)
    raise InputError(f"grid 'leading' has no integer stride that gives {n} of {total} timesteps")


def _trailing(n: int, total: int) -> list[int]:
    return [round(total * (i + 1) / n) - 1 for i in range(n)]


def _sd(n: int, total: int, offset: int = 1) -> list[int]:
    # Stable Diffusion v1.5: stride T // n with an offset of 1.
    stride = total // n
    last = (n - 1) * stride + offset
    if last >= total:
        raise InputError(
            f"grid 'sd' begins at timestep {offset}: the last of {n} would be {last}, beyond the last there is,"
            f" {total - 1}"
        )
    return list(range(offset, last + 1, stride))


GRIDS: dict[str, Callable[[int, int], list[int]]] = {
    "even": _even,
    "leading": _leading,
    "trailing": _trailing,
    "sd": _sd,
}


def timesteps(name: str, n: int, total: int = TRAIN_TIMESTEPS, pipeline: Schedule | None = None) -> list[int]:
    """The ``n`` timesteps of grid ``name`` out of ``0..total-1``, in increasing order.

    ``even`` is the fractional stride that DiT calls "N"; ``leading`` the smallest integer stride from 0;
    ``trailing`` ends at ``total - 1``; ``sd`` is the ``pipeline``'s own, by default Stable Diffusion v1.5's.

    Sampling begins with pure noise, which belongs to timestep ``total - 1``. A grid whose noisiest timestep is below
    ``FAR * total`` is no grid to sample on: with one timestep, ``even``, ``leading`` and ``sd`` would take the noise
    for an all but clean sample. See :func:`far_from_noise` for those that are merely off.

    Raises:
        InputError: the name is unknown, or the grid does not exist for this ``n``; names those that do.
    """
    if name not in GRIDS:
        raise InputError(f"unknown grid {name!r}; known: {', '.join(GRIDS)}")
    if not 1 <= n <= total:
        raise InputError(f"grid {name!r} needs between 1 and {total} timesteps, not {n}")
    own = None if name != PIPELINE else pipeline
    try:
        grid = GRIDS[name](n, total) if own is None else _of_pipeline(n, total, own)
    except InputError as error:
        raise InputError(f"{error}{_instead(_near(n, total))}") from None
    if len(set(grid)) != n or not 0 <= grid[0] <= grid[-1] < total:
        raise InputError(f"grid {name!r} has no {n} distinct timesteps within 0..{total - 1}")
    if grid[-1] < FAR * total:
        raise InputError(
            f"grid {name!r} has no timestep above {grid[-1]} with {n}, and samples start from pure noise, which belongs"
            f" to timestep {total - 1}{_instead(_near(n, total))}"
        )
    return grid


def _near(n: int, total: int) -> list[str]:
    """The grids that have ``n`` timesteps, the noisiest of them near pure noise."""
    found = []
    for name, rule in GRIDS.items():
        try:
            grid = rule(n, total)
        except InputError:
            continue
        if len(set(grid)) == n and NEAR * total <= grid[-1] < total:
            found.append(name)
    return found


def _instead(names: Sequence[str]) -> str:
    return f" (grids that fit: {', '.join(names)})" if names else ""


@functools.lru_cache(maxsize=4096)
def far_from_noise(name: str, n: int, halvings: int = 0, *, to_first: bool = False) -> str | None:
    """What is to be told of a grid whose sampling starts below ``NEAR * T``, and which grids fit; None for others.

    The denoiser is given pure noise there, and expects an image's trace in it: at timestep 500 of DiT's schedule
    sqrt(alphas_cumprod) is 0.28, at 900 it is 0.016. The published grids of 10 timesteps begin at 900 or above.

    Args:
        name: of the grid.
        n: timesteps that are walked.
        halvings: as for :func:`walked`.
        to_first: whether the sampler ends at the first timestep, which must then be all but clean.

    Raises:
        InputError: as :func:`walked`.
    """
    noisiest = walked(name, n, halvings)[-1]
    if noisiest >= NEAR * TRAIN_TIMESTEPS:
        return None
    near = _near(n << halvings, TRAIN_TIMESTEPS)
    fit = [other for other in near if not to_first or walked(other, n, halvings)[0] <= LAST_CLEAN]
    return (
        f"at timestep {noisiest} of grid {name!r}, below {NEAR * TRAIN_TIMESTEPS:g}, though from pure noise,"
        f" which belongs to timestep {TRAIN_TIMESTEPS - 1}{_instead(fit)}"
    )


def _of_pipeline(n: int, total: int, pipeline: Schedule) -> list[int]:
    if pipeline.spacing == "trailing":
        return _trailing(n, total)
    if pipeline.spacing == "leading":
        return _sd(n, total, pipeline.offset)
    raise InputError(f"grid {PIPELINE!r} has no timesteps that are spaced as {pipeline.spacing!r}")


def student_grid(grid: Sequence[Time], end: float = CLEAN) -> list[Time]:
    """The times g[1], g[3], ..., g[N-1] of the progressively distilled student of a teacher on g[0], ..., g[N-1].

    A flow's N + 1 uniform times carry their ``end`` with them; so does what is returned for them.

    Raises:
        InputError: the teacher's number of steps is odd.
    """
    with_end = bool(grid) and grid[0] == end
    steps = len(grid) - with_end
    if steps < 2 or steps % 2:
        raise InputError(
            f"progressive distillation halves an even number of steps; the teacher's grid has {steps}"
        )
    return list(grid[::2] if with_end else grid[1::2])


def walked(name: str, n: int, halvings: int = 0, pipeline: Schedule | None = None) -> list[int]:
    """The ``n`` timesteps of grid ``name``, or those that are left of a finer one after ``halvings``.

    A progressively distilled student of n steps walks the grid of its first teacher, n * 2^halvings steps, of which
    each halving kept every other one, the noisiest among them: grids need not be nested.

    Raises:
        InputError: as :func:`timesteps`.
    """
    grid = timesteps(name, n << halvings, pipeline=pipeline)
    for _ in range(halvings):
        grid = student_grid(grid, end_of(name, pipeline))
    return grid


_TWO_A_STEP = ("dpm-solver-2", "heun")
_END_NAMED = (
    "dpm-solver-1",
    "euler",
    "euler-maruyama",
)  # one evaluation a step, and the path lists its end too
_WARMUPS = {"orders": (0, 1), "heun": (1, 2), "prk": (9, 4)}


def points(sampler: str, nfe: int, pairs: str | Sequence[int] = "all", warmup: str = "orders") -> int:
    """How many timesteps a sampler visits with ``nfe`` evaluations; for a flow model, how many times it is given.

    DPM-Solver-2 and Heun take two evaluations a step and N + 1 timesteps for N steps; DPM-Solver-1, Euler and
    Euler-Maruyama one evaluation a step and N + 1 timesteps too. The teacher of Eq. 5 takes one a timestep and one
    more for each of its pairs, which are ``all`` N - 1, all but the last one sampled (``skip_last``), or listed.
    PLMS takes one a timestep, with ``warmup`` ``heun`` one more and with ``prk`` nine more. All others take one a
    timestep.

    Raises:
        InputError: no number of timesteps takes so many evaluations.
    """
    if sampler in _TWO_A_STEP:
        if nfe % 2 or nfe < 2:
            raise InputError(
                f"must be even for sampler {sampler!r}, which takes two evaluations a step, not {nfe}"
            )
        return nfe // 2 + 1
    if sampler in _END_NAMED:
        return nfe + 1
    if sampler == "plms":
        further, fewest = plms_warmup(warmup)
        if nfe < fewest + further:
            raise InputError(
                f"must be at least {fewest + further} for sampler 'plms' with warmup {warmup!r}, not {nfe}"
            )
        return nfe - further
    if sampler != "ssd-teacher":
        return nfe
    extra = {"all": 1, "skip_last": 2}.get(pairs) if isinstance(pairs, str) else None
    twice = 2 * (nfe - len(pairs)) if extra is None else nfe + extra
    if twice % 2 or twice < 4:
        raise InputError(
            f"sampler 'ssd-teacher' evaluates once a timestep and once a pair: {nfe} fits no grid with pairs {pairs!r}"
        )
    return twice // 2


def plms_warmup(name: str) -> tuple[int, int]:
    """What a warm-up of PLMS evaluates beyond once a timestep, and the fewest timesteps that it needs.

    Raises:
        InputError: the name is unknown.
    """
    if name not in _WARMUPS:
        raise InputError(f"unknown warmup {name!r} of sampler 'plms'; known: {', '.join(_WARMUPS)}")
    return _WARMUPS[name]


def end_of(name: str, pipeline: Schedule | None = None) -> int:
    """The timestep that sampling on a grid ends at: :data:`CLEAN`, but timestep 0 for Stable Diffusion v1.5's own.

    Another ``pipeline`` says itself where its own grid ends.
    """
    return 0 if name == PIPELINE and (pipeline is None or not pipeline.to_clean) else CLEAN


def uniform_times(n: int, start: float, stop: float) -> list[float]:
    """The n + 1 times of ``n`` equal steps from ``start`` (noise) to ``stop`` (data), both included.

    SiT's published script counts the times, not the steps: its N = 50 are 49 steps. REPA's counts steps, as here.

    Raises:
        InputError: there is no step to take.
    """
    if n < 1 or start == stop:
        raise InputError(
            f"times need at least one step between two different ends, not {n} from {start} to {stop}"
        )
    return [*(start + (stop - start) * i / n for i in range(n)), stop]


LAST_STEP = 0.04


def sde_times(n: int, start: float, stop: float, last: float = LAST_STEP) -> list[float]:
    """The n + 1 times of ``n`` steps whose last one has the length ``last`` and the others one length of their own.

    SiT's and REPA's for Euler-Maruyama: n - 1 equal steps to 0.04 before the data, then one onto it. A single step
    covers it all.

    Raises:
        InputError: there is no step to take, or the last one is as long as the whole way.
    """
    if n == 1:
        return uniform_times(n, start, stop)
    if not 0.0 < last < abs(stop - start):
        raise InputError(
            f"the last step must be shorter than {abs(stop - start)}, and more than 0, not {last}"
        )
    return [*uniform_times(n - 1, start, stop - last if stop > start else stop + last), stop]
