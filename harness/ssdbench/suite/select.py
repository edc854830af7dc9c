"""What a command line says of a suite: which runs, and with what settings (``--only``, ``--set``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ssdbench.errors import UsageError
from ssdbench.suite.author import SECTIONS, Patch, run_keys
from ssdbench.suite.document import INVALID, Mark, Problems, did_you_mean, show, whole_number
from ssdbench.suite.layers import RIVALS, Layer, document_layer
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.validate import validate
from ssdbench.suite.yaml_nodes import option_document

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
    for key, wanted in conditions.items():
        value = values.get(key)
        # A loop, since suites have thousands of rows and profiles dozens of rules.
        for one in wanted if isinstance(wanted, list) else (wanted,):
            if _equals(value, one):
                break
        else:
            return False
    return True


def _equals(value: object, choice: object) -> bool:
    if not isinstance(choice, str) or not isinstance(value, str):
        return _same(value, choice)
    wild = "*" in choice or "?" in choice or "[" in choice
    return value == choice or (wild and fnmatchcase(value, choice))


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


def override_layers(options: Sequence[str], seed: int | None, problems: Problems) -> list[Layer]:
    """The settings of ``KEY=VALUE`` options, the value being YAML, a layer each.

    Options add up: ``train={lr: 1e-4}`` and ``train.steps=50`` give both. The same setting with two different values is
    a problem, however it is spelt, and so are lambda and share together, and seeds beside ``--seed``.
    """
    layers: dict[str, Layer] = {}
    for text in options:
        layer = _layer(text, problems)
        if layer is None or text in layers:
            continue
        for earlier, other in layers.items():
            for key, value in layer.values.items():
                _compare(f"--set {text}", key, value, f"--set {earlier}", other, problems)
        layers[text] = layer
        seeds = layer.values.get("seeds", INVALID)
        if seed is not None and seeds is not INVALID and seeds != (seed,):
            problems.add(Mark(file=f"--set {text}"), "seeds", f"'--seed {seed}' gives another: leave one out")
    return list(layers.values())


def _compare(option: str, key: str, value: object, earlier: str, other: Layer, problems: Problems) -> None:
    """Add a problem where two options contradict each other; what is INVALID is said already."""
    rival = RIVALS.get(key, "")
    before, against = other.values.get(key, INVALID), other.values.get(rival)
    if value is INVALID:
        return
    if before is not INVALID and not _same(before, value):
        problems.add(Mark(file=option), key, f"'{earlier}' gives another value: leave one out")
    elif value is not None and against not in (None, INVALID):
        problems.add(Mark(file=option), key, f"give lambda or share, not both: '{earlier}' gives {rival}")


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _layer(text: str, problems: Problems) -> Layer | None:
    option = f"--set {text}"
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        problems.add(Mark(file=option), "", "must read KEY=VALUE, such as train.steps=50")
        return None
    document = option_document(value, option, key.strip().split("."), problems)
    validate(document, Patch, problems)
    return document_layer(document, document.data)


def check_options(only: str | None, limit: int | None, seed: int | None, problems: Problems) -> int | None:
    """Add to ``problems`` what is wrong with the other options; returns the seed unless it is wrong."""
    if only is not None:
        parse_only(only, problems)
    if limit is not None and limit < 2:
        problems.add(Mark(file=f"--limit {limit}"), "", "must be at least 2")
    if seed is None or 0 <= seed < 2**63:
        return seed
    problems.add(Mark(file=f"--seed {seed}"), "", "must be at least 0 and below 2^63")
    return None
