"""Write the tables of docs/solvers.md, measured on Gaussian data's exact flow: ``python -m tools.solvers_page``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tests.samplers.gaussian import (
    LABELS,
    MEAN,
    VARIANCE,
    exact_flow,
    grid_of,
    orders,
    sit_velocity,
    smooth_eps,
)
from tools.metrics_page import table
from torch import Tensor

from ssdbench.diffusion.schedule import alphas_cumprod, midpoint
from ssdbench.errors import InputError
from ssdbench.samplers import SAMPLERS, Sampler
from ssdbench.samplers.ddim import DDIM
from ssdbench.samplers.walks import flow_times, timesteps

PAGE = Path(__file__).parent.parent / "docs" / "solvers.md"
ALPHAS = alphas_cumprod()
X = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1)
TRUTH = MEAN + VARIANCE**0.5 * X  # where the flow of sit_velocity takes X
LEAST = 10  # evaluations at which solvers are compared

LESS_EXACT = {
    "plms-prk": "its first three steps take four evaluations each, so that 13 NFE are four steps, and DDIM's thirteen",
}
"""Solvers that DDIM beats at so few evaluations, and why."""


def solvers(prediction: str) -> list[str]:
    """Return the samplers that solve the model's ODE, each with a number of evaluations that is known before."""
    return [
        name
        for name, one in SAMPLERS.items()
        if prediction in one.predictions
        and not (one.stochastic or one.adaptive or one.follows_pairs or one.extrapolates or one.second_time)
    ]


def evaluations(sampler: Sampler, least: int = LEAST) -> int:
    """Return the smallest number of evaluations from ``least`` on that steps of a sampler take."""
    for nfe in range(least, least + 100):
        try:
            sampler.steps(nfe)
        except InputError:
            continue
        return nfe
    raise AssertionError(f"{sampler.name} takes no number of evaluations from {least} on")


def order(name: str) -> list[float]:
    """Return the orders of convergence between steps of 8, 4 and 2 timesteps, from t = 600 to 120."""
    sampler, errors = SAMPLERS[name], []
    for stride in (8, 4, 2):
        grid = grid_of(stride)
        walked = grid if sampler.to_first else grid[1:]
        found = sampler.function("eps")(smooth_eps, X, walked, ALPHAS, LABELS, grid[0])
        errors.append(float((found - exact_flow(X, grid[-1], grid[0])).abs().max()))
    return orders(errors)


def flow_error(name: str, steps: int) -> float:
    """Return the largest error of a flow's samples in so many equal steps."""
    times = flow_times(SAMPLERS[name].times, steps, 0)
    return float((SAMPLERS[name].function("v")(sit_velocity, X, times, LABELS) - TRUTH).abs().max())


def flow_order(name: str) -> list[float]:
    """Return the orders of convergence between 20, 40 and 80 steps."""
    return orders([flow_error(name, n) for n in (20, 40, 80)])


def error(name: str, nfe: int, grid: str | None = None) -> float:
    """Return the largest error of samples, from noise at the noisiest timestep to where the sampler ends.

    Without a ``grid`` the timesteps grow quadratically from t = 8, where they end, to 999. A grid goes on to the data.
    """
    sampler = SAMPLERS[name]
    n, end = sampler.steps(nfe), -1
    if grid is None:
        walk = [round((8**0.5 + (999**0.5 - 8**0.5) * i / n) ** 2) for i in range(n + 1)]
        walk, end = walk if sampler.to_first else walk[1:], walk[0]
    else:
        walk = timesteps(grid, sampler.timesteps(nfe))
        end = walk[0] if sampler.to_first else end
    x = X * math.sqrt(float(ALPHAS[999]) * VARIANCE + 1 - float(ALPHAS[999]))
    found = sampler.function("eps")(smooth_eps, x, walk, ALPHAS, LABELS, end)
    return float((found - exact_flow(x, walk[-1], end)).abs().max())


def against_ddim(name: str, grid: str | None = None, least: int = LEAST) -> float:
    """Return the error of a solver over that of DDIM with as many evaluations."""
    nfe = evaluations(SAMPLERS[name], least)
    return error(name, nfe, grid) / error(DDIM.name, nfe, grid)


