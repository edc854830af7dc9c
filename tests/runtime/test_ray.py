"""The Ray engine: on a cluster of three nodes that loses one, and its rules with no cluster at all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from fake_stages import COMMAND, Rows
from test_interruption import content
from test_local import Recording

from ssdbench.errors import SsdbenchError, UsageError
from ssdbench.plan.decide import Decision, decide
from ssdbench.plan.graph import Graph
from ssdbench.runtime.events import Event
from ssdbench.runtime.local import run_graph
from ssdbench.runtime.outcome import Outcome
from ssdbench.runtime.processes import Placed, WorkerLost
from ssdbench.runtime.remote import Ended, EngineSettings, RemoteJob
from ssdbench.runtime.slots import Slot
from ssdbench.store import Store
from ssdbench.store.object_store import ObjectStore
from ssdbench.store.places import open_store
from ssdbench.store.remote import Remote

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ssdbench[ray]'")

from ssdbench.runtime import ray_pool  # noqa: E402
from ssdbench.runtime.ray import connected, run_graph_on_ray  # noqa: E402
from ssdbench.runtime.ray_pool import RayPool, RayWorker  # noqa: E402

START_SECONDS = 60.0
SLOT = Slot("ray cpu 0", "cpu", 1, visible="")


# ---- with a cluster


class Meddling(Recording):
    """Calls ``meddle`` with the first report, of a stage's given step or a later one, that ``where`` likes."""

    def __init__(self, where: Callable[[str], bool], meddle: Callable[[str], None], step: int = 2) -> None:
        super().__init__()
        self.places: dict[str, str] = {}
        self.met: str | None = None
        self._where, self._meddle, self._step = where, meddle, step

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if event.kind == "placed":
            self.places[event.key] = event.text
        elif (
            event.kind == "progress"
            and self.met is None
            and self._step <= event.done < event.total
            and self._where(self.places[event.key])
        ):
            self.met = event.key
            self._meddle(self.places[event.key])


class CachesOfTheirOwn(EngineSettings):
    """Without the variable that on one machine tells the nodes' caches apart."""

    @classmethod
    def here(cls, command: Sequence[str] | None = None) -> EngineSettings:
        found = EngineSettings.here(command)
        environment = {name: value for name, value in found.environment.items() if name != "XDG_CACHE_HOME"}
        return EngineSettings(found.directory, environment, command)


