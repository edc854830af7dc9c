"""Which results belong together, and what a row is called outside a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ssdbench.report.fields import name_of
from ssdbench.report.frame import dotted
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import variant_of

HIDDEN = {"seed", "seeds", "mark", "named", "scale", "label", "group", "epochs", "keep"}
"""What of a run changes no number of a row, its seed aside."""


def identity(run: ResolvedRun) -> str:
    """Return what decides a row's numbers, as JSON: equal for runs that differ in seed and naming alone."""
    return run.model_dump_json(by_alias=True, exclude=HIDDEN)


def describe(run: ResolvedRun) -> str:
    """Return a row in one line: ``dit-mini, issd, ddim, 10 NFE, 32x32, original data``; its label first, if any."""
    side = run.resolution
    text = f"{run.model}, {run.variant}, {run.sampler}, {run.nfe} NFE, {side}x{side}, {run.data} data"
    return f"{run.label} ({text})" if run.label else text


def call(run: ResolvedRun) -> str:
    """Return a row's name where its table is near: ``DiT-mini + iSSD, 10 NFE``."""
    name = name_of(run)
    return f"{name}, {run.nfe} NFE" if variant_of(run.variant).sampled else name


def names(runs: Sequence[ResolvedRun], name: Callable[[ResolvedRun], str] = describe) -> list[str]:
    """Return a name for each row; those that would be called alike tell the settings in which they differ."""
    found = [name(run) for run in runs]
    twins: dict[str, list[int]] = {}
    for index, called in enumerate(found):
        twins.setdefault(called, []).append(index)
    for places in twins.values():
        for index, difference in zip(places, differences([runs[i] for i in places]), strict=True):
            found[index] += f", {difference}" if difference else ""
    return found


def differences(twins: Sequence[ResolvedRun]) -> list[str]:
    """Return the settings in which runs of one name differ, for each run that sets them: ``lr 0.0001``."""
    hidden = HIDDEN - {"scale"}
    settings = [dotted(run.model_dump(mode="json", by_alias=True, exclude=hidden)) for run in twins]
    found = [name for name in settings[0] if len({str(one.get(name)) for one in settings}) > 1]
    return [
        ", ".join(f"{name.removeprefix('train.')} {one[name]}" for name in found if one.get(name) is not None)
        for one in settings
    ]
