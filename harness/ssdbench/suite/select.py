"""Selection of runs by their settings: ``--only 'variant=issd,nfe=10'``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ssdbench.errors import UsageError
from ssdbench.suite.author import SECTIONS, run_keys
from ssdbench.suite.document import whole_number
from ssdbench.suite.problems import Mark, Problems, did_you_mean, show
from ssdbench.suite.schema import ResolvedRun

SELECTABLE: tuple[str, ...] = (*(key for _, key, _ in run_keys() if key not in SECTIONS), "seed", "scale")
# Keys whose names a profile maps: a run is found by the name before and after.
_NAMED = {"model", "variant", "sampler", "nfe", "resolution", "data"}


class EmptySelection(UsageError):
    """No run is left: an empty table must not look like success."""

    exit_code = 5


def parse_only(only: str, problems: Problems) -> dict[str, list[str]]:
    """Conditions of a selection: key -> patterns. ``a=x|y`` is either; ``*``, ``?`` match as in file names.

    A condition without ``=`` and an unknown key are added to ``problems``.
    """
    conditions: dict[str, list[str]] = {}
    mark = Mark(file=f"--only {only}")
    for part in only.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key:
            problems.add(mark, "", f"{part.strip()!r} must read KEY=VALUE")
        elif key not in SELECTABLE:
            problems.add(mark, key, f"unknown key{did_you_mean(key, SELECTABLE)}")
        elif conditions.setdefault(key, choices := [one.strip() for one in value.split("|")]) != choices:
            problems.add(mark, key, "given twice; write a choice as KEY=A|B")
    return conditions


def select(
    runs: Sequence[ResolvedRun], only: str, given: Mapping[str, str] | None = None
) -> list[ResolvedRun]:
    """The runs that meet every condition of ``only``, in order.

    A name is compared as the suite wrote it and as the profile mapped it, a number also by its value.

    Args:
        runs: of a suite.
        only: see :func:`parse_only`.
        given: for messages, the option that gives all runs a key's value, such as ``--set nfe=5``.

    Raises:
        SuiteError: a condition cannot be understood.
        EmptySelection: no run meets them; the message names the values there are, and which conditions exclude each
            other.
    """
    problems = Problems()
    conditions = parse_only(only, problems)
    problems.raise_any()
    chosen = [run for run in runs if all(_meets(run, key, choice) for key, choice in conditions.items())]
    if chosen:
        return chosen
    given = given or {}
    unmet = [key for key, choice in conditions.items() if not any(_meets(run, key, choice) for run in runs)]
    hints = [_values(runs, key, given) for key in unmet] or [_contradiction(runs, conditions)]
    raise EmptySelection(f"--only {only}: no run matches ({'; '.join(hints)})")


def _values(runs: Sequence[ResolvedRun], key: str, given: Mapping[str, str]) -> str:
    values = list(dict.fromkeys(_text(value) for run in runs for value in _held(run, key)))
    shown = ", ".join(values[:12]) + (", ..." if len(values) > 12 else "")
    if key in given:
        return f"{key} is {shown}, which '{given[key]}' gives all runs"
    return f"{key} is one of: {shown}"


def _contradiction(runs: Sequence[ResolvedRun], conditions: Mapping[str, list[str]]) -> str:
    """Which condition is the first that no run meets of those that meet the ones before it."""
    left, met = list(runs), list[str]()
    for key, choices in conditions.items():
        narrowed = [run for run in left if _meets(run, key, choices)]
        if not narrowed:
            return f"some have {key}={'|'.join(choices)}, but where {' and '.join(met)}, {_values(left, key, {})}"
        left = narrowed
        met.append(f"{key}={'|'.join(choices)}")
    raise AssertionError("some run meets all conditions")


def matches(values: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Whether flat settings meet every condition's value, or one of its values where it is a list.

    ``*`` and ``?`` in text match as in file names.
    """
    return all(
        any(_equals(values.get(key), choice) for choice in (wanted if isinstance(wanted, list) else [wanted]))
        for key, wanted in conditions.items()
    )


def _equals(value: object, choice: object) -> bool:
    if isinstance(value, str) and isinstance(choice, str):
        return fnmatchcase(value, choice)
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)


def _meets(run: ResolvedRun, key: str, choices: list[str]) -> bool:
    return any(
        fnmatchcase(_text(value), choice) or _is_number(value, choice)
        for value in _held(run, key)
        for choice in choices
    )


def _is_number(value: object, text: str) -> bool:
    """Whether a text says a number, such as 1e-4 or 2e3, however it is spelt."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return whole_number(text) == value if isinstance(value, int) else float(text) == value
    except ValueError:
        return False


def _held(run: ResolvedRun, key: str) -> list[object]:
    """A key's value, and what the suite wrote where a profile has mapped it."""
    section, _, inner = key.rpartition(".")
    holder: Any = getattr(run, section) if section else run
    value = None if holder is None else getattr(holder, "lambda_" if inner == "lambda" else inner)
    if key in _NAMED:
        return [value, getattr(run.named, key)]
    return [value, run.named.reference] if key == "eval.reference" else [value]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "[" + " ".join(str(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else show(value)
