"""What a suite with thousands of runs costs when all of it is done: ``python benchmarks/scale.py``.

A suite of two variants, ten numbers of evaluations, weights and seeds is written, planned, and its store filled through
the store's own code with artifacts of a few bytes, as a real run leaves it. Then ``plan``, a ``run`` that has nothing
to do, ``report`` and ``status`` are timed as whole processes: CPU seconds (user and system, which other load on the
machine hardly changes), seconds on the clock, and the peak of resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import yaml

from ssdbench.plan import Graph, build
from ssdbench.runtime.records import write_record
from ssdbench.store import InputDigest, Provenance, Store, SuiteRun, now
from ssdbench.suite import load_suite

VARIANTS, EVALUATIONS = ["ssd", "issd"], [4, 5, 6, 8, 10, 12, 15, 20, 25, 30]
VERSIONS = {"python": "3", "torch": "2", "numpy": "2", "scipy": "1", "safetensors": "0", "ssdbench": "0"}
METRICS = {"is": 11.0, "fd": 300.0, "sfd": 1200.0, "precision": 0.7, "recall": 0.4}
COMMAND = "from ssdbench.cli.app import main; main()"
FACTS = {"steps": 200, "frozen_forwards": 51200, "student_forwards": 25600}


def write_suite(path: Path, runs: int, seeds: int) -> None:
    """A suite of at least ``runs`` runs, ``seeds`` of which are seeds of one row."""
    weights = -(-runs // (len(VARIANTS) * len(EVALUATIONS) * seeds))
    lambdas = [round((i + 1) / (weights + 1), 6) for i in range(weights)]
    suite = {
        "suite": "scale",
        "title": "Many runs",
        "layout": "plain",
        "defaults": {
            "model": "dit-mini",
            "resolution": 32,
            "guidance": {"scale": 1.5, "channels": 3},
            "train": {"steps": 200, "lr": 1e-4, "fuse": "last", "pairs": "skip_last"},
            "eval": {"samples": 2000, "reference": "fashion-mnist", "network": "effnet-lite0"},
        },
        "seeds": list(range(seeds)),
        "runs": [{"matrix": {"variant": VARIANTS, "nfe": EVALUATIONS, "train.lambda": lambdas}}],
    }
    path.write_text(yaml.safe_dump(suite, sort_keys=False))


def fill(store: Store, graph: Graph, suite: Path) -> None:
    """Commit every stage of the graph and write every record, each artifact a few bytes that its key decides."""
    with mock.patch("os.fsync"):  # nothing here has to survive a power cut
        _commit_all(store, graph)
        for planned in graph.runs:
            write_record(graph, planned, store, set())
        store.remember(SuiteRun(suite="scale", path=str(suite), text=suite.read_text(), run_at=now()))


def _commit_all(store: Store, graph: Graph) -> None:
    digests: dict[str, str] = {}
    for key, node in graph.nodes.items():
        attempt = store.begin(key)
        scores = {
            "metrics": {name: value + int(key[:4], 16) / 65536 for name, value in METRICS.items()},
            "network": "effnet-lite0",
            "network_digest": "0" * 64,
            "samples": 2000,
        }
        name, content = (
            ("metrics.json", json.dumps(scores)) if node.spec.KIND == "score" else ("content", key)
        )
        (attempt.path / name).write_text(content)
        inputs = {
            role: InputDigest(key=source, digest=digests[source]) for role, source in node.inputs.items()
        }
        provenance = Provenance(
            facts=FACTS if node.spec.KIND == "train" else {},
            seconds=10.0,
            peak_rss_mb=600.0,
            versions=VERSIONS,
            kind=node.spec.KIND,
            version=node.spec.VERSION,
            title=node.spec.title,
            spec=node.spec.canonical(),
            inputs=inputs,
            sources="0" * 64,
        )
        digests[key] = store.commit(attempt, provenance).digest


def measure(arguments: list[str], output: Path) -> tuple[float, float, float]:
    """CPU seconds, seconds and peak MiB of one call of the command; its output goes to a file.

    Raises:
        SystemExit: it failed.
    """
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        for stream, suffix in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{output}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.execv(sys.executable, [sys.executable, "-c", COMMAND, *arguments])
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"ssdbench {' '.join(arguments)} failed: see {output}.err")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - started, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5, help="of each row")
    parser.add_argument("--directory", type=Path, help="where the store is made, or was made before")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ssdbench-scale-") as temporary:
        directory = options.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        suite, results, full = directory / "scale.yaml", directory / "results", directory / "full"
        write_suite(suite, options.runs, options.seeds)
        if not full.exists():
            # In a process of its own: what this one holds would count as its children's peak.
            pid = os.fork()
            if pid == 0:
                graph = build(load_suite(suite))
                fill(Store(results), graph, suite)
                full.write_text(f"{len(graph.runs):,} runs, {len(graph.nodes):,} stages\n")
                os._exit(0)
            if os.waitpid(pid, 0)[1] != 0:
                sys.exit("the store could not be made")
        print(full.read_text())
        print("| | CPU s | s | peak MiB |\n|---|---:|---:|---:|")
        named = [str(suite), "--results", str(results)]
        for verb, arguments in {
            "plan, empty store": ["plan", str(suite), "--results", str(directory / "empty")],
            "plan": ["plan", *named],
            "run, nothing to do": ["run", *named],
            "report": ["report", *named],
            "status": ["status", *named],
        }.items():
            cpu, seconds, peak = measure(arguments, directory / verb.replace(", ", "-").replace(" ", "-"))
            print(f"| {verb} | {cpu:.1f} | {seconds:.1f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
