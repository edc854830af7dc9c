"""Which results belong together, what a row is called outside a table, and in which settings rows differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any

from ssdbench.declaration import called
from ssdbench.report.fields import name_of
from ssdbench.report.frame import dotted
from ssdbench.suite.facts import evaluations
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import variant_of

HIDDEN = {
    *("seed", "seeds", "mark", "named", "scale", "label", "group", "epochs", "keep"),
    *("settings", "searched", "forwards", "cite"),
}
"""What of a run changes no number of a row, its seed aside."""


def identity(run: ResolvedRun) -> str:
    """Return what decides a row's numbers, as JSON: equal for runs that differ in seed and naming alone."""
    return run.model_dump_json(by_alias=True, exclude=HIDDEN)


def settings_of(run: ResolvedRun) -> dict[str, Any]:
    """Return all settings that tell rows apart, and the profile's scale, by their dotted names."""
    return dotted(run.model_dump(mode="json", by_alias=True, exclude=HIDDEN - {"scale"}))


def describe(run: ResolvedRun) -> str:
    """Return a row in one line: ``dit-mini, issd, ddim, 10 NFE, 32x32, original data``; its label first, if any."""
    side = run.resolution
    text = f"{run.model}, {run.variant}, {run.sampler}, {evaluations(run)}, {side}x{side}, {run.data} data"
    return f"{run.label} ({text})" if run.label else text


def call(run: ResolvedRun) -> str:
    """Return a row's name where its table is near: ``DiT-mini + iSSD, 10 NFE``."""
    name = name_of(run)
    return f"{name}, {evaluations(run)}" if variant_of(run.variant).evaluated else name


def names(runs: Sequence[ResolvedRun], name: Callable[[ResolvedRun], str] = describe) -> list[str]:
    """Return a name for each row; those that would be called alike tell the settings in which they differ."""
    called = [name(run) for run in runs]
    return [", ".join(filter(None, both)) for both in zip(called, distinctions(runs, called), strict=True)]


def distinctions(
    runs: Sequence[ResolvedRun], keys: Sequence[Hashable], along: Collection[str] = ()
) -> list[str]:
    """Return for each run the settings in which it differs from the others of the same key: ``lr 0.0001``.

    A run that has a key for itself has no distinction (an empty text). The settings ``along`` tell nothing apart.
    """
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        alike[key].append(index)
    told = [""] * len(runs)
    for places in alike.values():
        settings = [settings_of(runs[index]) for index in places] if len(places) > 1 else [{}]
        varied = [
            name
            for name in settings[0]
            if name not in along and len({str(one.get(name)) for one in settings}) > 1
        ]
        for index, one in zip(places, settings, strict=True):
            texts = (
                f"{name.removeprefix('train.')} {called(str(one[name]))}"
                for name in varied
                if one.get(name) is not None
            )
            told[index] = ", ".join(texts)
    return told