@pytest.fixture
def start_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Start a cluster of nodes with so many CPUs each, the head first, on the loopback interface.

    With ``caches`` each has its own directory there for copies of a store on a URL, as machines do.
    """
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    # Ray's own way to take 127.0.0.1 as it stands: for this process, and for those that it starts.
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv(
        "RAY_worker_niceness", "0"
    )  # by default 15, with which a busy machine hardly starts one
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    # A dead node is noticed within seconds.
    noticing = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 1000,
        "health_check_failure_threshold": 5,
    }
    cluster = Cluster()

    def start(*cpus: int, caches: Path | None = None) -> Any:
        began = time.monotonic()
        head: dict[str, Any] = {"include_dashboard": False, "_system_config": noticing}
        try:
            for number, count in enumerate(cpus):
                if caches is not None:  # the processes of a node have the environment that it was started in
                    monkeypatch.setenv("XDG_CACHE_HOME", str(caches / f"node{number}"))
                cluster.add_node(num_cpus=count, node_ip_address="127.0.0.1", **(head if number == 0 else {}))
        except Exception as error:
            pytest.skip(f"no Ray cluster can be started here: {error}")
        took = time.monotonic() - began
        if took > START_SECONDS:
            pytest.skip(f"a Ray cluster took {took:.0f} s to start, over {START_SECONDS:.0f} s")
        return cluster

    yield start
    cluster.shutdown()


def test_a_cluster_that_loses_a_node_does_what_one_machine_does(
    start_cluster: Callable[..., Any], tmp_path: Path
) -> None:
    cluster = start_cluster(1, 1, 1)
    ledger = tmp_path / "ledger"
    built = Rows(ledger=str(ledger), steps=6, step_seconds=0.25)
    for name in "ab":
        built.row(name)
    store = Store(tmp_path / "results")

    def run(view: Recording, **options: Any) -> Outcome:
        decisions = decide(built.graph, store)
        address = cluster.address
        return run_graph_on_ray(
            built.graph, decisions, store, address=address, listener=view, command=COMMAND, **options
        )

    with pytest.raises(UsageError, match="no node of the Ray cluster has a GPU"):
        run(Recording(), device="cuda")
    with pytest.raises(UsageError, match="no node of the Ray cluster has 2 CPUs"):
        run(Recording(), threads=2)

    stopped = Meddling(lambda place: True, lambda place: signal.raise_signal(signal.SIGINT))
    first = run(stopped)
    assert first.interrupted
    assert not first.failed
    assert stopped.met == built.base
    assert all(store.holder(key) is None for key in store.all_keys())
    assert not [process for process in psutil.process_iter(["cmdline"]) if _works_in(process, tmp_path)]

    removable = {node.node_id[:6]: node for node in cluster.worker_nodes}

    def lose(place: str) -> None:
        cluster.remove_node(removable[_node(place)], allow_graceful=False)

    view = Meddling(lambda place: _node(place) in removable, lose)
    second = run(view)
    assert not second.failed
    assert sorted(second.done) == sorted(built.graph.nodes)
    assert view.met is not None
    (told,) = [line for line in view.lines if "lost with node" in line]
    assert told.endswith("it is tried again (1 of 3)")

    other = Store(tmp_path / "other")
    same = Rows(steps=6)
    for name in "ab":
        same.row(name)
    run_graph(
        same.graph,
        decide(same.graph, other),
        other,
        workers=2,
        device="cpu",
        threads=1,
        listener=Recording(),
        command=COMMAND,
    )
    assert content(store) == content(other)
    threads = [getattr(store.manifest(key), "threads", None) for key in store.all_keys()]
    assert threads == [1] * len(built.graph.nodes)
    steps = Counter(ledger.read_text().splitlines())
    titles = [node.spec.title for node in built.graph.nodes.values()]
    assert set(steps) == {f"{title} {step}" for title in titles for step in range(1, 7)}
    # What was interrupted or lost went on from its checkpoint, which at worst is a step behind.
    assert all(steps[f"{title} 1"] == 1 for title in titles)
    assert steps.total() - 6 * len(titles) <= 2


def test_nodes_that_share_nothing_but_a_url_do_what_one_machine_does(
    start_cluster: Callable[..., Any], bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost node's training goes on elsewhere, from what it had sent, and shards are spread."""
    monkeypatch.setenv("SSDBENCH_SEND_SECONDS", "0.2")
    cluster = start_cluster(0, 1, 1, caches=tmp_path / "caches")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "engine's"))
    monkeypatch.setattr(ray_pool, "EngineSettings", CachesOfTheirOwn)
    ledger = tmp_path / "ledger"
    built = Rows({"trouble": "waits to be lost"}, ledger=str(ledger), steps=8, step_seconds=0.25)
    keys = built.row("a", shards=2)
    store = open_store(bucket)
    removable = {node.node_id[:6]: node for node in cluster.worker_nodes}

    def lose(place: str) -> None:
        monkeypatch.delenv("SSDBENCH_SEND_SECONDS")
        looking, deadline = Store(ObjectStore(Remote(bucket), tmp_path / "looking")), time.monotonic() + 60
        kept = looking.key_dir(built.base) / "scratch" / "step"
        while not kept.is_file() or kept.read_text() != "5":  # the last step that it makes is sent
            assert time.monotonic() < deadline
            time.sleep(0.1)
            looking.backend.restore_scratch(built.base)
        cluster.remove_node(removable[_node(place)], allow_graceful=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches" / "another"))
        cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")

    view = Meddling(lambda place: _node(place) in removable, lose, step=5)
    outcome = run_graph_on_ray(
        built.graph,
        decide(built.graph, store),
        store,
        address=cluster.address,
        listener=view,
        command=COMMAND,
    )
    assert not outcome.failed
    assert view.met == built.base
    (told,) = [line for line in view.lines if "lost with node" in line]
    assert told.endswith("it is tried again (1 of 3)")
    other = Store(tmp_path / "other")
    same = Rows(steps=8)
    same.row("a", shards=2)
    run_graph(
        same.graph, decide(same.graph, other), other, device="cpu", listener=Recording(), command=COMMAND
    )
    assert content(store) == content(other)
    steps = Counter(ledger.read_text().splitlines())
    assert set(steps.values()) == {1}  # it went on from there
    assert steps.total() == 8 * len(built.graph.nodes)
    assert view.places[keys["shard0"]] != view.places[keys["shard1"]]
    brought = {path.parts[-3] for path in (tmp_path / "engine's").rglob("result.txt")}
    assert brought == {keys["score"]}  # of which the engine writes the record


@pytest.mark.full
@pytest.mark.timeout(1200)  # some two minutes on two idle cores
def test_a_real_suite_whose_training_loses_its_node_gives_the_same_bits(
    start_cluster: Callable[..., Any], tmp_path: Path
) -> None:
    """The command itself on ``quick``: every file of every artifact, and every metric, as the local engine's."""
    cluster = start_cluster(0, 1, 1, 1)
    command = [sys.executable, "-m", "ssdbench", "run", "quick", "--profile", "smoke", "--threads", "1"]
    command += ["--only", "variant=issd", "--set", "train.steps=200", "--limit", "2000"]
    local, remote = tmp_path / "local", tmp_path / "remote"
    on_ray = ["--engine", "ray", "--ray-address", cluster.address, "--results", str(remote)]
    environment = os.environ | {"SSDBENCH_CHECKPOINT_SECONDS": "0"}
    told = tmp_path / "log"
    with told.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *on_ray], env=environment, stdout=subprocess.PIPE, stderr=stderr
        )
    while not (found := list(remote.glob("artifacts/*/*/scratch/checkpoint.pt"))):
        assert process.poll() is None, told.read_text()
        time.sleep(0.05)
    key = found[0].parent.parent.name[:8]
    (place,) = re.findall(rf"{key}  on .*\((\w+)\)", told.read_text())
    (node,) = [node for node in cluster.worker_nodes if node.node_id.startswith(place)]
    cluster.remove_node(node, allow_graceful=False)
    table, _ = process.communicate()
    assert process.returncode == 0, told.read_text()
    assert re.search(r"train issd.*: lost with node .* it is tried again \(1 of 3\)", told.read_text())
    alone = subprocess.run([*command, "--results", str(local)], capture_output=True, check=True)
    assert table == alone.stdout
    assert content(Store(remote)) == content(Store(local))


