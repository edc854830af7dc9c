"""What a command line says of a suite: settings (``--set``), seeds, samples and selections, checked together."""

from __future__ import annotations

from collections.abc import Sequence

from ssdbench.suite.author import Patch
from ssdbench.suite.layers import RIVALS, Layer, document_layer
from ssdbench.suite.problems import INVALID, Mark, Problems
from ssdbench.suite.select import parse_only
from ssdbench.suite.validate import validate
from ssdbench.suite.yaml_nodes import option_document


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
