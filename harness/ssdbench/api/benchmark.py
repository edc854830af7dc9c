"""Suites to be run: loaded, planned, run, and read from the store."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

from ssdbench.api.history import Planned
from ssdbench.api.plan import Plan, refuse_impossible
from ssdbench.api.results import Results, reasons
from ssdbench.api.selection import Selection
from ssdbench.errors import UsageError
from ssdbench.plan import Graph, build
from ssdbench.runtime.events import Event, Listener, both
from ssdbench.runtime.outcome import Outcome
from ssdbench.store import Store, SuiteRun, now
from ssdbench.store.places import open_store, open_upstream
from ssdbench.suite import Suite

Say = Callable[[str], None]
KINDS = ("train", "encode", "sample", "reference", "score")
"""Kinds of stages, which can be made anew."""
ENGINES = ("local", "ray")


class RunOptions(TypedDict, total=False):
    """The arguments of :meth:`Benchmark.run`."""

    fresh: Collection[str]
    engine: str
    workers: int | None
    device: str | None
    threads: int | None
    gpus_per_stage: int
    ray_address: str | None
    tensorboard: Path | str | None
    disk_check: bool
    progress: Listener | bool
    say: Say | None
    check: bool
    present: bool


@dataclass(frozen=True, repr=False)
class Benchmark:
    """One or several suites under a selection, and the place of their results.

    Args:
        planned: the suites with their graphs.
        selection: the options that they were loaded with.
        results_at: a directory, or a URL such as ``s3://bucket/prefix``.
        upstream: a store that finished artifacts are taken from where ``results_at`` lacks them; it is only read.
        remembered: whether ``report`` and ``status`` tell of the suites without being told their names.

    """

    planned: tuple[Planned, ...]
    selection: Selection
    results_at: str
    upstream: str | None = None
    remembered: bool = True

    @property
    def suites(self) -> tuple[Suite, ...]:
        """The suites; ``runs`` of each are its runs with every value set."""
        return tuple(one.suite for one in self.planned)

    @property
    def graph(self) -> Graph:
        """The stages and runs of all suites; what they share is there once."""
        return Graph.union(one.graph for one in self.planned)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the suites' authors may want to know though it is no mistake, located."""
        return tuple(note for suite in self.suites for note in suite.notes)

    def __repr__(self) -> str:
        names = ", ".join(suite.name for suite in self.suites)
        return f"<Benchmark of {names}: {sum(len(suite.runs) for suite in self.suites)} runs, in {self.results_at}>"

    def store(self) -> Store:
        """Return the store of the results; it is created at the first write, not here.

        Raises:
            UsageError: the path is a file, or the URL cannot be understood.

        """
        return open_store(self.results_at)

    def plan(self, *, fresh: Collection[str] = ()) -> Plan:
        """Return what a run would do. Runs nothing.

        Stand-ins take the places of what is not on this machine, so that all work is planned; ``missing`` lists it.

        Args:
            fresh: kinds of stages to make anew, cached or not: ``train``, ``encode``, ``sample``, ``reference``,
                ``score``.

        Raises:
            UsageError: an unknown kind, or a store that cannot be opened.

        """
        from ssdbench.store.upstream import Layered

        graph, store = self.graph, self.store()
        if graph.missing:
            graph = Graph.union(build(suite, outline=True) for suite in self.suites)
        if self.upstream is None:
            return Plan.of(self.suites, graph, store, kinds_of(fresh))
        behind = open_upstream(self.upstream)
        behind.look(graph.nodes)
        return Plan.of(self.suites, graph, Layered(store, behind), kinds_of(fresh))

    def results(self) -> Results:
        """Return the results that are in the store, without running anything."""
        return self._results(self.graph, self.store(), None)

    def run(
        self,
        *,
        fresh: Collection[str] = (),
        engine: str = "local",
        workers: int | None = None,
        device: str | None = None,
        threads: int | None = None,
        gpus_per_stage: int = 1,
        ray_address: str | None = None,
        tensorboard: Path | str | None = None,
        disk_check: bool = True,
        progress: Listener | bool = True,
        say: Say | None = None,
        check: bool = True,
        present: bool = False,
    ) -> Results:
        """Train, sample and score whatever has no result yet; what is finished stays finished.

        Stages run in processes of their own, so that nothing here has to be importable, be it a script, a notebook or
        ``python -c``. On the main thread, the first Ctrl-C asks them to stop and the second kills them; either way what
        was finished is kept, and the next run goes on.

        Args:
            fresh: kinds of stages to make anew, cached or not: ``train``, ``encode``, ``sample``, ``reference``,
                ``score``.
            engine: ``local``, this machine, or ``ray``, a cluster.
            workers: stages at a time; by default by cores, or one for each GPU. More workers than GPUs share them.
            device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; by default ``cuda`` where there is a GPU.
            threads: CPU threads a stage; equal ones give equal bits.
            gpus_per_stage: GPUs that one training takes together (``local``).
            ray_address: head of the Ray cluster.
            tensorboard: a folder for the losses.
            disk_check: refuse to start where the results will not fit on the disk.
            progress: a function that is called with each :class:`ssdbench.Event`; True for lines on stderr (a live
                table on a terminal), False for nothing.
            say: called with each remark before the work begins; by default they go where the progress goes.
            present: take no result of other code than the present for one, base weights in the store excepted.
            check: raise where a stage failed; if not, ``failures`` and the tables say which.

        Raises:
            UsageError: what a run needs is not here or nothing can run; an argument is not understood.
            StageFailed: stages failed, with ``check``; all that did not need them were run.
            KeyboardInterrupt: it was interrupted.

        """
        from ssdbench.runtime.console import listener_of

        run_graph = engine_of(engine, ray_address, gpus_per_stage)
        kinds = kinds_of(fresh)
        graph = self.graph
        listener = listener_of(progress)
        tell = say or (lambda text: listener(Event("note", text=text)))
        if say is None:
            for note in self.notes:
                tell(note)
        # Refusals come before the store is opened: a wrong suite is told of first.
        refuse_impossible(graph)
        for note in graph.notes:
            tell(f"note: {note}")
        store = self.store()
        sources = None
        if present:
            from ssdbench.provenance import digest_sources, package_directory

            sources = digest_sources(package_directory())
        if self.upstream is not None:
            from ssdbench.runtime.pull import pull_finished

            pull_finished(graph, store, open_upstream(self.upstream), fresh=kinds, sources=sources, say=tell)
        plan = Plan.of(self.suites, graph, store, kinds, sources)
        if disk_check and not (engine == "ray" and store.url is not None):
            plan.check_room()  # with Ray and a URL, the nodes send their results there, not to this disk
        if tensorboard is not None:
            from ssdbench.runtime.tensorboard import TensorBoard

            listener = both(listener, TensorBoard(Path(tensorboard)))
        if self.remembered:
            work = any(decision.status == "run" for decision in plan.decisions.values())
            for suite in self.suites:
                self._remember(suite, store, needed=work, say=tell)
        how = {"workers": workers, "device": device, "threads": threads}
        outcome = run_graph(graph, plan.decisions, store, listener=listener, **how)
        if present and (outcome.done or outcome.adopted) and not outcome.failed and not outcome.interrupted:
            # What went on from a checkpoint that older code wrote is made once more.
            again = Plan.of(self.suites, graph, store, sources=sources)
            outcome = run_graph(graph, again.decisions, store, listener=listener_of(progress), **how)
        results = self._results(graph, store, outcome)
        if check:
            if outcome.interrupted:
                raise KeyboardInterrupt("stopped; what was finished is kept: run again to go on")
            results.check()
        return results

    def _results(self, graph: Graph, store: Store, outcome: Outcome | None) -> Results:
        failed = None if outcome is None else reasons(graph, outcome)
        return Results(tuple(one.report(store, failed) for one in self.planned), graph, store, outcome)

    def _remember(self, suite: Suite, store: Store, *, needed: bool, say: Say) -> None:
        """Keep with the results what was run, for ``report`` and ``status``.

        Raises:
            UsageError: the store cannot be written to and that is ``needed``.

        """
        from ssdbench.faults import disk_fault

        run = SuiteRun(
            suite=suite.name,
            path=str(Path(suite.source).resolve()),
            text=suite.text,
            run_at=now(),
            **asdict(self.selection) | {"profile": suite.profile},
        )
        try:
            store.remember(run)
        except OSError as error:
            reason = disk_fault(error, store.suites_dir) or str(error)
            if needed:
                raise UsageError(
                    f"the results cannot be written: {reason}; --results names another place"
                ) from error
            say(f"not noted as the last run: {reason}")


