"""Errors that a user can act on, each with the exit code of the command that meets it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class SsdbenchError(Exception):
    """Base of all errors whose message is meant for the user; printed without a traceback."""

    exit_code: int = 1


class UsageError(SsdbenchError):
    """A command line, a suite or a name that cannot be understood."""

    exit_code = 2


class SuiteError(UsageError):
    """All problems found in a suite, each already located as ``file:line:column: message``."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class InputError(SsdbenchError):
    """Data, weights or samples that are missing or malformed: names what was found and what was expected."""

    exit_code = 2


@contextmanager
def refusing(said: str) -> Iterator[None]:
    """Raise whatever is raised inside as an :class:`InputError` that begins with ``said``; errors for the user as is.

    Libraries raise what their parts do about the content of a user's file: a dozen types.
    """
    try:
        yield
    except SsdbenchError:
        raise
    except Exception as error:
        raise InputError(f"{said}: {error}") from error


class StageFailed(SsdbenchError):
    """A stage ended without its artifact."""

    exit_code = 3


class Regression(SsdbenchError):
    """A number is worse than its baseline allows, or is not there."""

    exit_code = 4


class NotFinite(SsdbenchError):
    """A number that must be finite is NaN or infinite; names the tensor and the step."""

    exit_code = 3


class Interrupted(SsdbenchError):
    """The user asked to stop; what was finished is kept."""

    exit_code = 130
