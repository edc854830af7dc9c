"""Which stages must run, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ssdbench.collector import collector_paused
from ssdbench.plan.graph import Graph
from ssdbench.store import Manifest, StoreReader

ABSENT = "no artifact yet"
"""The one reason to run that says nothing against what was made from a stage's artifact."""


@dataclass(frozen=True)
class Decision:
    """``cached``: its artifact serves; ``run``: it has to run; ``unneeded``: what it would be for is there already.

    ``replaces`` names the attempt whose artifact stands but is to be made again. ``upstream``: cached there alone.
    """

    status: Literal["cached", "run", "unneeded"]
    reason: str
    replaces: str | None = None
    upstream: bool = False


@collector_paused()
def decide(
    graph: Graph, store: StoreReader, fresh: Collection[str] = (), outdated: Mapping[str, str] | None = None
) -> dict[str, Decision]:
    """A decision for every stage of the graph.

    An artifact serves when it is committed, everything it was made from is as it was then, neither its kind nor
    that of anything before it is in ``fresh``, and neither its key nor one before it in ``outdated``, which says why.
    What only feeds finished stages is not needed, so that samples that were dropped after scoring are not made again;
    one that was set aside is no such.
    """
    manifest = cache(store.manifest)  # each is looked at by all that was made from it
    obstacle: dict[str, str | None] = {}
    for key in graph.nodes:
        obstacle[key] = _obstacle(graph, store, manifest, fresh, outdated or {}, key, obstacle)
    unneeded = Decision("unneeded", "everything made from it is in the store")
    decisions = {
        key: _cached(store.upstream_of(key)) if obstacle[key] is None else unneeded for key in graph.nodes
    }
    stack = graph.targets
    while stack:
        key = stack.pop()
        reason = obstacle[key]
        if reason is not None and decisions[key].status != "run":
            standing = manifest(key)
            decisions[key] = Decision("run", reason, standing.attempt if standing else None)
            stack.extend(graph.nodes[key].inputs.values())
    return decisions


def _cached(upstream: str | None) -> Decision:
    if upstream is None:
        return Decision("cached", "its artifact is in the store")
    return Decision("cached", f"its artifact is in {upstream}", upstream=True)


def _obstacle(
    graph: Graph,
    store: StoreReader,
    manifest: Callable[[str], Manifest | None],
    fresh: Collection[str],
    outdated: Mapping[str, str],
    key: str,
    before: dict[str, str | None],
) -> str | None:
    """Why the artifact of a stage does not serve, or None."""
    node = graph.nodes[key]
    if node.spec.KIND in fresh:
        return f"--fresh {node.spec.KIND}"
    for source in node.inputs.values():
        if before[source] not in (None, ABSENT):
            return f"made from a stage that runs again ({graph.nodes[source].spec.KIND})"
    if manifest(key) is None:
        aside = store.aside_reason(key)
        return f"its artifact was set aside: {aside}" if aside else ABSENT
    return store.stale(key, manifest) or outdated.get(key)
