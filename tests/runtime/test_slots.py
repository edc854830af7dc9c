"""Slots: threads divide the cores, workers share the GPUs, and only GPUs that torch could use count."""

from __future__ import annotations

import pytest

from ssdbench.errors import UsageError
from ssdbench.runtime import slots
from ssdbench.runtime.local import LocalPool


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Sixteen cores and a torch with CUDA."""
    monkeypatch.setattr(slots, "cores", lambda: 16)
    monkeypatch.setattr(slots.metadata, "version", lambda name: "2.9.0")
    return monkeypatch


@pytest.mark.parametrize(
    ("cores", "workers", "expected"), [(16, None, (4, 4)), (2, None, (2, 1)), (16, 5, (5, 3)), (2, 4, (4, 1))]
)
def test_workers_share_the_cores(
    machine: pytest.MonkeyPatch, cores: int, workers: int | None, expected: tuple[int, int]
) -> None:
    machine.setattr(slots, "cores", lambda: cores)
    found = slots.slots(workers, "cpu")
    assert (len(found), found[0].threads) == expected
    assert all(slot.visible == "" for slot in found)  # a CPU stage must not touch a GPU


@pytest.mark.parametrize(
    ("allowed", "device", "expected"),
    [
        ("0,2,3", None, ["0", "2", "3"]),
        ("0,2,3", "cuda:1", ["2"]),
        ("GPU-ab,-1,3", "cuda", ["GPU-ab"]),
        ("", None, []),
        ("0,1", "cpu", []),
    ],
)
def test_gpus_follow_the_environment(
    machine: pytest.MonkeyPatch, allowed: str, device: str | None, expected: list[str]
) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", allowed)
    found = slots.slots(None, device)
    assert [slot.visible for slot in found if slot.gpu] == expected
    assert {slot.device for slot in found} == ({"cuda"} if expected else {"cpu"})


@pytest.mark.parametrize(
    ("allowed", "workers", "expected"),
    [
        ("0", 1, ["0"]),
        ("0", 8, ["0"] * 8),
        ("0,2", 1, ["0", "2"]),  # no GPU is left idle
        ("0,2", 5, ["0", "2", "0", "2", "0"]),
    ],
)
def test_workers_share_the_gpus(
    machine: pytest.MonkeyPatch, allowed: str, workers: int, expected: list[str]
) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", allowed)
    gpus = slots.slots(workers, "cuda")
    assert [slot.visible for slot in gpus] == expected
    assert len({slot.name for slot in gpus}) == len(gpus)
    assert {slot.threads for slot in gpus} == {16 // workers}


def test_slots_are_taken_where_most_are_free_and_several_on_different_gpus(
    machine: pytest.MonkeyPatch,
) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    free = slots.slots(9, "cuda")
    assert [slot.visible for slot in slots.choose(free, 2)] == ["0", "1"]
    taken = []
    while chosen := slots.choose(free, 1):
        taken += [slot.visible for slot in chosen]
        free = [slot for slot in free if slot not in chosen]
    assert all(sorted(taken[i : i + 3]) == ["0", "1", "2"] for i in (0, 3, 6))
    assert len(taken) == 9
    one = slots.slots(4, "cuda:1")
    assert slots.choose(one, 2) == []  # four slots, one GPU
    with pytest.raises(UsageError, match="--gpus-per-stage 2: 1 GPUs"):
        slots.check_gpus(one, 2)


@pytest.mark.parametrize(
    ("workers", "per_stage", "stages"), [(None, 1, 4), (2, 1, 2), (8, 1, 8), (1, 2, 1), (None, 2, 2)]
)
def test_no_more_stages_run_than_there_are_workers(
    machine: pytest.MonkeyPatch, workers: int | None, per_stage: int, stages: int
) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    pool = LocalPool(workers, "cuda", 1, None, per_stage)
    taken = []
    while not pool.full:
        taken.append(pool.take(shared=True))
    assert len(taken) == stages
    assert {slot.ranks for slot in taken if slot is not None} == {per_stage}
    assert taken[0] is not None
    pool.give(taken[0])
    assert not pool.full


@pytest.mark.parametrize("device", ["cuda", "cuda:2"])
def test_a_gpu_that_is_not_there_is_refused(machine: pytest.MonkeyPatch, device: str) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", "" if device == "cuda" else "0,1")
    with pytest.raises(UsageError, match="not available"):
        slots.slots(None, device)


def test_a_cpu_build_of_torch_uses_no_gpu(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", "0")
    machine.setattr(slots.metadata, "version", lambda name: "2.9.0+cpu")
    assert not any(slot.gpu for slot in slots.slots(None, None))


@pytest.mark.parametrize(
    ("workers", "threads", "expected"),
    [(None, 8, (2, 8)), (None, 1, (4, 1)), (3, 2, (3, 2)), (None, 99, (1, 99))],
)
def test_threads_can_be_asked_for(
    machine: pytest.MonkeyPatch, workers: int | None, threads: int, expected: tuple[int, int]
) -> None:
    found = slots.slots(workers, "cpu", threads)
    assert (len(found), found[0].threads) == expected


NODES = [{"CPU": 16.0, "GPU": 8.0}, {"CPU": 4.0, "memory": 1e9}, {"memory": 1e9}]


@pytest.mark.parametrize(
    ("threads", "gpus", "expected"),
    [
        (1, True, 8),
        (4, True, 4),  # the CPUs for a fifth GPU are not there
        (4, False, 5),
        (5, True, 3),
        (17, True, 0),
    ],
)
def test_a_cluster_has_room_where_a_node_has_all_that_a_stage_takes(
    threads: int, gpus: bool, expected: int
) -> None:
    assert slots.room_on(NODES, threads, gpus) == expected


def test_threads_on_a_cluster_are_those_of_its_smallest_node(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(slots, "cores", lambda: 12)
    nodes = [{"CPU": 64.0}, {"CPU": 12.0}, {"GPU": 1.0}]
    assert slots.default_threads(nodes) == slots.slots(None, "cpu")[0].threads == 3
