"""Samplers, grids, networks and data sets by name, for any denoiser and any images, without a suite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ssdbench.declaration import Catalog
from ssdbench.errors import UsageError
from ssdbench.samplers import GRIDS, SAMPLERS
from ssdbench.samplers.grids import listed
from ssdbench.suite.document import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from ssdbench.data.datasets import Images
    from ssdbench.diffusion.denoiser import Denoiser
    from ssdbench.diffusion.schedule import Schedule
    from ssdbench.metrics.networks import FeatureNetwork
    from ssdbench.models.shapes import Shape


@dataclass(frozen=True)
class NamedSampler:
    """A sampler by its name: call it with a denoiser and noise."""

    name: str

    def __call__(
        self,
        denoiser: Denoiser | Callable[..., Tensor],
        x: Tensor,
        cond: Tensor | None = None,
        *,
        nfe: int = 0,
        grid: str | Sequence[float] = "even",
        schedule: Schedule | Literal["dit", "sd"] | None = None,
        noise_at: Literal[0, 1] | None = None,
        pairs: Sequence[int] = (),
        lam: float | Literal["eq12"] | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Sample from noise, as a suite's run does: the same grids, and an error where ``nfe`` is not kept to.

        Args:
            denoiser: ``denoiser(x, t, cond)``: x (B, C, H, W), t (B,), and a prediction (B, C', H, W) whose first C
                channels are eps, or v of a flow; the rest, a learned sigma, is read by ``sde`` alone.
            x: standard normal noise, float (B, C, H, W), on the denoiser's device.
            cond: passed on to the denoiser, (B, ...).
            nfe: evaluations of the denoiser; none of an adaptive sampler.
            grid: which of the 1,000 timesteps are visited, see :func:`grid`; or a list of them, the noisiest first, or
                of a flow's noise levels from 1.
            schedule: the noise schedule that the denoiser was trained with, ``dit`` (linear betas) or ``sd`` (Stable
                Diffusion's); by default that of the denoiser where it is a model of a run, else ``dit``.
            noise_at: of a flow, the time of pure noise: 0 as in SiT, 1 as in REPA; None: eps in discrete time.
            pairs: of ``ssd-teacher``, the indices i of the pairs (g[i], g[i-1]).
            lam: of ``ssd-teacher``, lambda of Eq. 5, or ``eq12``.
            seed: of the noise that a stochastic sampler adds on the way.

        Returns:
            The samples, (B, C, H, W), x's dtype.

        Raises:
            UsageError: the sampler is not for such models, or for no function.
            InputError: no grid of that name has so many timesteps, or no number of steps takes so many evaluations.

        """
        import torch

        from ssdbench.diffusion.denoiser import Counted
        from ssdbench.stages.denoising import predicting, solver
        from ssdbench.stages.sample import Sampling

        self._check(noise_at)
        if not isinstance(grid, str):
            grid = listed([t.item() if hasattr(t, "item") else t for t in grid])
        _known(GRIDS, grid)
        how = Sampling(
            shape=_shape(denoiser, x, schedule),
            sampler=self.name,
            grid=grid,
            nfe=nfe,
            flow=noise_at,
            pairs=tuple(pairs),
            lam=lam,
        )
        counted = Counted(predicting(denoiser, how))
        with torch.no_grad():
            # A denoiser that takes no condition is given the None that it was called with.
            found = solver(how, seed)(counted, x, cond, range(len(x)))  # type: ignore[arg-type]
        if not SAMPLERS.named(self.name).adaptive:
            counted.expect(nfe)
        return found.to(x.dtype)

    def _check(self, noise_at: int | None) -> None:
        if SAMPLERS.named(self.name).extrapolates:
            raise UsageError(f"sampler {self.name!r} works on a model's hidden states: name it in a suite")
        predicted = "eps" if noise_at is None else "v"
        if predicted not in SAMPLERS.named(self.name).predictions:
            fit = [name for name, other in SAMPLERS.items() if predicted in other.predictions]
            raise UsageError(
                f"sampler {self.name!r} is not for models that predict {predicted} (those that are: {', '.join(fit)})"
            )


def sampler(name: str) -> NamedSampler:
    """Return a sampler by its name in suites, or ``package.module:name`` of a declaration or a plain function.

    Raises:
        UsageError: there is none of that name.
        InputError: the module has no such sampler.

    """
    _known(SAMPLERS, name)
    return NamedSampler(name)


def grid(name: str) -> Callable[[int], list[int]]:
    """Return a grid by its name: a function from N to the N timesteps out of 0..999, in increasing order.

    Raises:
        UsageError: there is none of that name. The function raises InputError where the grid has no N timesteps.

    """
    from functools import partial

    from ssdbench.samplers.walks import timesteps

    _known(GRIDS, name)
    return partial(timesteps, name)


def network(name: str, *, weights: str | Path | None = None, device: str = "cpu") -> FeatureNetwork:
    """Return a feature network by its name in suites, loaded: uint8 images (B, C, H, W) -> its taps.

    Raises:
        UsageError: there is none of that name.
        InputError: its weights are missing or do not fit.

    """
    from ssdbench.metrics.networks import load_network

    return load_network(name, weights, device)


def dataset(name: str | Path, resolution: int) -> Images:
    """Return a data set by its name in suites, a folder of images (with a /), or ``package.module:function``.

    Its ``pixels`` are uint8 (N, H, W, C), its ``labels`` int64 (N,).

    Raises:
        InputError: there is none of that name, or its files are missing or malformed.

    """
    from ssdbench.data.datasets import load_images

    return load_images(f"{name}/" if isinstance(name, Path) else name, resolution)


def _known(catalog: Catalog[Any], name: str) -> None:
    if catalog.find(name) is None:
        raise UsageError(f"unknown {catalog.kind.KIND} {name!r}{did_you_mean(name, list(catalog))}")


def _shape(denoiser: object, x: Tensor, schedule: Schedule | str | None) -> Shape:
    """Return a shape that says how a denoiser is sampled: of it, samplers read the schedule alone."""
    from ssdbench.diffusion.schedule import DIT, STABLE_DIFFUSION, Schedule
    from ssdbench.models.shapes import DiTShape

    named = {"dit": DIT, "sd": STABLE_DIFFUSION}
    found = getattr(getattr(denoiser, "shape", None), "schedule", DIT) if schedule is None else schedule
    if not isinstance(found, Schedule):
        if found not in named:
            raise UsageError(f"unknown schedule {found!r} (known: {', '.join(named)})")
        found = named[found]
    return DiTShape(width=1, depth=1, heads=1, in_channels=x.shape[1], schedule=found)
