"""What a run would do: each stage with the reason, what is missing, and what it costs."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ssdbench.api.hours import Hours
from ssdbench.api.words import aligned, describe, quantity
from ssdbench.errors import UsageError
from ssdbench.faults import free_bytes
from ssdbench.plan import Cost, Decision, Graph, PlannedRun, cost, decide
from ssdbench.plan.decide import outdated
from ssdbench.stages import SampleSpec
from ssdbench.suite import Suite

if TYPE_CHECKING:
    import pandas as pd

    from ssdbench.store import StoreReader


class PlannedStage(NamedTuple):
    """A stage: ``status`` is ``run``, ``cached`` or ``unneeded``, and ``reason`` says why; ``inputs`` are keys by role.

    ``upstream``: its artifact is there alone. ``waiting``: it stands on something that is missing, and its key will be
    another one once that is there.
    """

    key: str
    kind: str
    title: str
    status: Literal["run", "cached", "unneeded"]
    reason: str
    inputs: dict[str, str]
    upstream: bool = False
    waiting: bool = False


@dataclass(frozen=True, repr=False)
class Plan:
    """The stages and runs of suites, with what would be done. Shown as a table by ``print`` and in notebooks.

    Args:
        suites: whose runs they are.
        graph: stages and runs as the engine takes them.
        decisions: what to do with each stage, by key.
        place: where the results would be written.

    """

    suites: tuple[Suite, ...]
    graph: Graph
    decisions: dict[str, Decision]
    place: Path

    @classmethod
    def of(
        cls,
        suites: Sequence[Suite],
        graph: Graph,
        store: StoreReader,
        fresh: Collection[str] = (),
        sources: str | None = None,
    ) -> Plan:
        """Decide against what a store holds; stages whose kind is in ``fresh`` are made anew.

        So is what other science sources made than those of the digest ``sources``, where it is given.
        """
        old = {} if sources is None else outdated(graph, store, sources)
        return cls(tuple(suites), graph, decide(graph, store, fresh, old), store.root)

    @property
    def stages(self) -> tuple[PlannedStage, ...]:
        """All stages, each after its inputs; one that several runs share is there once."""
        found, waiting = [], self.graph.waiting()
        for key, node in self.graph.nodes.items():
            decision, waits = self.decisions[key], key in waiting
            reason = WAITS if waits else decision.reason
            about = key, node.spec.KIND, node.spec.title, decision.status, reason
            found.append(PlannedStage(*about, dict(node.inputs), decision.upstream, waits))
        return tuple(found)

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        """The runs in the suites' order; one that cannot run says why, and has no ``target`` where nothing is known."""
        return tuple(self.graph.runs)

    @cached_property
    def cost(self) -> Cost:
        """Totals over the stages that have to run."""
        return cost(self.graph, self.decisions)

    @property
    def missing(self) -> tuple[str, ...]:
        """What runs need that is not on this machine, or does not fit, each with how to get it."""
        return self.graph.missing

    @property
    def notes(self) -> tuple[str, ...]:
        """What the authors of the runs may want to know though it is no mistake, each once."""
        return self.graph.notes

    def hours(self, device: str) -> float:
        """Hours of one device for all stages that have to run; see :meth:`estimate`."""
        return self.estimate(device).together.hours

    def estimate(self, device: str) -> Hours:
        """Return the hours by suite and kind of work, and the rates that they stand on.

        Args:
            device: ``h100``, which was measured; ``a100`` or ``rtx-4090``, at an assumed share of their peak; the path
                of a ``.json`` that ``benchmarks/gpu.py`` wrote on yours; or the TFLOP/s that it sustains, as a text.

        Raises:
            UsageError: it is none of these.

        """
        return Hours.of(self.suites, self.graph, self.decisions, device)

    def impossible(self) -> dict[str, list[PlannedRun]]:
        """Return the runs that cannot run, by the reason."""
        reasons: dict[str, list[PlannedRun]] = {}
        for planned in self.graph.runs:
            for reason in planned.missing or filter(None, [planned.unavailable]):
                reasons.setdefault(reason, []).append(planned)
        return reasons

    def lacking_room(self) -> str | None:
        """Say how much more room the results need than the disk has, or None where they fit."""
        total, free = self.cost, free_bytes(self.place)
        if free is None or total.disk_peak <= free:
            return None
        return (
            f"{total.stages} stages need about {quantity(total.disk_peak, 'B')} on the disk of {self.place}, "
            f"which has {quantity(free, 'B')} free"
        )

    def check_room(self) -> None:
        """Refuse what cannot end for want of room.

        Raises:
            UsageError: says how much is needed, how much there is, and what helps.

        """
        lack = self.lacking_room()
        if lack is not None:
            raise UsageError(
                f"{lack}\nnothing was run; 'ssdbench gc' frees what dead runs left, 'keep: grid' in a suite drops"
                " images once they are scored, --results names another disk, and --no-disk-check starts all the same"
            )

    def table(self) -> pd.DataFrame:
        """Return the stages as a frame: key, kind, title, status and reason."""
        import pandas as pd

        return pd.DataFrame([stage[:5] for stage in self.stages], columns=PlannedStage._fields[:5])

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as data for JSON."""
        return {
            "suites": [{"suite": suite.name, "profile": suite.profile} for suite in self.suites],
            "runs": [
                {
                    **planned.run.model_dump(include=_TOLD),
                    **{name: value for name, value in vars(planned).items() if name != "run"},
                }
                for planned in self.graph.runs
            ],
            "stages": [{**stage._asdict(), **asdict(self.decisions[stage.key])} for stage in self.stages],
            "missing": list(self.missing),
            "cost": asdict(self.cost),
        }

    # ---- in words

    @property
    def title(self) -> str:
        """The suites' names, titles and profiles' scales, a line each."""
        scales = (f" (scale {suite.profile})" if suite.profile else "" for suite in self.suites)
        return "\n".join(
            f"{suite.name}: {suite.title}{scale}" for suite, scale in zip(self.suites, scales, strict=True)
        )

    def lines(self) -> list[tuple[str, str, str, str]]:
        """Return the table that is shown: beginning of the key, title, status, reason.

        Samples that differ in their indices alone are one line, with the first one's key.
        """
        found = []
        for (_, reason, status), alike in groupby(self.stages, self._line):
            first, *others = alike
            title = first.title
            if others:
                spec, last = (self.graph.nodes[one.key].spec for one in (first, others[-1]))
                assert isinstance(spec, SampleSpec)
                assert isinstance(last, SampleSpec)
                count = last.start + last.count - spec.start
                title = f"{spec.model_copy(update={'count': count}).title}, {1 + len(others)} stages"
            found.append(("" if first.waiting else first.key[:12], title, status, reason))
        return found

    def _line(self, stage: PlannedStage) -> tuple[Any, str, str]:
        """What stages of one line have in common."""
        spec = self.graph.nodes[stage.key].spec
        what: Any = stage.key
        if isinstance(spec, SampleSpec):
            what = spec.model_copy(update={"start": 0, "count": 1})
        return what, stage.reason, f"{stage.status} (upstream)" if stage.upstream else stage.status

    def remarks(self) -> list[str]:
        """Return what is said below the table: what cannot run, notes, and the totals."""
        found = []
        for reason, runs in self.impossible().items():
            who = describe(runs[0].run) if len(runs) == 1 else f"{len(runs)} runs"
            found.append(f"{'missing, for' if runs[0].target else 'cannot run:'} {who}: {reason}")
        found += [f"note: {note}" for note in self.notes]
        total = self.cost
        found.append(
            f"{len(self.graph.runs)} runs; {total.stages} stages to run, {total.cached} cached; "
            f"{total.train_steps:,} optimisation steps, {total.images:,} samples, "
            f"{quantity(total.flops, 'FLOP')}, {quantity(total.disk_bytes, 'B')} on disk"
        )
        if total.images:
            found.append(
                f"a worker that samples needs about {quantity(total.memory_bytes, 'B')} of memory for one image at a "
                f"time, {quantity(total.memory_batch_bytes, 'B')} for a batch as it is by default"
            )
        return found

    def __repr__(self) -> str:
        names = ", ".join(suite.name for suite in self.suites)
        total = self.cost
        return (
            f"<Plan of {names}: {len(self.runs)} runs; {total.stages} stages to run, {total.cached} cached>"
        )

    def __str__(self) -> str:
        """Return the table as plain text."""
        return "\n".join((self.title, *aligned([HEADINGS, *self.lines()]), *self.remarks()))

    def _repr_html_(self) -> str:
        import pandas as pd

        lines, name = self.lines(), html.escape(self.title).replace("\n", "<br>")
        told = "".join(f"<div>{html.escape(text)}</div>" for text in self.remarks())
        return f"<b>{name}</b>{pd.DataFrame(lines, columns=[*HEADINGS]).to_html(index=False)}{told}"


_TOLD = {"model", "variant", "sampler", "nfe", "resolution", "data", "seed"}
WAITS = "waits for what is missing"
HEADINGS = ("key", "stage", "", "why")
"""Of the table that is shown."""


def refuse_impossible(graph: Graph) -> None:
    """Refuse runs that need what is not here or is wrong, or none of which can run: that would look like a success.

    Raises:
        UsageError: lists all that is missing, each with how to get it, and all that is wrong; or every run with its
            reason.

    """
    if missing := graph.missing:
        runs = sum(bool(planned.missing) for planned in graph.runs)
        lines = "\n".join("  " + text.replace("\n", "\n  ") for text in missing)
        raise UsageError(
            f"{runs} of {len(graph.runs)} runs need what is not on this machine, or does not fit:\n{lines}\n"
            "nothing was run; '--only' selects other rows, '--profile mini' another scale"
        )
    if not graph.targets:
        lines = "\n".join(f"  {describe(planned.run)}: {planned.reason}" for planned in graph.runs)
        raise UsageError(f"none of the {len(graph.runs)} runs can be run:\n{lines}")
