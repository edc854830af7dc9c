"""Streams of arrays cut anew into fixed blocks, so that results do not depend on how they arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat, takewhile
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Blocks(Generic[Scalar]):
    """Rows (n, ...) that arrive in arrays of any length, cut into blocks of ``size`` rows in their order."""

    def __init__(self, size: int) -> None:
        self._size, self._held = size, 0
        self._parts: list[NDArray[Scalar]] = []

    def push(self, rows: NDArray[Scalar]) -> Iterator[NDArray[Scalar]]:
        """Take rows (n, ...), and yield each block (size, ...) that fills."""
        while self._held + len(rows) >= self._size:
            take = self._size - self._held
            self._parts.append(rows[:take])
            yield from self.rest()
            rows, self._parts, self._held = rows[take:], [], 0
        if len(rows):
            self._parts.append(rows)
            self._held += len(rows)

    def rest(self) -> list[NDArray[Scalar]]:
        """Return the block of the rows, fewer than ``size``, that have not filled one; nothing where there are none."""
        if not self._parts:
            return []
        return [self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)]


def rebatch_each(
    arrays: Iterable[NDArray[Scalar]], sizes: Sequence[int]
) -> Iterator[tuple[int, NDArray[Scalar]]]:
    """Read ``arrays`` once and yield their rows for each of the ``sizes``: (which of them, block), as they fill."""
    each: list[Blocks[Scalar]] = [Blocks(size) for size in sizes]
    for array in arrays:
        for i, blocks in enumerate(each):
            yield from ((i, block) for block in blocks.push(array))
    for i, blocks in enumerate(each):
        yield from ((i, block) for block in blocks.rest())


@contextmanager
def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, depth: int
) -> Iterator[Iterator[Result]]:
    """Give ``function(item)`` of each item, in order, computed by threads up to ``depth`` items ahead.

    What the function or the items raise is raised where its result is wanted. The threads have ended when the block is
    left, however that happens.
    """
    pool = ThreadPoolExecutor(workers)

    def results() -> Iterator[Result]:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        yield results()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def ahead(items: Iterable[Item], depth: int = 4) -> Iterator[Iterator[Item]]:
    """Give an iterator over ``items`` that a thread fills up to ``depth`` ahead; see :func:`in_order`."""
    source, end = iter(items), object()
    turns = repeat(None)
    with in_order(lambda _: next(source, end), turns, 1, depth) as found:
        yield takewhile(lambda item: item is not end, found)  # type: ignore[arg-type]
