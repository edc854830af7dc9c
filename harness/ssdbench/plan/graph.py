"""The graph of stages that suites ask for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ssdbench.plan.sources import ABSENT
from ssdbench.stages import StageSpec
from ssdbench.suite import ResolvedRun


@dataclass(frozen=True)
class Node:
    """A stage: its specification, its spec key, and the keys of its inputs by role."""

    spec: StageSpec
    key: str

    @property
    def inputs(self) -> dict[str, str]:
        """Role -> spec key."""
        return self.spec.inputs


@dataclass(frozen=True)
class PlannedRun:
    """A run and its ``target``, the key of its score stage.

    Without a target there is a reason: ``unavailable`` names what this version cannot do, ``missing`` lists what is
    not on this machine and how to get it; in an outline such a run has a target too. ``notes`` are what its author may
    want to know though it is no mistake.
    """

    run: ResolvedRun
    target: str | None = None
    unavailable: str | None = None
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reason(self) -> str | None:
        """Why there is no target, in a line."""
        return self.unavailable or "; ".join(self.missing) or None


@dataclass
class Graph:
    """All stages, every one after its inputs, and the runs they serve."""

    nodes: dict[str, Node] = field(default_factory=dict)
    runs: list[PlannedRun] = field(default_factory=list)

    @classmethod
    def union(cls, graphs: Iterable[Graph]) -> Graph:
        """Return the stages and runs of several graphs; what they share is there once."""
        whole = cls()
        for graph in graphs:
            for key, node in graph.nodes.items():
                whole.nodes.setdefault(key, node)
            whole.runs += graph.runs
        return whole

    def add(self, spec: StageSpec) -> str:
        """Add a stage, or find the same one, and return its key."""
        key = spec.key()
        self.nodes.setdefault(key, Node(spec, key))
        return key

    def chain(self, target: str) -> list[str]:
        """Keys of all stages that ``target`` stands on, inputs before what consumes them, and its own as the last."""
        found: dict[str, None] = {}

        def add(key: str) -> None:
            if key not in found:
                for source in self.nodes[key].inputs.values():
                    add(source)
                found[key] = None

        add(target)
        return list(found)

    @property
    def missing(self) -> tuple[str, ...]:
        """What runs need that is not on this machine, or does not fit, each with how to get it, and each once."""
        return tuple(dict.fromkeys(text for run in self.runs for text in run.missing))

    def waiting(self) -> set[str]:
        """Keys of the stages of an outline that stand on something missing: they are not what they will be."""
        found: set[str] = set()
        if self.missing:
            for key, node in self.nodes.items():
                if not found.isdisjoint(node.inputs.values()) or ABSENT in str(node.spec.canonical()):
                    found.add(key)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What the authors of the runs may want to know though it is no mistake, each once."""
        return tuple(dict.fromkeys(note for run in self.runs for note in run.notes))

    @property
    def targets(self) -> list[str]:
        """Keys of the runs' score stages, each once, in the suite's order."""
        return list(dict.fromkeys(run.target for run in self.runs if run.target is not None))
