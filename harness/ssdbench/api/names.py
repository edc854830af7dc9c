"""Every name that a suite can use, with a line about each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

Topic = StrEnum(
    "Topic",
    "MODELS FAMILIES VARIANTS SAMPLERS GRIDS DATASETS REFERENCES METRICS NETWORKS PROFILES LAYOUTS SUITES",
)
"""What there is to list."""


def described(topic: Topic) -> dict[str, str]:
    """Return the names of a topic, each with its line."""
    from ssdbench.suite import list_profiles, list_suites

    if topic is Topic.SUITES:
        return {name: _head(path, "title") for name, path in list_suites().items()}
    if topic is Topic.PROFILES:
        return {name: _head(path, "description") for name, path in list_profiles().items()}
    from ssdbench.suite import catalog

    facts = getattr(catalog, topic.value.upper())
    return {getattr(fact, "usage", name): _described_fact(fact) for name, fact in facts.items()}


def _head(path: Path, key: str) -> str:
    """Return one line of a suite's or profile's own description; one that cannot be read says so."""
    from ssdbench.errors import UsageError
    from ssdbench.suite.document import Problems
    from ssdbench.suite.find import read_document

    problems = Problems()
    try:
        document = read_document(path, problems)
        problems.raise_any()
    except UsageError:
        return "(cannot be read: 'ssdbench validate' says why)"
    known = isinstance(document.data, dict) and document.data.get(key) is not None
    return " ".join((document.written([key]) or "").split()) if known else ""


def _described_fact(fact: object) -> str:
    description = str(getattr(fact, "description", "") or getattr(fact, "help", ""))
    licence = getattr(fact, "licence", None)
    return f"{description} (licence: {licence})" if licence else description
