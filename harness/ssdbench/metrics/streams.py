"""Streams of arrays cut anew into fixed blocks, so that results do not depend on how they arrived."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
Item = TypeVar("Item")


def rebatch(arrays: Iterable[NDArray[Scalar]], size: int) -> Iterator[NDArray[Scalar]]:
    """Yield the rows of ``arrays`` (each (n, ...)) in order, in blocks of ``size``, the last shorter."""
    return (block for _, block in rebatch_each(arrays, [size]))


def rebatch_each(
    arrays: Iterable[NDArray[Scalar]], sizes: Sequence[int]
) -> Iterator[tuple[int, NDArray[Scalar]]]:
    """Read ``arrays`` once and yield their rows for each of the ``sizes``: (which of them, block), as they fill."""
    parts: list[list[NDArray[Scalar]]] = [[] for _ in sizes]
    held = [0] * len(sizes)
    for array in arrays:
        for i, size in enumerate(sizes):
            rest = array
            while held[i] + len(rest) >= size:
                take = size - held[i]
                yield i, _join([*parts[i], rest[:take]])
                rest, parts[i], held[i] = rest[take:], [], 0
            if len(rest):
                parts[i].append(rest)
                held[i] += len(rest)
    for i, left in enumerate(parts):
        if left:
            yield i, _join(left)


class Blocks:
    """The pushing form of ``rebatch`` for float rows: fixed blocks out of a buffer of one block.

    Args:
        size: rows in a block.
        width: values in a row.
    """

    def __init__(self, size: int, width: int) -> None:
        self._buffer = np.empty((size, width), dtype=np.float32)
        self._held = 0

    def push(self, rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Take rows (n, width), yield each block (size, width) that fills; it is valid until the next one."""
        size = len(self._buffer)
        start = 0
        while start < len(rows):
            take = min(size - self._held, len(rows) - start)
            self._buffer[self._held : self._held + take] = rows[start : start + take]
            self._held += take
            start += take
            if self._held == size:
                self._held = 0
                yield self._buffer

    def rest(self) -> NDArray[np.float32]:
        """Return the rows (fewer than ``size``, perhaps none) that have not filled a block."""
        return self._buffer[: self._held]


@contextmanager
def ahead(items: Iterable[Item], depth: int = 4) -> Iterator[Iterator[Item]]:
    """Give an iterator over ``items`` that a thread fills up to ``depth`` ahead; what the items raise, it raises.

    The thread has ended when the block is left, however that happens.
    """
    waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(depth)
    left = threading.Event()

    def put(what: tuple[Item] | BaseException | None) -> bool:
        while not left.is_set():
            try:
                waiting.put(what, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def fill() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
        except BaseException as error:  # is raised where the items are wanted
            put(error)
        else:
            put(None)

    def taken() -> Iterator[Item]:
        while (what := waiting.get()) is not None:
            if isinstance(what, BaseException):
                raise what
            yield what[0]

    thread = threading.Thread(target=fill, name="ahead", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        left.set()
        thread.join()


def _join(parts: list[NDArray[Scalar]]) -> NDArray[Scalar]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