def _node(place: str) -> str:
    return place.rpartition("(")[2].rstrip(")")


def _works_in(process: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in part for part in process.info["cmdline"] or ())


# ---- without one


def run_empty(**options: Any) -> Outcome:
    return run_graph_on_ray(Graph(), {}, Store("nowhere"), listener=Recording(), **options)


def test_a_run_with_nothing_to_do_needs_no_cluster() -> None:
    assert run_empty(address="127.0.0.2:9") == Outcome()


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_device_that_ray_does_not_choose_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="Ray chooses the GPU"):
        run_empty(device=device)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.2:9", "no Ray cluster at 127.0.0.2:9: "),
        ("ray://127.0.0.1:10001", "Ray Client is not supported"),
        ("somewhere", "no Ray cluster at somewhere: "),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_refused_at_once(
    tmp_path: Path, address: str, message: str
) -> None:
    built, store = Rows(), Store(tmp_path / "results")
    decisions = {key: Decision("run", "test") for key in built.graph.nodes}
    began = time.monotonic()
    with pytest.raises(UsageError, match=message):
        run_graph_on_ray(built.graph, decisions, store, address=address, listener=Recording())
    assert time.monotonic() - began < 15


def test_local_starts_a_cluster_and_looks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(ray, "init", lambda address, **_: calls.append(address))
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    with connected("local"):
        assert calls == ["local"]
    assert calls == ["local", "shutdown"]


