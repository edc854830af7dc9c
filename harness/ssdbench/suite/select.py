"""Selection of runs by their settings: ``--only 'variant=issd,nfe=10'``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ssdbench.errors import UsageError
from ssdbench.suite.author import SECTIONS, run_keys
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
        elif key in conditions:
            problems.add(mark, key, "given twice; write a choice as KEY=A|B")
        else:
            conditions[key] = [choice.strip() for choice in value.split("|")]
    return conditions


def select(runs: Sequence[ResolvedRun], only: str) -> list[ResolvedRun]:
    """The runs that meet every condition of ``only``, in order.

    A name is compared as the suite wrote it and as the profile mapped it; either will do.

    Raises:
        SuiteError: a condition cannot be understood.
        EmptySelection: no run meets them; the message names the values there are.
    """
    problems = Problems()
    conditions = parse_only(only, problems)
    problems.raise_any()
    chosen = [run for run in runs if all(_meets(run, key, choice) for key, choice in conditions.items())]
    if chosen:
        return chosen
    hints = []
    for key, choices in conditions.items():
        values = list(dict.fromkeys(text for run in runs for text in _texts(run, key)))
        if not any(fnmatchcase(text, choice) for text in values for choice in choices):
            shown = ", ".join(values[:12]) + (", ..." if len(values) > 12 else "")
            hints.append(f"{key} is one of: {shown}")
    detail = f" ({'; '.join(hints)})" if hints else ""
    raise EmptySelection(f"--only {only}: no run matches{detail}")


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
    return any(fnmatchcase(text, choice) for text in _texts(run, key) for choice in choices)


def _texts(run: ResolvedRun, key: str) -> list[str]:
    section, _, inner = key.rpartition(".")
    holder: Any = getattr(run, section) if section else run
    value = None if holder is None else getattr(holder, "lambda_" if inner == "lambda" else inner)
    texts = [_text(value)]
    if key in _NAMED:
        texts.append(_text(getattr(run.named, key)))
    elif key == "eval.reference":
        texts.append(run.named.reference)
    return texts


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "[" + " ".join(str(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else show(value)
