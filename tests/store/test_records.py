"""Records, the history of runs, housekeeping and the digest of the sources."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from ssdbench.metrics.intervals import Interval
from ssdbench.provenance import SCIENCE, digest_sources, git_commit, package_directory
from ssdbench.store import Manifest, Record, StageRecord, Store, SuiteRun
from ssdbench.store.gc import collect, verify_all

KEY, OTHER = "ab" * 32, "cd" * 32
Put = Callable[..., Manifest]


def a_record(key: str = KEY) -> Record:
    stage = StageRecord(
        kind="score",
        title="score",
        seconds=1.5,
        peak_rss_mb=10.0,
        cached=False,
        digest="0" * 64,
        device="cpu",
        threads=1,
        sources="s",
    )
    return Record(
        key=key,
        digest="0" * 64,
        run={"variant": "base"},
        run_yaml="variant: base\n",
        metrics={"fid": 1.25, "is": math.inf},
        network="inception",
        network_digest="0" * 64,
        reference="imagenet-256",
        samples=10,
        nfe=10,
        seed=0,
        stages={key: stage},
        seconds=1.5,
        device="cpu",
        threads=1,
        versions={"python": "3"},
        sources="s",
        thumbnail=f"{key}.png",
        created="2026-01-01T00:00:00+00:00",
    )


def test_record_comes_back_as_written(store: Store) -> None:
    store.write_record(a_record(), b"png")
    assert store.read_record(KEY) == a_record()
    assert list(store.records()) == [a_record()]
    assert (store.records_dir / f"{KEY}.png").read_bytes() == b"png"
    assert store.read_record(OTHER) is None


def test_a_records_intervals_are_what_the_score_found(store: Store) -> None:
    found = {"fid": Interval(1.0, math.inf, "jackknife"), "is": Interval(0.5, 2.0, "bootstrap")}
    record = a_record()
    assert record.intervals == {}, "of a record that was made before there were any"
    facts: dict[str, JsonValue] = {"intervals": {name: dict(one._asdict()) for name, one in found.items()}}
    stage = record.stages[KEY].model_copy(update={"facts": facts})
    store.write_record(record.model_copy(update={"stages": {KEY: stage}}))
    again = store.read_record(KEY)
    assert again is not None
    assert again.intervals == found
    assert all(type(one) is Interval for one in again.intervals.values())


def test_record_of_an_earlier_version_is_read(store: Store) -> None:
    path = store.write_record(a_record())
    content = json.loads(path.read_text())
    del content["missing"], content["stages"][KEY]["inputs"]
    path.write_text(json.dumps(content))
    assert store.read_record(KEY) == a_record()


def test_damaged_record_counts_as_missing(store: Store) -> None:
    path = store.write_record(a_record())
    path.write_text(path.read_text()[:100])
    assert store.read_record(KEY) is None


def a_run(suite: str, run_at: str, profile: str | None = None) -> SuiteRun:
    return SuiteRun(suite=suite, path=f"suites/{suite}.yaml", text="runs: []", profile=profile, run_at=run_at)


def test_runs_last_first_one_a_suite_and_profile(store: Store) -> None:
    store.remember(a_run("quick", "2026-01-01"))
    store.remember(a_run("quick", "2026-01-02", "mini"))
    store.remember(a_run("table8", "2026-01-03"))
    store.remember(a_run("quick", "2026-01-04"))
    assert [(run.suite, run.profile, run.run_at) for run in store.history()] == [
        ("quick", None, "2026-01-04"),
        ("table8", None, "2026-01-03"),
        ("quick", "mini", "2026-01-02"),
    ]
    assert sorted(path.name for path in store.suites_dir.iterdir()) == [
        "quick.json",
        "quick.mini.json",
        "table8.json",
    ]


@pytest.mark.parametrize(
    ("first", "then", "options", "noted"),
    [
        (None, "nfe=10", {}, None),
        ("nfe=10", None, {}, None),
        ("nfe=10", "nfe=20", {}, None),
        ("nfe=10", "nfe=10", {}, "nfe=10"),
        (None, "nfe=10", {"overrides": ["seeds=[1,2]"]}, "nfe=10"),
        (None, "nfe=10", {"limit": 16}, "nfe=10"),
        (None, "nfe=10", {"profile": "mini"}, "nfe=10"),
    ],
)
def test_rows_run_before_with_the_same_options_are_not_forgotten(
    store: Store, first: str | None, then: str | None, options: dict[str, Any], noted: str | None
) -> None:
    store.remember(a_run("quick", "2026-01-01").model_copy(update={"only": first}))
    store.remember(a_run("quick", "2026-01-02").model_copy(update={"only": then} | options))
    assert store.history()[0].only == noted


@pytest.mark.parametrize("name", ["../../escape", "/etc/x", "..", ".", "", "a\0b", "x" * 300])
def test_suite_names_do_not_lead_out_of_the_store(store: Store, name: str) -> None:
    path = store.remember(a_run(name, "2026"))
    assert path.resolve().parent == store.suites_dir.resolve()
    assert [run.suite for run in store.history()] == [name]


def test_collect_removes_leftovers_and_nothing_finished(store: Store, put: Put) -> None:
    put(KEY, {"a": b"kept"})
    bad = put(OTHER, {"a": b"bad!"})
    store.set_aside(OTHER, bad.attempt, "test")
    dead = store.begin(KEY)
    (dead.path / "x").write_bytes(b"12345")
    gone = dead.path.rename(dead.path.with_name(dead.name.replace(f".{os.getpid()}.", ".4194999.")))
    mine = store.begin(KEY)
    scratch = store.key_dir(KEY) / "scratch"
    scratch.mkdir()
    temporary = store.key_dir(KEY) / ".DONE.json.0123.tmp"
    temporary.write_bytes(b"")
    os.utime(temporary, (time.time() - 100, time.time() - 100))
    planned = collect(store, dry_run=True)
    assert gone.exists()
    done = collect(store)
    assert set(done.paths) == set(planned.paths)
    aside = store.key_dir(OTHER)
    assert set(done.paths) == {gone, scratch, temporary, aside / bad.attempt, aside / "aside"}
    assert done.bytes == planned.bytes >= len(b"12345") + len(b"bad!")
    assert not any(path.exists() for path in done.paths)
    assert mine.path.exists()
    assert store.verify(KEY) == []
    assert collect(store).paths == []


def test_collect_leaves_a_leased_key_alone(store: Store, put: Put) -> None:
    put(KEY, {"a": b"1"})
    scratch = store.key_dir(KEY) / "scratch"
    scratch.mkdir()
    lease = store.lease(KEY)
    assert lease is not None
    with lease:
        assert collect(store).paths == []
    assert collect(store).paths == [scratch]


def test_verify_all_names_the_damaged_artifact(store: Store, put: Put) -> None:
    put(KEY, {"a": b"1"})
    put(OTHER, {"b": b"1"})
    assert verify_all(store) == []
    (store.directory(OTHER) / "b").write_bytes(b"2")
    problems = verify_all(store)
    assert [(problem.key, problem.text.split(":")[0]) for problem in problems] == [(OTHER, "b")]


def test_sources_digest_follows_the_science_sources_alone(tmp_path: Path) -> None:
    for part in (*SCIENCE, "cli"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.py").write_text("a = 1")
    before = digest_sources(tmp_path)
    (tmp_path / "cli" / "a.py").write_text("a = 2")
    (tmp_path / "models" / "notes.txt").write_text("no source")
    assert digest_sources(tmp_path) == before
    (tmp_path / "models" / "a.py").rename(tmp_path / "models" / "b.py")
    renamed = digest_sources(tmp_path)
    assert renamed != before
    (tmp_path / "models" / "b.py").write_text("a = 3")
    assert digest_sources(tmp_path) not in (before, renamed)


def test_every_science_package_is_digested() -> None:
    packages = {path.parent.name for path in package_directory().glob("*/__init__.py")}
    assert packages - {"api", "cli", "plan", "report", "runtime", "speed", "store", "suite"} == set(SCIENCE)
    assert len(digest_sources(package_directory())) == 64


def test_commit_is_the_checkouts_own_or_none() -> None:
    commit = git_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40