class Nodes:
    """A cluster of the test's own, for ``RayPool``; actors that are always well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.nodes: dict[str, dict[str, float]] = {}
        self.hosts: list[Any] = []
        monkeypatch.setattr(ray_pool, "_nodes", self.list)
        monkeypatch.setattr(ray_pool, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(ray_pool, "RayHost", self.host)
        monkeypatch.setattr(ray_pool, "RayWorker", lambda host, remote_job: host)

    def list(self) -> list[dict[str, Any]]:
        return [{"NodeID": name, "Alive": True, "Resources": found} for name, found in self.nodes.items()]

    def host(self, slot: Slot, circumstances: EngineSettings) -> Any:
        host = SimpleNamespace(node=None, dead=False, idle_since=0.0)
        host.kill = lambda: setattr(host, "dead", True)
        self.hosts.append(host)
        return host

    def look(self, places: RayPool, later: float) -> bool:
        self.now += later
        return places.look()


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    return Nodes(monkeypatch)


def start(places: RayPool, slot: Slot) -> Any:
    return places.start(Path("job"), Path("log"), slot)


def test_room_follows_the_nodes(nodes: Nodes) -> None:
    nodes.nodes = {"a": {"CPU": 4.0}, "b": {"CPU": 2.0}}
    places = RayPool(None, None, 2, COMMAND)
    taken = [places.take() for _ in range(4)]
    assert [slot and slot.name for slot in taken] == ["ray cpu 0", "ray cpu 1", "ray cpu 2", None]
    assert places.full
    assert not nodes.look(places, 5)
    nodes.nodes["c"] = {"CPU": 2.0}
    assert nodes.look(places, 5)
    assert not places.full
    assert taken[1] is not None
    places.give(taken[1])
    slot = places.take()
    assert slot == Slot("ray cpu 1", "cpu", 2, visible="")


def test_stages_take_a_gpu_each_where_there_are_any(nodes: Nodes) -> None:
    nodes.nodes = {"a": {"CPU": 4.0}, "b": {"CPU": 4.0, "GPU": 2.0}}
    places = RayPool(None, None, 2, COMMAND)
    assert [places.take() for _ in range(3)] == [*(Slot(f"ray gpu {i}", "cuda", 2) for i in range(2)), None]
    assert RayPool(None, "cpu", 2, COMMAND).take() == Slot("ray cpu 0", "cpu", 2, visible="")


def test_workers_limit_the_stages_at_a_time(nodes: Nodes) -> None:
    nodes.nodes = {"a": {"CPU": 64.0, "GPU": 8.0}}
    for device in ("cpu", "cuda"):
        places = RayPool(3, device, 1, COMMAND)
        assert [places.take() is not None for _ in range(4)] == [True, True, True, False]


def test_there_is_hope_for_a_minute_after_the_last_gpu_is_gone(nodes: Nodes) -> None:
    nodes.nodes = {"a": {"CPU": 4.0}, "b": {"CPU": 4.0, "GPU": 1.0}}
    places = RayPool(None, None, 1, COMMAND)
    del nodes.nodes["b"]
    assert not nodes.look(places, 5)
    assert places.lacking() is None
    assert nodes.look(places, 61)  # time to say so
    assert places.lacking() == "no node of the Ray cluster has a GPU and 1 CPUs any more"
    nodes.nodes["b"] = {"CPU": 4.0, "GPU": 1.0}
    assert nodes.look(places, 5)
    assert places.lacking() is None


def test_an_actor_serves_the_next_stage_and_is_let_go_when_there_is_none(nodes: Nodes) -> None:
    nodes.nodes = {"a": {"CPU": 2.0}}
    places = RayPool(None, None, 1, COMMAND)
    slot = places.take()
    assert slot is not None
    first = start(places, slot)
    first.node = "a"
    places.give(slot)
    assert places.take() == slot
    assert start(places, slot) is first
    places.give(slot)
    nodes.look(places, 20)
    assert not first.dead
    nodes.look(places, 20)
    assert first.dead
    assert start(places, slot) is not first


@pytest.mark.parametrize("why", ["another waits for its room", "its node is gone"])
def test_an_idle_actor_stands_in_nobodys_way(nodes: Nodes, why: str) -> None:
    nodes.nodes = {"a": {"CPU": 1.0}, "b": {"CPU": 1.0}}
    places = RayPool(None, None, 1, COMMAND)
    one, two = places.take(), places.take()
    assert one is not None
    assert two is not None
    idle, waiting = start(places, one), start(places, two)
    idle.node = "a"
    places.give(one)
    if why == "its node is gone":
        waiting.node = "b"
        del nodes.nodes["a"]
    nodes.look(places, 5)
    assert idle.dead
    assert not waiting.dead


class FakeHost:
    """A host whose actor tells ``told``, the last of which may be an error of Ray's."""

    def __init__(self, told: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.place: str | None = None
        self.node: str | None = None
        self.dead = False
        self.stopped: list[Path] = []
        self.actor = SimpleNamespace(
            run=SimpleNamespace(options=lambda num_returns: SimpleNamespace(remote=lambda remote_job: told)),
            terminate=SimpleNamespace(remote=self.stopped.append),
        )

        def get(event: Any) -> Any:
            if isinstance(event, Exception):
                raise event
            return event

        monkeypatch.setattr(ray_pool.ray, "get", get)

    def kill(self) -> None:
        self.dead = True


def worker(host: FakeHost) -> RayWorker:
    return RayWorker(host, RemoteJob(Path("job"), Path("log"), SLOT, ""))  # type: ignore[arg-type]


def test_a_lost_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ray.exceptions.ActorDiedError()
    host = FakeHost([Placed("n1 (ab12)", "ab12"), gone], monkeypatch)
    lost = worker(host)
    with pytest.raises(WorkerLost, match=r"lost with node n1 \(ab12\): "):
        list(lost.events())
    assert lost.wait() == -signal.SIGKILL
    assert host.dead  # and not to be used again


def test_a_worker_that_was_killed_from_here_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [Placed("n1", "ab12"), ray.exceptions.ActorDiedError()]
    killed = worker(FakeHost(told, monkeypatch))
    events = killed.events()
    next(events)
    killed.kill()
    assert list(events) == []
    assert killed.wait() == -signal.SIGKILL


def test_an_error_of_our_own_on_a_node_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ray.exceptions.RayTaskError("run", "traceback", ValueError("no such thing"))
    with pytest.raises(SsdbenchError, match="no such thing"):
        list(worker(FakeHost([error], monkeypatch)).events())


def test_a_worker_is_asked_to_stop_only_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost([Placed("n1", "ab12"), Ended(130, {})], monkeypatch)
    running = worker(host)
    events = running.events()
    next(events)
    running.terminate()
    assert host.stopped == [Path("job")]
    assert list(events) == []
    assert running.wait() == 130
    assert not host.dead
    waiting = worker(host)
    waiting.terminate()
    assert host.dead
