"""Several processes that train one model: each takes a part of every batch, and their gradients are added up.

What a sample draws depends on its position in the data order alone, so that the parts make up the batch that one
process would take. The sums are rounded in another order, and nothing else is different.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ssdbench.errors import InputError, SsdbenchError

PATIENCE = timedelta(minutes=30)
"""For the others, while the first writes a checkpoint or a file system is slow."""
BUCKET = 1 << 24  # numbers added up at a time: enough to fill a link, little beside the gradients themselves


class Ranks:
    """This process as one of ``count`` that train together; ``rank`` 0 is the one that writes."""

    def __init__(self, rank: int = 0, count: int = 1, device: str = "cpu") -> None:
        self.rank, self.count, self._device = rank, count, device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, positions: range) -> range:
        """This process's positions of a batch; the parts are contiguous, and their sizes differ by one at the most.

        Raises:
            InputError: there are fewer positions than processes.
        """
        size = len(positions)
        if size < self.count:
            raise InputError(
                f"batch_size {size} cannot be split over {self.count} processes: expected one sample each"
            )
        return positions[size * self.rank // self.count : size * (self.rank + 1) // self.count]

    def share(self, positions: range) -> float:
        """What this process's mean over its part weighs in the mean over the whole batch."""
        return len(self.part(positions)) / len(positions)

    def sum(self, addend: Tensor) -> float:
        """The sum of a scalar over all processes."""
        if self.count == 1:
            return float(addend)
        total = addend.to(self._device, torch.float64, copy=True)
        dist.all_reduce(total)
        return float(total)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process: all get the same answer."""
        return flag if self.count == 1 else self.sum(torch.tensor(float(flag))) > 0

    def agree(self, value: float, otherwise: str) -> None:
        """Make sure that a number is the same in all processes.

        Raises:
            SsdbenchError: it is not, in all processes; with the message ``otherwise``.
        """
        if self.count == 1:
            return
        both = torch.tensor([value, -value], dtype=torch.float64, device=self._device)
        dist.all_reduce(both, dist.ReduceOp.MAX)
        if float(both[0]) != -float(both[1]):
            raise SsdbenchError(otherwise)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes."""
        if self.count == 1:
            return
        for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            dist.all_reduce(flat)
            for gradient, total in zip(bucket, torch.split(flat, [g.numel() for g in bucket]), strict=True):
                gradient.copy_(total.view_as(gradient))


ALONE = Ranks()


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive tensors of one type, together of ``BUCKET`` numbers or, where one alone has more, its own."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.numel() > BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    if bucket:
        yield bucket


@contextmanager
def joined(rank: int, count: int, meeting: Path | None, device: str) -> Iterator[Ranks]:
    """Meet the other processes, over NCCL on GPUs and Gloo elsewhere; ``meeting`` is a file that all can reach.

    ``device`` is this process's own, such as ``cuda:1``.

    Raises:
        InputError: several processes, and no file to meet by.
    """
    if count == 1:
        yield ALONE
        return
    if meeting is None:
        raise InputError(
            f"a stage of {count} processes is started by 'ssdbench run --gpus-per-stage', not one by one"
        )
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=f"file://{meeting.resolve()}",
        rank=rank,
        world_size=count,
        timeout=PATIENCE,
    )
    try:
        yield Ranks(rank, count, device)
    except Exception as error:
        # Errors for the user are raised by all processes at the same point. At others, the rest may be waiting in the
        # middle of a sum: whoever started them ends them.
        if isinstance(error, SsdbenchError):
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()
