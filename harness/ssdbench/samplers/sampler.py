"""What a sampler declares of itself: the models it is for, the evaluations it takes, where it ends, and its body."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ssdbench import own
from ssdbench.declaration import Declaration
from ssdbench.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    Body = Callable[..., Tensor] | str

Predicted = Literal["eps", "v"]
Pairs = str | Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Sampler(Declaration):
    """A sampler: its body for each kind of model, and what planning, checks and reports have to know of it.

    Args:
        eps: the body for models that predict eps: ``f(denoiser, x, grid, alphas_cumprod, cond, end, **options)``, see
            :func:`ssdbench.samplers.ddim.ddim`; or ``package.module:function`` of it. None: it is not for them.
        v: the same for flows: ``f(denoiser, x, times, cond, **options)``, see :func:`ssdbench.samplers.ddim.euler`.
        options: further arguments of the bodies.
        evaluations: the evaluations of a number of steps; it grows with the steps.
        cost: the same in words.
        fewest: the fewest steps that it can take.
        to_first: it ends at the first timestep of the grid, not after it: N steps visit N + 1 timesteps.
        follows_pairs: it follows the target of the run's trained pairs, with one more evaluation each. The body is
            given their indices as ``pairs`` and lambda as ``lam``.
        extrapolates: it samples the limit of Eq. 6: at the run's trained pairs, the state of its one fused layer is
            extrapolated from that of the evaluation before.
        adaptive: it chooses its evaluations itself, so that a suite gives none; what it usually takes, for estimates.
            0: it takes those that the suite gives. Of its grid's times it heeds the first and the last alone.
        stochastic: the body is given ``noise``, a function from the step to standard normal noise of x's shape.
        renoises: each evaluation predicts the sample itself, so that its grid may not begin at clean data, where one
            would tell nothing.
        second_time: it tells the network where each step leads, as ``r``: it is for networks with a second time.
        learned_sigma: the denoiser is to return the learned sigma too, where the model has it.
        from_pure_noise: its first step is one evaluation's alone, so that it can start where there is no signal.
        order: the order of convergence; None: it has none, or it is not known.
        times: the grid of a flow's times, where the suite names none.
        family: the paper's name for its kind of sampler, ``ode`` or ``sde``.
        note: what is said of it under a table. ``{lam}``, ``{pairs}`` and ``{fusion}`` stand for the training's.
    """

    KIND: ClassVar[str] = "sampler"

    eps: Body | None = field(default=None, repr=False)
    v: Body | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    evaluations: Callable[[int], int] = field(default=int, repr=False)
    cost: str = "one evaluation a step"
    fewest: int = 1
    to_first: bool = False
    follows_pairs: bool = False
    extrapolates: bool = False
    adaptive: int = 0
    stochastic: bool = False
    renoises: bool = False
    second_time: bool = False
    learned_sigma: bool = False
    from_pure_noise: bool = True
    order: int | None = None
    times: str = "uniform"
    family: Literal["ode", "sde", ""] = ""
    note: str = ""

    @property
    def predictions(self) -> tuple[Predicted, ...]:
        """What the models predict that it is for; nothing where nothing is sampled."""
        return tuple(name for name, body in (("eps", self.eps), ("v", self.v)) if body is not None)  # type: ignore[misc]

    @property
    def takes_ddim_steps(self) -> bool:
        """Whether it walks as a student is trained: one DDIM (Euler) step from each timestep to the next."""
        return self.order == 1 and not self.stochastic and not self.to_first

    def told(self, nfe: int) -> str:
        """The evaluations in words; those of an adaptive sampler are known once it ran."""
        return "adaptive NFE" if self.adaptive else f"{nfe} NFE"

    def function(self, prediction: Predicted) -> Callable[..., Tensor]:
        """The body for models of a prediction, its options set.

        Raises:
            InputError: it is not for them, or the body cannot be imported.
        """
        body = self.eps if prediction == "eps" else self.v
        if body is None:
            raise InputError(f"sampler {self.name!r} is not for models that predict {prediction}")
        return partial(own.load(body) if isinstance(body, str) else body, **self.options)

    def nfe(self, steps: int, pairs: Pairs = "all") -> int:
        """The evaluations of so many steps; ``pairs`` (``all``, ``skip_last`` or indices) of a run's training.

        0 of an adaptive sampler.
        """
        if self.adaptive:
            return 0
        return self.evaluations(steps) + (len(trained_pairs(pairs, steps)) if self.follows_pairs else 0)

    def steps(self, nfe: int, pairs: Pairs = "all") -> int:
        """The steps that take so many evaluations; of an adaptive sampler one, all the way.

        Raises:
            InputError: no number of steps takes them; names the nearest that some do.
        """
        if self.adaptive:
            if nfe:
                raise InputError(
                    f"must be 0 or left out for sampler {self.name!r}, which takes {self.cost}, not {nfe}"
                )
            return 1
        below = None
        for steps, found in self._costs(pairs):
            if found == nfe:
                return steps
            if found > nfe:
                break
            below = found
        must = f"at least {found}" if below is None else f"{below} or {found}"
        raise InputError(f"must be {must} for sampler {self.name!r}, which takes {self.cost}, not {nfe}")

    def timesteps(self, nfe: int, pairs: Pairs = "all") -> int:
        """The timesteps that so many evaluations visit, the one that it ends at among them.

        Raises:
            InputError: as :meth:`steps`.
        """
        return self.steps(nfe, pairs) + self.to_first

    def _costs(self, pairs: Pairs) -> Iterator[tuple[int, int]]:
        """(steps, their evaluations), from the fewest on, without an end."""
        before = -1
        for steps in count(self.fewest):
            found = self.nfe(steps, pairs)
            if found <= before:
                raise InputError(
                    f"sampler {self.name!r}: {steps} steps take {found} evaluations and {steps - 1} take {before}:"
                    " expected more for more steps"
                )
            before = found
            yield steps, found


def of_function(name: str, function: Callable[..., Tensor]) -> Sampler:
    """The declaration of a plain function for models that predict eps, with one evaluation a timestep."""
    return Sampler(name=name, help=f"{name}, a function of the user's own", eps=function)


def trained_pairs(pairs: Pairs, timesteps: int) -> tuple[int, ...]:
    """Indices i of the pairs (g[i], g[i-1]) of a grid of so many timesteps that ``train.pairs`` names."""
    if pairs == "all":
        return tuple(range(1, timesteps))
    if pairs == "skip_last":
        return tuple(range(2, timesteps))
    return tuple(sorted(map(int, pairs)))


NONE = Sampler(name="none", help="no sampling: for the variants that score images of a data set")
