"""Taking signals for a while."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def taken(callback: Callable[[], None], *numbers: signal.Signals) -> Iterator[None]:
    """Call ``callback`` for each of the signals; elsewhere than on the main thread, where none come, do nothing.

    The callback runs between any two instructions of the main thread: it must not wait for a lock.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        callback()

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
