"""Which values a search tries next: a grid's, or those that Optuna's samplers draw."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ssdbench.api.space import Axis, grid_size
from ssdbench.errors import UsageError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

Goal = Literal["minimise", "maximise"]
CHOOSERS = ("grid", "tpe", "random")
_SEED = 0
_AGAIN = 100
"""How often a chooser that repeats itself is asked again."""


def chooser_of(name: str | None, axes: Sequence[Axis], budget: int) -> str:
    """Return the chooser that is meant: a grid where it fits into the budget, else TPE.

    Raises:
        UsageError: there is none of that name, or a grid that has no end or more points than the budget.

    """
    size = grid_size(axes)
    if name is None:
        return "grid" if size is not None and size <= budget else "tpe"
    if name not in CHOOSERS:
        raise UsageError(f"unknown chooser {name!r} (known: {', '.join(CHOOSERS)})")
    if name == "grid" and size is None:
        endless = next(axis.key for axis in axes if axis.points is None)
        raise UsageError(f"a grid needs steps: write {endless}=LOW:HIGH:STEP, or a list of values")
    if name == "grid" and size is not None and size > budget:
        raise UsageError(f"the grid has {size} points, --budget is {budget}")
    return name


def make_chooser(name: str, axes: Sequence[Axis], goal: Goal, budget: int) -> Chooser:
    """Return the chooser of that name.

    Raises:
        UsageError: it is Optuna's, which is not installed; says how to get it.

    """
    if name == "grid":
        return Grid(axes)
    try:
        import optuna
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "optuna":
            raise
        raise UsageError(f"the chooser {name} is Optuna's: pip install 'ssdbench[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return Optuna(name, axes, goal, budget)


class Chooser(Protocol):
    """Chooses values for one row. Equal answers give equal questions, so that a search that is run again resumes.

    ``left``: how many trials there still are.
    """

    left: int

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return the number and the values of a trial that differs from all before; None when there are no more."""
        ...

    def tell(self, number: int, value: float | None) -> None:
        """Take the value of a trial; None where it failed."""
        ...


class Grid:
    """All points, the first axis slowest."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        keys = [axis.key for axis in axes]
        points = itertools.product(*(axis.points or () for axis in axes))
        self._points = [dict(zip(keys, point, strict=True)) for point in points]
        self.left = len(self._points)

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return the next point."""
        number = len(self._points) - self.left
        self.left -= self.left > 0
        return (number, self._points[number]) if number < len(self._points) else None

    def tell(self, number: int, value: float | None) -> None:
        """Learn nothing."""


class Optuna:
    """The library's TPE, or values at random."""

    def __init__(self, name: str, axes: Sequence[Axis], goal: Goal, budget: int) -> None:
        import optuna

        self._axes = {axis.key: axis for axis in axes}
        size = grid_size(axes)
        self.left = budget if size is None else min(budget, size)
        self._spaces = {axis.key: _distribution(axis) for axis in axes}
        direction = (
            optuna.study.StudyDirection.MINIMIZE
            if goal == "minimise"
            else optuna.study.StudyDirection.MAXIMIZE
        )
        self._study = optuna.create_study(sampler=_sampler(name, axes, budget), direction=direction)
        self._seen: set[str] = set()

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return what the sampler draws, unless it was drawn before."""
        for _ in range(_AGAIN if self.left else 0):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = self._study.ask(self._spaces)
            values = {key: self._value(key, given) for key, given in trial.params.items()}
            text = json.dumps(values, sort_keys=True)
            if text not in self._seen:
                self._seen.add(text)
                self.left -= 1
                return trial.number, values
            self.tell(trial.number, None)
        self.left = 0
        return None

    def tell(self, number: int, value: float | None) -> None:
        """Pass it on."""
        from optuna.trial import TrialState

        if value is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def _value(self, key: str, given: Any) -> Any:
        axis = self._axes[key]
        return axis.choices[given] if axis.choices else axis.rounded(given)


def _distribution(axis: Axis) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.choices:
        return CategoricalDistribution(range(len(axis.choices)))  # its choices cannot be lists
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _sampler(name: str, axes: Sequence[Axis], budget: int) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler

    if name == "random":
        return RandomSampler(seed=_SEED)
    startup = max(2, min(10, budget // 3))
    return TPESampler(seed=_SEED, n_startup_trials=startup, multivariate=len(axes) > 1, constant_liar=True)
