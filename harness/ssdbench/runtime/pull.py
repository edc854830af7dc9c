"""Before a run: what it needs and lacks is taken from upstream, as far as that has it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from ssdbench.plan.decide import Decision, decide, outdated
from ssdbench.plan.graph import Graph
from ssdbench.store import Store
from ssdbench.store.upstream import Layered, Unfit, Upstream


def pull_finished(
    graph: Graph,
    store: Store,
    upstream: Upstream,
    *,
    fresh: Collection[str] = (),
    sources: str | None = None,
    say: Callable[[str], None],
) -> list[str]:
    """Copy finished artifacts of ``graph`` from ``upstream`` into ``store``; returns their keys.

    Of a run whose scores are upstream, the scores and the record are taken; of one that has to run here, whatever of
    its chain is upstream, since its record tells of all of it. What turns out damaged is left, and runs here.

    Args:
        graph: stages and runs.
        store: where they go.
        upstream: where they come from.
        fresh: kinds that are to be made anew, and so are not taken.
        sources: digest of the only science sources whose work counts, or None for any; see ``plan.decide``.
        say: told of everything that is taken or left, a line each.

    Raises:
        RemoteError: one of the stores cannot be reached.
    """
    upstream.look(graph.nodes, graph.targets)
    layered = Layered(store, upstream)
    taken: list[str] = []
    while True:
        old = {} if sources is None else outdated(graph, layered, sources)
        decisions = decide(graph, layered, fresh, old)
        try:
            for key in list(dict.fromkeys(_wanted(graph, layered, decisions))):
                manifest = layered.take(key)
                taken.append(key)
                say(f"{key[:8]}  {manifest.title}: taken from {upstream.name}")
        except Unfit as error:
            say(f"not taken: {error}")
            continue
        for target in set(graph.targets) & set(taken):
            layered.take_record(target)
        return taken


def _wanted(graph: Graph, layered: Layered, decisions: Mapping[str, Decision]) -> Iterator[str]:
    for target in graph.targets:
        alone = decisions[target].status == "cached" and (
            not decisions[target].upstream or layered.read_record(target) is not None
        )
        for key in [target] if alone else graph.chain(target):
            if decisions[key].upstream:
                yield key
