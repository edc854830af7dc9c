"""Which runs of a suite are meant, and with what settings: the options that every verb and ``load`` share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssdbench.errors import UsageError
from ssdbench.suite import Suite, load_suite

Settings = Mapping[str, Any] | Sequence[str]
"""Settings of every run: ``{"train.steps": 50}``, or texts ``"train.steps=50"`` whose values are YAML."""

Conditions = str | Mapping[str, Any] | Sequence[str]
"""Which runs: ``"variant=issd,nfe=10"``, several such texts, or ``{"variant": "issd", "nfe": [10, 20]}``."""


@dataclass(frozen=True)
class Selection:
    """The options that change which runs a suite has and what they are."""

    profile: str | None = None
    only: str | None = None
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    seed: int | None = None

    @classmethod
    def of(
        cls,
        profile: str | None,
        only: Conditions | None,
        overrides: Settings | None,
        limit: int | None,
        seed: int | None,
    ) -> Selection:
        """Return the selection that options or arguments make.

        Raises:
            UsageError: a value of ``only`` cannot be written as a condition.

        """
        return cls(profile, _conditions(only), _settings(overrides), limit, seed)

    def load(self, suite: str | Path) -> Suite:
        """Load a suite under this selection.

        Raises:
            SuiteError: the suite, the profile or an option is wrong; all problems together.
            EmptySelection: ``only`` leaves no run.

        """
        return load_suite(suite, **asdict(self))


def _settings(given: Settings | None) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    if isinstance(given, Mapping):
        return tuple(f"{key}={yaml_text(key, value)}" for key, value in given.items())
    return tuple(given)


def yaml_text(key: str, value: Any) -> str:
    """Return a value as YAML on one line; JSON is YAML, and a text in quotes stays a text."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise UsageError(f"set: {key}: {value!r} is no value of a setting ({error})") from None


def _plain(value: Any) -> Any:
    """Return a path as text, and a number of numpy's as Python's."""
    if isinstance(value, Path):
        return str(value)
    if callable(item := getattr(value, "item", None)):
        return item()
    raise TypeError(f"a value of type {type(value).__name__}")


def _conditions(given: Conditions | None) -> str | None:
    if given is None or isinstance(given, str):
        return given or None
    if isinstance(given, Mapping):
        given = [f"{key}={_choice(key, value)}" for key, value in given.items()]
    return ",".join(given) or None


def _choice(key: str, value: Any) -> str:
    """Return ``a|b`` for several values."""
    values = value if isinstance(value, list | tuple | set | frozenset | range) else [value]
    texts = [json.dumps(one) if one is None or isinstance(one, bool) else str(one) for one in values]
    for text in texts:
        if "," in text or "|" in text:
            raise UsageError(
                f"only: {key}: {text!r} holds a comma or a bar, which separate conditions; write ? for it"
            )
    return "|".join(texts)
