"""Leases: one holder at a time, taken over from the dead at once and from the silent after a minute."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ssdbench.store import Store
from ssdbench.store import lease as leases
from ssdbench.store import owner as owners
from ssdbench.store.lease import LeaseFiles, Sign
from ssdbench.store.owner import Owner

KEY = "ab" * 32

HOLD = """
import sys, time
from ssdbench.store import Store
store = Store(sys.argv[1])
lease = store.lease(sys.argv[2])
attempt = store.begin(sys.argv[2])
(attempt.path / "half").write_bytes(b"half")
print(lease is not None, flush=True)
time.sleep(60)
"""


def hold_elsewhere(store: Store) -> subprocess.Popen[str]:
    """A process that holds the key's lease and has an attempt under way."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.root), KEY], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    return process


def test_lease_of_a_living_process_is_respected_and_of_a_dead_one_taken_at_once(store: Store) -> None:
    process = hold_elsewhere(store)
    try:
        assert store.lease(KEY) is None
        holder = store.holder(KEY)
        assert holder is not None
        assert holder.pid == process.pid
        store.clean(KEY)
        assert len(list(store.key_dir(KEY).glob("attempt-*"))) == 1
    finally:
        process.kill()
    # Not reaped yet: a zombie holds nothing.
    deadline = time.monotonic() + 5
    while store.holder(KEY) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    lease = store.lease(KEY)
    assert lease is not None
    with lease:
        store.clean(KEY)
        assert list(store.key_dir(KEY).glob("attempt-*")) == []
    process.communicate()
    assert not (store.key_dir(KEY) / "LEASE").exists()


def test_lease_from_another_host_lapses_after_a_minute_without_heartbeat(store: Store) -> None:
    path = store.key_dir(KEY) / "LEASE"
    path.parent.mkdir(parents=True)
    stranger = Owner(host="far", place="0" * 12, pid=1, started_ms=1, token="0" * 12)
    path.write_text(stranger.model_dump_json())
    for age, free in ((0, False), (55, False), (61, True)):
        os.utime(path, (time.time() - age, time.time() - age))
        assert (store.holder(KEY) is None) == free
        lease = store.lease(KEY)
        assert (lease is not None) == free
        if lease is not None:
            lease.release()


def test_two_leases_of_one_process_exclude_each_other(store: Store) -> None:
    first = store.lease(KEY)
    assert first is not None
    assert store.lease(KEY) is None
    first.release()
    second = store.lease(KEY)
    assert second is not None
    second.release()


def test_heartbeat_keeps_the_lease_fresh_until_release(store: Store) -> None:
    path = store.key_dir(KEY) / "LEASE"
    lease = leases.Leases(LeaseFiles(store.root), heartbeat=0.02).acquire(f"artifacts/ab/{KEY}/LEASE")
    assert lease is not None
    os.utime(path, (0, 0))
    deadline = time.monotonic() + 5
    while path.stat().st_mtime < time.time() - 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.holder(KEY) == lease.owner
    lease.release()
    assert not path.exists()


def test_release_spares_a_lease_that_was_taken_over(store: Store) -> None:
    path = store.key_dir(KEY) / "LEASE"
    mine = store.lease(KEY)
    assert mine is not None
    os.utime(path, (0, 0))
    theirs = store.lease(KEY)
    assert theirs is not None
    mine.release()
    assert store.holder(KEY) == theirs.owner
    theirs.release()


def test_live_lease_moved_by_mistake_is_put_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's takeover between the look at a lapsed lease and its removal is undone by nobody."""
    path = store.key_dir(KEY) / "LEASE"
    silent = store.lease(KEY)
    assert silent is not None
    os.utime(path, (0, 0))
    theirs = overtaken_after_the_look(Store(store.root), monkeypatch)
    assert store.lease(KEY) is None
    assert theirs[0] is not None
    assert store.holder(KEY) == theirs[0].owner
    silent.release()
    assert store.holder(KEY) == theirs[0].owner
    theirs[0].release()


def overtaken_after_the_look(other: Store, monkeypatch: pytest.MonkeyPatch) -> list[leases.Lease | None]:
    """Let ``other`` take the lease, which goes into the list, when somebody has just looked at it to take it over."""
    read, taken = LeaseFiles.read, []

    def look(self: LeaseFiles, name: str, *, exact: bool = False) -> Sign | None:
        found = read(self, name, exact=exact)
        if exact:
            monkeypatch.setattr(LeaseFiles, "read", read)
            taken.append(other.lease(KEY))
        return found

    monkeypatch.setattr(LeaseFiles, "read", look)
    return taken


def test_recycled_pid_is_not_taken_for_the_owner() -> None:
    owner = Owner.current()
    assert not owner.dead
    assert owner.model_copy(update={"started_ms": owner.started_ms - 1000}).dead
    assert not owner.model_copy(update={"started_ms": 0, "place": "0" * 12}).dead


@pytest.mark.skipif(sys.platform != "linux", reason="start times are of day there")
def test_setting_the_clock_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner.current()
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    assert not owner.dead
    assert Owner.current().started_ms == owner.started_ms


def test_where_start_times_are_of_day_a_small_step_of_the_clock_kills_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(owners, "_PROC", tmp_path / "no proc")
    owner = Owner.current()
    assert abs(owner.started_ms / 1000 - time.time()) < 86400
    created = psutil.Process.create_time
    for step, dead in ((1.5, False), (-1.5, False), (10, True)):
        monkeypatch.setattr(psutil.Process, "create_time", lambda self, step=step: created(self) + step)
        assert owner.dead == dead


def test_start_time_is_that_of_the_operating_system() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        mine, theirs = Owner.current().started_ms, owners._started_ms(process.pid)
        assert theirs is not None
        difference = psutil.Process(process.pid).create_time() - psutil.Process().create_time()
        assert (theirs - mine) / 1000 == pytest.approx(difference, abs=0.05)
    assert owners._started_ms(process.pid) is None


def test_owner_survives_as_a_file_name() -> None:
    owner = Owner.current().model_copy(update={"host": "a.b/c d"})
    back = Owner.from_tag(owner.tag)
    assert back is not None
    assert (back.place, back.pid, back.started_ms, back.token) == (
        owner.place,
        owner.pid,
        owner.started_ms,
        owner.token,
    )
    assert Path(owner.tag).name == owner.tag
    assert Owner.from_tag("something else") is None
