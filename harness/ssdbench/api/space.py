"""What a search runs over, settings with the values that they may take, and what chooses the next ones to try."""

from __future__ import annotations

import itertools
import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ssdbench.errors import UsageError
from ssdbench.suite.author import SECTIONS, TUPLE_KEYS, holds, run_keys
from ssdbench.suite.document import INVALID, Problems, did_you_mean
from ssdbench.suite.yaml_nodes import option_document

Over = Mapping[str, Any] | Sequence[str]
"""``{"train.lambda": "0.1:0.9", "train.fuse": ["last", "all"]}``, or texts ``"train.lambda=0.1:0.9"``."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER}):({_NUMBER})(?::({_NUMBER}|log))?\s*")
_OWN = "train.settings."
_FIXED = {*TUPLE_KEYS, "settings", "label", "group", "epochs", "keep"} - {"sampler"}
"""Keys that say which row it is, or change no number."""
_DIGITS = 4


@dataclass(frozen=True)
class Axis:
    """One setting: ``choices``, or the numbers from ``low`` to ``high``, whole ones where ``whole``.

    A range has steps of ``step``, or is searched on a logarithmic scale (``log``).
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False

    @property
    def points(self) -> tuple[Any, ...] | None:
        """All values, or None of a range that is not a finite number of them."""
        if self.choices:
            return self.choices
        step = self.step or (1.0 if self.whole and not self.log else None)
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.rounded(self.low + i * step) for i in range(count))

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that have to be possible for all of them to be: every choice, or both ends."""
        return self.choices or (self.rounded(self.low), self.rounded(self.high))

    def rounded(self, value: float) -> float:
        """A number as trials take it: four digits, and within the range."""
        if self.whole:
            return int(value)
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)

    @property
    def told(self) -> str | list[Any]:
        """As it stands in a file of settings."""
        if self.choices:
            return list(self.choices)
        text = f"{self.rounded(self.low):g}:{self.rounded(self.high):g}"
        return f"{text}:log" if self.log else f"{text}:{self.step:g}" if self.step else text


def axes_of(over: Over) -> list[Axis]:
    """The axes that options or an argument name.

    Raises:
        UsageError: one cannot be understood, is no setting to search, or is named twice.
    """
    if isinstance(over, Mapping):
        items = [(key, value, f"over: {key}") for key, value in over.items()]
    else:
        items = [_parted(text) for text in ([over] if isinstance(over, str) else over)]
    if not items:
        raise UsageError("--over names nothing to search, such as train.lambda=0.1:0.9")
    axes = [_axis(key, value, place) for key, value, place in items]
    for key, times in Counter(axis.key for axis in axes).items():
        if times > 1:
            raise UsageError(f"--over names {key} twice")
    return axes


def _parted(text: str) -> tuple[str, str, str]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key or not value:
        raise UsageError(
            f"--over {text}: must read KEY=LOW:HIGH, KEY=LOW:HIGH:STEP, KEY=LOW:HIGH:log or KEY=A,B,C"
        )
    return key, value, f"--over {text}"


def _axis(key: str, value: Any, place: str) -> Axis:
    fields = {name: field for _, name, field in run_keys() if name not in SECTIONS}
    searchable = [name for name in fields if name not in _FIXED and not name.startswith("eval.")]
    if key not in searchable and not key.startswith(_OWN):
        why = "is no setting to search" if key in fields else "unknown key"
        raise UsageError(f"{place}: {key}: {why}{did_you_mean(key, searchable)}")
    field = fields.get(key)
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        whole = not holds(field.annotation, float) if field is not None else not re.search(r"[.eE]", value)
        return _range(key, found, whole, place)
    choices = _listed(value, place) if isinstance(value, str) else value
    if not isinstance(choices, list | tuple) or not choices:
        raise UsageError(f"{place}: must be LOW:HIGH, LOW:HIGH:STEP, LOW:HIGH:log or a list of values")
    if len({repr(one) for one in choices}) < len(choices):
        raise UsageError(f"{place}: a value is repeated")
    return Axis(key, tuple(choices))


def _listed(text: str, place: str) -> list[Any]:
    """``last,all,[4,5]`` as YAML reads ``[last,all,[4,5]]``."""
    problems = Problems()
    data = option_document(f"[{text}]", place, (), problems).data
    problems.raise_any()
    return [] if data is INVALID else list(data)


def _range(key: str, found: re.Match[str], whole: bool, place: str) -> Axis:
    low, high = float(found[1]), float(found[2])
    log = found[3] == "log"
    step = None if log or found[3] is None else float(found[3])
    broken = {
        "the first end must be below the second": not low < high,
        "a logarithmic range begins above 0": log and low <= 0,
        "the step must be above 0 and within the range": step is not None and not 0 < step <= high - low,
        f"{key} takes whole numbers": whole and not all(map(float.is_integer, (low, high, step or 1.0))),
    }
    for rule, is_broken in broken.items():
        if is_broken:
            raise UsageError(f"{place}: {rule}")
    return Axis(key, low=low, high=high, step=step, log=log, whole=whole)


def grid_size(axes: Sequence[Axis]) -> int | None:
    """How many points a grid of the axes has; None where it has no end."""
    points = [axis.points for axis in axes]
    return None if None in points else math.prod(len(one) for one in points if one is not None)


def corners(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """All axes at their first ends, then one axis after the other at its other ends; the same from the last ends."""
    for side in (0, -1):
        base = {axis.key: axis.ends[side] for axis in axes}
        yield base
        for axis in axes:
            for value in axis.ends:
                if value != base[axis.key]:
                    yield base | {axis.key: value}


# ---- the choosers

Goal = Literal["minimise", "maximise"]
CHOOSERS = ("grid", "tpe", "random")
_SEED = 0
_AGAIN = 100
"""How often a chooser that repeats itself is asked again."""


class Grid:
    """All points, the first axis slowest."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.name = "grid"
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
        from optuna.distributions import BaseDistribution as Space
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
        from optuna.samplers import RandomSampler, TPESampler

        self.name = name
        size = grid_size(axes)
        self.left = budget if size is None else min(budget, size)
        self._axes = {axis.key: axis for axis in axes}
        self._spaces: dict[str, Space] = {
            axis.key: CategoricalDistribution(range(len(axis.choices)))  # its choices cannot be lists
            if axis.choices
            else IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
            if axis.whole
            else FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)
            for axis in axes
        }
        startup, several = max(2, min(10, budget // 3)), len(axes) > 1
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            sampler=RandomSampler(seed=_SEED)
            if name == "random"
            else TPESampler(seed=_SEED, n_startup_trials=startup, multivariate=several, constant_liar=True),
            direction="minimize" if goal == "minimise" else "maximize",
        )
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
        """Take the value of a trial; None where it failed."""
        from optuna.trial import TrialState

        self._study.tell(number, value, state=TrialState.FAIL if value is None else None)

    def _value(self, key: str, given: Any) -> Any:
        axis = self._axes[key]
        return axis.choices[given] if axis.choices else axis.rounded(given)


Chooser = Grid | Optuna
"""Chooses values for one row. Equal answers give equal questions, so that a search that is run again resumes.

``left`` is how many trials there still are, ``ask`` gives the number and the values of one that differs from all
before, None when there are no more, and ``tell`` takes its value, None where it failed.
"""


def chooser_of(name: str | None, axes: Sequence[Axis], goal: Goal, budget: int) -> Chooser:
    """Return the chooser that is meant: without a name a grid where it fits into the budget, else TPE.

    Raises:
        UsageError: there is none of that name; a grid that has no end or more points than the budget; or Optuna's
            choosers without Optuna, with how to get it.

    """
    size = grid_size(axes)
    if name is None:
        name = "grid" if size is not None and size <= budget else "tpe"
    if name not in CHOOSERS:
        raise UsageError(f"unknown chooser {name!r} (known: {', '.join(CHOOSERS)})")
    if name == "grid":
        if size is None:
            endless = next(axis.key for axis in axes if axis.points is None)
            raise UsageError(f"a grid needs steps: write {endless}=LOW:HIGH:STEP, or a list of values")
        if size > budget:
            raise UsageError(f"the grid has {size} points, --budget is {budget}")
        return Grid(axes)
    try:
        return Optuna(name, axes, goal, budget)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "optuna":
            raise
        raise UsageError(f"the chooser {name} is Optuna's: pip install 'ssdbench[search]'") from None
