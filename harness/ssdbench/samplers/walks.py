"""The timesteps and times that are walked on a grid, and whether sampling can start there. Free of torch.

A walk in discrete time is an increasing list ``g[0] < ... < g[N-1]``; samplers walk it from its end. Flow models have
continuous times instead: a list that samplers walk from its first, at the noise, to its last, at the data. SiT's run
from 0 to 1, REPA's from 1 to 0.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ssdbench.diffusion.schedule import CLEAN, DIT, TRAIN_TIMESTEPS, Schedule, log_rhos
from ssdbench.errors import InputError
from ssdbench.own import running
from ssdbench.samplers.grids import GRIDS, UNIFORM, Grid, stable_diffusion, trailing, walked_by
from ssdbench.samplers.sampler import Predicted, Sampler

Time = TypeVar("Time", int, float)

NEAR = 0.9  # of T: a grid whose noisiest timestep is below is told of, below FAR it is refused
FAR = 0.5
_LAST = TRAIN_TIMESTEPS - 1
LAST_CLEAN = 1  # the last timestep that a sample may be left at


def timesteps(name: str, n: int, pipeline: Schedule | None = None) -> list[int]:
    """The ``n`` timesteps of grid ``name`` out of 0..T - 1, in increasing order.

    ``even`` is the fractional stride that DiT calls "N"; ``leading`` the smallest integer stride from 0;
    ``trailing`` ends at T - 1; ``sd`` is the ``pipeline``'s own, by default Stable Diffusion v1.5's. Rules that go by
    the noise use the ``pipeline``'s schedule, by default DiT's.

    Sampling begins with pure noise, which belongs to timestep T - 1. A grid whose noisiest timestep is below ``FAR`` T
    is no grid to sample on: with one timestep, ``even``, ``leading`` and ``sd`` would take the noise for an all but
    clean sample. See :func:`far_from_noise` for those that are merely off.

    Raises:
        InputError: the name is unknown, or the grid does not exist for this ``n``; names those that do.
    """
    declared = _grid_for("eps", name)
    if not 1 <= n <= TRAIN_TIMESTEPS:
        raise InputError(f"grid {name!r} needs between 1 and {TRAIN_TIMESTEPS} timesteps, not {n}")
    try:
        grid = _ruled(declared, n, pipeline)
    except InputError as error:
        raise InputError(f"{error}{_instead(_near(n))}") from None
    if len(set(grid)) != n or not 0 <= grid[0] <= grid[-1] <= _LAST:
        raise InputError(f"grid {name!r} has no {n} distinct timesteps within 0..{_LAST}")
    if grid[-1] < FAR * TRAIN_TIMESTEPS:
        raise InputError(
            f"grid {name!r} has no timestep above {grid[-1]} with {n}, and samples start from pure noise, which belongs"
            f" to timestep {_LAST}{_instead(_near(n))}"
        )
    return grid


def _near(n: int) -> list[str]:
    """The grids that have ``n`` timesteps, the noisiest of them near pure noise."""
    found = []
    for name, grid in GRIDS.items():
        if grid.prediction != "eps":
            continue
        with suppress(InputError):
            walk = _ruled(grid, n)
            if len(set(walk)) == n and NEAR * TRAIN_TIMESTEPS <= walk[-1] <= _LAST:
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
    near = _near(n << halvings)
    fit = [other for other in near if not to_first or walked(other, n, halvings)[0] <= LAST_CLEAN]
    return (
        f"at timestep {noisiest} of grid {name!r}, below {NEAR * TRAIN_TIMESTEPS:g}, though from pure noise,"
        f" which belongs to timestep {_LAST}{_instead(fit)}"
    )


def begins_clean(name: str, n: int, halvings: int = 0) -> str | None:
    """What is to be told of a grid that begins at clean data, and which grids fit; None for others.

    Args:
        name: of the grid.
        n: timesteps that are walked.
        halvings: as for :func:`walked`.

    Raises:
        InputError: as :func:`walked`.
    """
    first = walked(name, n, halvings)[0]
    if first > LAST_CLEAN:
        return None
    fit = [other for other in _near(n << halvings) if walked(other, n, halvings)[0] > LAST_CLEAN]
    return f"timestep {first} of grid {name!r}, where nothing is left to predict{_instead(fit)}"


def _grid_for(prediction: Predicted, name: str) -> Grid:
    """The grid of timesteps (eps) or times (v). Raises InputError for an unknown one, or one of the other kind."""
    grid, places = GRIDS.named(name), {"eps": "timesteps", "v": "times"}
    if grid.prediction != prediction:
        raise InputError(
            f"grid {name!r} is one of {places[grid.prediction]}, for models that predict {grid.prediction}: it has no"
            f" {places[prediction]}"
        )
    return grid


def _ruled(grid: Grid, n: int, pipeline: Schedule | None = None) -> list[int]:
    """The timesteps that a grid's rule gives, or the pipeline's spacing where the grid is the pipeline's own."""
    if grid.of_pipeline and pipeline is not None:
        if pipeline.spacing == "trailing":
            return trailing(n, TRAIN_TIMESTEPS)
        if pipeline.spacing == "leading":
            return stable_diffusion(n, TRAIN_TIMESTEPS, pipeline.offset)
        raise InputError(f"grid {grid.name!r} has no timesteps that are spaced as {pipeline.spacing!r}")
    found = _called(grid, n, log_rhos(pipeline or DIT) if grid.by_noise else TRAIN_TIMESTEPS)
    if not found or any(t % 1 for t in found) or sorted(found) != found:
        raise InputError(
            f"grid {grid.name!r} gave {found} for {n} timesteps: expected whole, increasing numbers"
        )
    return [int(t) for t in found]


def _called(grid: Grid, n: int, *rest: Any) -> list[float]:
    with running(f"grid {grid.name!r} failed for {n}", InputError):
        return [t if isinstance(t, int) else float(t) for t in grid.rule(n, *rest)]


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
    grid = timesteps(name, n << halvings, pipeline)
    for _ in range(halvings):
        grid = student_grid(grid, end_of(name, pipeline))
    return grid


def end_of(name: str, pipeline: Schedule | None = None) -> int:
    """The timestep that sampling on a grid ends at, :data:`ssdbench.diffusion.schedule.CLEAN` of most.

    A ``pipeline`` says itself where its own grid ends.
    """
    grid = _grid_for("eps", name)
    if pipeline is None or not grid.of_pipeline:
        return grid.end
    return CLEAN if pipeline.to_clean else 0


def flow_grid(name: str, sampler: Sampler) -> str:
    """The grid of times that a sampler walks for a flow: the suite's, or the sampler's own where the suite has none."""
    walked_name = walked_by(name, "v")
    return sampler.times if walked_name == UNIFORM.name else walked_name


def flow_times(name: str, n: int, noise_at: int) -> list[float]:
    """The n + 1 times of ``n`` steps on a flow's grid, from pure noise, at time ``noise_at`` (0 or 1), to the data.

    Raises:
        InputError: the grid is unknown, or one of timesteps; or it does not lead from 0 to 1 in ``n`` steps.
    """
    grid = _grid_for("v", name)
    if n < 1:
        raise InputError(f"grid {name!r} needs at least one step, not {n}")
    shares = _called(grid, n)
    if len(shares) != n + 1 or (shares[0], shares[-1]) != (0.0, 1.0) or sorted(set(shares)) != shares:
        raise InputError(
            f"grid {name!r} gave {shares} for {n} steps: expected {n + 1} increasing shares from 0 to 1"
        )
    return [1.0 - share if noise_at else float(share) for share in shares]