def engine_of(engine: str, ray_address: str | None, gpus_per_stage: int = 1) -> Callable[..., Outcome]:
    """Return what runs a graph on an engine.

    Raises:
        UsageError: it is unknown or not installed, or an option is another engine's.

    """
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r} (known: {', '.join(ENGINES)})")
    if engine == "local":
        from ssdbench.runtime.local import run_graph

        if ray_address is not None:
            raise UsageError("--ray-address goes with --engine ray")
        return partial(run_graph, gpus_per_stage=gpus_per_stage)
    if gpus_per_stage > 1:
        raise UsageError("--gpus-per-stage goes with --engine local; on Ray every stage has one GPU")
    try:
        from ssdbench.runtime.ray import run_graph_on_ray
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "ray":
            raise
        raise UsageError("--engine ray needs Ray: pip install 'ssdbench[ray]'") from None
    return partial(run_graph_on_ray, address=ray_address)


def kinds_of(fresh: Collection[str]) -> frozenset[str]:
    """Return the kinds of stages that are to be made anew.

    Raises:
        UsageError: there is no such kind.

    """
    kinds = frozenset([fresh] if isinstance(fresh, str) else fresh)
    if unknown := sorted(kinds - {*KINDS}):
        raise UsageError(f"fresh: unknown kind {unknown[0]!r} (known: {', '.join(KINDS)})")
    return kinds
