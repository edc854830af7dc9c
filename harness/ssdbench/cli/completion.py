"""What a shell completes: suites, profiles, networks, settings' names, and the keys of runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress


def _named(topic: str) -> Iterator[str]:
    from ssdbench.api.names import Topic, described

    return iter(described(Topic(topic)))


def _suites() -> Iterator[str]:
    yield from _named("suites")


def _settings() -> Iterator[str]:
    for key, topic in (("model", "models"), ("sampler", "samplers"), ("grid", "grids"), ("data", "datasets")):
        yield from (f"{key}={name}" for name in _named(topic))


def _keys() -> Iterator[str]:
    from ssdbench.store.places import open_store

    for key in open_store(os.environ.get("SSDBENCH_RESULTS", "results")).record_keys():
        yield key[:12]


COMPLETED: dict[str, Callable[[], Iterator[str]]] = {
    "suite": _suites,
    "suites": _suites,
    "like": _suites,
    "profile": lambda: _named("profiles"),
    "network": lambda: _named("networks"),
    "set": _settings,
    "only": _settings,
    "run": _keys,
    "runs": _keys,
    "key": _keys,
}
"""What completes the value of an option or argument, by its name."""


def completing(name: str) -> Callable[[str], list[str]] | None:
    """Return what lists the values of an option or argument that begin with a text; None where nothing is known."""
    if (values := COMPLETED.get(name)) is None:
        return None

    def complete(incomplete: str) -> list[str]:
        found: list[str] = []
        with suppress(Exception):  # a shell waits for it: better nothing than a traceback in its line
            found += (value for value in values() if value.startswith(incomplete))
        return found

    return complete
