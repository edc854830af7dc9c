"""How many stages may run at a time, and on which devices; found out without torch."""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from ssdbench.errors import UsageError

MAX_WORKERS = 4


@dataclass(frozen=True)
class Slot:
    """A place for one worker. ``visible`` is its CUDA_VISIBLE_DEVICES, None to leave the variable alone.

    One made of several ``parts`` is for a stage that as many processes execute together.
    """

    name: str
    device: str
    threads: int
    visible: str | None = None
    parts: tuple[Slot, ...] = ()

    @property
    def gpu(self) -> bool:
        """Whether it is on a GPU."""
        return self.device != "cpu"

    @property
    def ranks(self) -> int:
        """How many processes execute a stage here."""
        return len(self.parts) or 1


def together(parts: Sequence[Slot]) -> Slot:
    """One slot made of several alike, or the only one as it is."""
    first = parts[0]
    if len(parts) == 1:
        return first
    visible = ",".join(part.visible or "" for part in parts) if first.gpu else first.visible
    name = f"{first.name.partition(' ')[0]} {'+'.join(part.name.partition(' ')[2] for part in parts)}"
    return replace(first, name=name, visible=visible, parts=tuple(parts))


def cores() -> int:
    """CPU cores this process may use: its affinity and, in a container, its quota; at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, math.ceil(int(quota) / int(period))))


def visible_gpus() -> list[str]:
    """List the GPUs that workers can use, as values for CUDA_VISIBLE_DEVICES; none with a CPU torch."""
    if metadata.version("torch").endswith("+cpu"):
        return []
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        # As CUDA does, ignore what comes after the first invalid entry.
        names = [name.strip() for name in allowed.split(",")]
        return names[: next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))]
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [
        str(i) for i, line in enumerate(filter(None, listing.stdout.splitlines())) if line.startswith("GPU ")
    ]


def check_request(workers: int | None, device: str | None, threads: int | None = None) -> None:
    """Check the form of what ``slots`` takes.

    Raises:
        UsageError: an unknown device, or ``workers`` or ``threads`` below 1.
    """
    for name, number in (("workers", workers), ("threads a stage", threads)):
        if number is not None and number < 1:
            raise UsageError(f"the number of {name} must be at least 1, not {number}")
    if device is not None and re.fullmatch(r"cpu|mps|cuda(:\d+)?", device) is None:
        raise UsageError(f"unknown device '{device}'; known are cpu, cuda, cuda:N and mps")


def share(count: int, workers: int | None = None, threads: int | None = None) -> tuple[int, int]:
    """Divide ``count`` cores: how many workers, and how many threads each.

    By default there are as many workers as fit, at most 4, and each has count // workers threads.
    """
    workers = workers or max(1, min(count // (threads or 1), MAX_WORKERS))
    return workers, threads or max(1, count // workers)


def slots(workers: int | None, device: str | None, threads: int | None = None) -> list[Slot]:
    """Slots on the GPUs where there are GPUs to use, else on the CPU.

    Args:
        workers: how many slots, which share the GPUs; every GPU has one all the same. None for one a GPU or, on the
            CPU, the default of ``share``.
        device: ``cpu``, ``cuda`` (every visible GPU), ``cuda:N`` (the Nth visible one), ``mps``; None for the
            GPUs that are visible, if any.
        threads: CPU threads of every slot; None for the default of ``share``.

    Raises:
        UsageError: the device is none of these or is not there, or ``workers`` or ``threads`` is below 1.
    """
    check_request(workers, device, threads)
    gpus = [] if device in ("cpu", "mps") else visible_gpus()
    if device is not None and device.startswith("cuda"):
        index = device.partition(":")[2]
        if index:
            gpus = gpus[int(index) : int(index) + 1]
        if not gpus:
            raise UsageError(
                f"device '{device}' is not available: no such GPU is visible to this installation"
            )
    by_cores, threads = share(cores(), workers, threads)
    if device == "mps":
        return [Slot(f"mps {i}", "mps", threads) for i in range(workers or 1)]
    if not gpus:
        return [Slot(f"cpu {i}", "cpu", threads, visible="") for i in range(by_cores)]
    count = max(workers or 1, len(gpus))
    found = []
    for i in range(count):
        visible = gpus[i % len(gpus)]
        name = f"gpu {visible}" if count == len(gpus) else f"gpu {visible} #{i // len(gpus)}"
        found.append(Slot(name, "cuda", threads, visible))
    return found


def choose(free: Sequence[Slot], count: int) -> list[Slot]:
    """Choose free slots on ``count`` different GPUs, those with the most free slots first, or one on the CPU.

    Returns:
        The slots; none where there are not so many.
    """
    places: dict[str | None, list[Slot]] = {}
    for slot in free:
        places.setdefault(slot.visible, []).append(slot)
    best = sorted(places.values(), key=len, reverse=True)[:count]
    return [slots[0] for slots in best] if len(best) == count else []


def room_on(nodes: Sequence[Mapping[str, float]], threads: int, gpus: bool) -> int:
    """How many stages a cluster has room for.

    Args:
        nodes: how many CPUs (``CPU``) and GPUs (``GPU``) each node has.
        threads: CPUs that a stage takes.
        gpus: whether each takes a GPU too.
    """
    room = 0
    for node in nodes:
        fitting = int(node.get("CPU", 0)) // threads
        room += min(fitting, int(node.get("GPU", 0))) if gpus else fitting
    return room


def default_threads(nodes: Sequence[Mapping[str, float]]) -> int:
    """Threads that ``slots`` would by default give a stage on the smallest node that has CPUs at all."""
    return share(min((count for node in nodes if (count := int(node.get("CPU", 0)))), default=1))[1]


def check_gpus(found: Sequence[Slot], gpus_per_stage: int) -> None:
    """Check that a stage can have so many GPUs.

    Raises:
        UsageError: there are fewer, or the number is below 1.
    """
    gpus = len({slot.visible for slot in found if slot.gpu})
    if gpus_per_stage < 1:
        raise UsageError(f"the number of GPUs per stage must be at least 1, not {gpus_per_stage}")
    if gpus_per_stage > max(1, gpus):
        raise UsageError(f"--gpus-per-stage {gpus_per_stage}: {gpus} GPUs are there to be used")