# ---- diffusers


def scheduled(
    scheduler: Any, levels: Sequence[tuple[float, float]], last: float | None = None
) -> list[Tensor]:
    """Return what diffusers evaluates the denoiser at, along (timestep, alphas_cumprod) of ours, and its sample.

    It ends where its own ``set_timesteps`` does, or at a ``last`` alphas_cumprod.
    """
    scheduler.set_timesteps(len(levels))
    signal = torch.tensor([a for _, a in levels] + ([] if last is None else [last]), dtype=torch.float64)
    sigmas = ((1 - signal) / signal).sqrt()
    scheduler.sigmas = sigmas if last is not None else torch.cat([sigmas, scheduler.sigmas[-1:].double()])
    scheduler.timesteps = torch.tensor([t for t, _ in levels], dtype=torch.float64)
    scheduler.set_begin_index(0)
    seen = [X]
    for t in scheduler.timesteps:
        eps = smooth_eps(seen[-1], t.expand(len(X)), LABELS)
        seen.append(scheduler.step(eps, t, seen[-1]).prev_sample)
    return seen


def multistep(scheduler: str, settings: dict[str, Any], whole: bool, name: str, n: int = 8) -> float:
    """Return the largest difference along the grid ``even`` of N timesteps, to the data where that is ``whole``."""
    import diffusers

    grid = timesteps("even", n)
    expected = scheduled(
        getattr(diffusers, scheduler)(**settings), [(float(t), float(ALPHAS[t])) for t in reversed(grid)]
    )
    seen: list[Tensor] = []

    def watch(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        seen.append(x)
        return smooth_eps(x, t, cond)

    seen.append(SAMPLERS[name].function("eps")(watch, X, grid, ALPHAS, LABELS))
    assert len(seen) == n + 1
    assert seen[-1].isfinite().all()
    return _difference(seen[: n + whole], expected[: n + whole])


def singlestep(settings: dict[str, Any], name: str, n: int = 6) -> float:
    """Return the difference of the samples of a solver of steps, at the first timestep of the grid ``even``."""
    from diffusers import DPMSolverSinglestepScheduler

    grid, levels = timesteps("even", n), []
    for s, t in pairwise(reversed(grid)):
        levels.append((float(s), float(ALPHAS[s])))
        if settings["solver_order"] == 2:
            levels.append(midpoint(ALPHAS, s, t))
    scheduler = DPMSolverSinglestepScheduler(
        **settings, lower_order_final=False, final_sigmas_type="sigma_min"
    )
    expected = scheduled(scheduler, levels, float(ALPHAS[grid[0]]))[-1]
    return _difference([SAMPLERS[name].function("eps")(smooth_eps, X, grid, ALPHAS, LABELS)], [expected])


def trailing(scheduler: str, settings: dict[str, Any], name: str, n: int = 10) -> float:
    """Return the difference of the samples on the grid ``trailing``, which is diffusers' own where N divides T."""
    import diffusers

    betas = {"beta_start": 1e-4, "beta_end": 2e-2, "beta_schedule": "linear", "set_alpha_to_one": True}
    theirs = getattr(diffusers, scheduler)(**betas, timestep_spacing="trailing", **settings)
    theirs.alphas_cumprod = ALPHAS
    theirs.set_timesteps(n)
    x = X
    for t in theirs.timesteps:
        x = theirs.step(smooth_eps(x, t.expand(len(X)), LABELS), int(t), x).prev_sample
    ours = SAMPLERS[name].function("eps")(smooth_eps, X, timesteps("trailing", n), ALPHAS, LABELS)
    return _difference([ours], [x])


def _difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


_DPM, _UNIPC, _SINGLE = (
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "DPMSolverSinglestepScheduler",
)
_TO_ZERO = {"final_sigmas_type": "zero"}
_PLAIN = {"algorithm_type": "dpmsolver"}
AGREEMENTS: dict[str, tuple[str, Callable[..., float]]] = {
    "ddim": ("DDIMScheduler", partial(trailing, "DDIMScheduler", {"clip_sample": False})),
    "plms-heun": ("PNDMScheduler", partial(trailing, "PNDMScheduler", {"skip_prk_steps": True})),
    "plms-prk": ("PNDMScheduler", partial(trailing, "PNDMScheduler", {"skip_prk_steps": False})),
    "dpm-solver-1": (_SINGLE, partial(singlestep, {"solver_order": 1} | _PLAIN)),
    "dpm-solver-2": (_SINGLE, partial(singlestep, {"solver_order": 2} | _PLAIN)),
    "dpm-solver++-2s": (_SINGLE, partial(singlestep, {"solver_order": 2})),
    "dpm-solver++-2m": (_DPM, partial(multistep, _DPM, {"solver_order": 2} | _TO_ZERO, True)),
    "dpm-solver++-3m": (_DPM, partial(multistep, _DPM, {"solver_order": 3} | _TO_ZERO, True)),
    "unipc": (_UNIPC, partial(multistep, _UNIPC, {"solver_order": 2}, True)),
    "unipc-3": (_UNIPC, partial(multistep, _UNIPC, {"solver_order": 3}, True)),
    # diffusers' UniPC with B(h) = h multiplies infinity by 0 in the last step, and its DEIS ends at timestep 0.
    "unipc-bh1": (_UNIPC, partial(multistep, _UNIPC, {"solver_order": 2, "solver_type": "bh1"}, False)),
    "unipc-3-bh1": (_UNIPC, partial(multistep, _UNIPC, {"solver_order": 3, "solver_type": "bh1"}, False)),
    "deis-log-rho": (
        "DEISMultistepScheduler",
        partial(multistep, "DEISMultistepScheduler", {"solver_order": 3}, False),
    ),
}
"""diffusers' scheduler of a sampler, and the largest difference from it, a function of the name and N."""
CLOSE = 1e-5  # in samples of about 1; diffusers computes its coefficients in float32


# ---- the page


def eps_table() -> str:
    """Return the table of solvers for eps."""
    heads = ("sampler", "cost", "order", "measured", "NFE", "error / DDIM's", "on `even`", "diffusers")
    return table(heads, map(_eps_row, solvers("eps")))


def _eps_row(name: str) -> tuple[str, ...]:
    sampler = SAMPLERS[name]
    scheduler, difference = AGREEMENTS.get(name, ("", None))
    assert difference is None or difference(name) < CLOSE, name
    declared, measured = ("", "") if sampler.order is None else (str(sampler.order), f"{order(name)[-1]:.1f}")
    ratios = (f"{against_ddim(name, grid):.2g}" for grid in (None, "even"))
    return (
        f"`{name}`",
        sampler.cost,
        declared,
        measured,
        str(evaluations(sampler)),
        *ratios,
        f"`{scheduler}`" if scheduler else "",
    )


def flow_table() -> str:
    """Return the table of solvers for flows."""
    heads = ("sampler", "cost", "order", "measured", "NFE", "error / Euler's")
    return table(heads, map(_flow_row, solvers("v")))


def _flow_row(name: str) -> tuple[str, ...]:
    sampler, nfe = SAMPLERS[name], evaluations(SAMPLERS[name])
    ratio = flow_error(name, sampler.steps(nfe)) / flow_error(DDIM.name, nfe)
    return (
        f"`{name}`",
        sampler.cost,
        str(sampler.order),
        f"{flow_order(name)[-1]:.1f}",
        str(nfe),
        f"{ratio:.2g}",
    )


def exceptions() -> str:
    """Return why some are less exact than DDIM."""
    return "\n".join(f"- `{name}`: {why}." for name, why in LESS_EXACT.items())


def written(page: str) -> str:
    """Return the page with its tables made anew."""
    for name, made in (("eps", eps_table), ("flows", flow_table), ("exceptions", exceptions)):
        start, end = f"<!-- {name}: written by tools/solvers_page.py -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"({re.escape(start)}\n).*?({re.escape(end)})", re.DOTALL)
        page, count = pattern.subn(lambda found, made=made: f"{found[1]}{made()}\n{found[2]}", page)
        assert count == 1, f"the page has no place for {name}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
