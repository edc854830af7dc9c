"""What reading a file may cost, and what may come of it."""

from __future__ import annotations

import resource
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ssdbench.errors import InputError, SuiteError, UsageError

SECONDS = 30.0  # of a busy machine; every reader takes far below one
MIB = 400  # by which one file may raise the process's peak memory


class TooSlow(BaseException):
    """Not caught by any ``except Exception``."""


@contextmanager
def within(seconds: float = SECONDS) -> Iterator[None]:
    """Raise :class:`TooSlow` where the body takes longer."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def refused_or_read(name: str, what: str) -> Iterator[list[str]]:
    """The body reads a file called ``name``: it succeeds, or raises an error for the user that says so.

    Gives a list that holds the error's message afterwards, if there was one. ``what`` is how to make the file again.
    """
    said: list[str] = []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with within():
            yield said
    except (InputError, SuiteError, UsageError) as error:
        said.append(str(error))
        assert name in said[0], f"{what}: does not name the file: {said[0]!r:.300}"
        assert len(said[0]) < 100_000, f"{what}: a message of {len(said[0]):,} characters"
    except (Exception, TooSlow) as error:
        raise AssertionError(
            f"{what}: {error!r:.300}\n{''.join(traceback.format_tb(error.__traceback__))}"
        ) from None
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    assert grown < MIB, f"{what}: took {grown:.0f} MiB"
