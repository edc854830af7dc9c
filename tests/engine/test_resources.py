"""Slots: threads divide the cores, a GPU takes one worker, and only GPUs that torch could use count."""

from __future__ import annotations

import pytest

from ssdbench.engine import resources
from ssdbench.errors import UsageError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Sixteen cores and a torch with CUDA."""
    monkeypatch.setattr(resources, "cores", lambda: 16)
    monkeypatch.setattr(resources.metadata, "version", lambda name: "2.9.0")
    return monkeypatch


@pytest.mark.parametrize(
    ("cores", "workers", "expected"), [(16, None, (4, 4)), (2, None, (2, 1)), (16, 5, (5, 3)), (2, 4, (4, 1))]
)
def test_workers_share_the_cores(
    machine: pytest.MonkeyPatch, cores: int, workers: int | None, expected: tuple[int, int]
) -> None:
    machine.setattr(resources, "cores", lambda: cores)
    found = resources.slots(workers, "cpu")
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
    gpus = [slot for slot in resources.slots(None, device) if slot.gpu]
    assert [slot.visible for slot in gpus] == expected
    assert all(slot.device == "cuda" for slot in gpus)


@pytest.mark.parametrize("device", ["cuda", "cuda:2"])
def test_a_gpu_that_is_not_there_is_refused(machine: pytest.MonkeyPatch, device: str) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", "" if device == "cuda" else "0,1")
    with pytest.raises(UsageError, match="not available"):
        resources.slots(None, device)


def test_a_cpu_build_of_torch_uses_no_gpu(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", "0")
    machine.setattr(resources.metadata, "version", lambda name: "2.9.0+cpu")
    assert not any(slot.gpu for slot in resources.slots(None, None))
