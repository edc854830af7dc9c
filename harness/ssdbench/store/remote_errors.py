"""What went wrong with a URL, in words: fsspec's errors and those of the packages below it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ssdbench.errors import UsageError


class RemoteError(UsageError):
    """A store's URL cannot be understood or reached, or refused what was asked of it."""


def explain(error: BaseException) -> str:
    """An error of fsspec's or of a package below it, with what to look at."""
    kinds = {type(one).__name__ for one in _chain(error)}
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "ProfileNotFound"}:
        return f"no credentials were found (AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws, or a role): {error}"
    if isinstance(error, PermissionError):
        # Where listing is not granted, S3 says so of what does not exist, too.
        return f"permission denied (reading, listing and, of a store, writing have to be granted): {error}"
    if isinstance(error, FileNotFoundError):
        return f"no such bucket or place: {error}"
    if _is_network(kinds) or isinstance(error, ConnectionError | TimeoutError):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return f"unreachable{f' (AWS_ENDPOINT_URL is {endpoint})' if endpoint else ''}: {text}"
    return text


def _is_network(kinds: set[str]) -> bool:
    return any(word in kind for kind in kinds for word in ("Connect", "Timeout", "Endpoint", "DNS"))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _code(error: BaseException | None) -> str:
    """The code of S3's answer at the root of an error, if there is one."""
    for one in _chain(error):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def is_absent(error: BaseException) -> bool:
    """Whether an object does not exist. A bucket that does not exist is another error."""
    no_bucket = _code(error) == "NoSuchBucket" or "specified bucket does not exist" in str(error)
    return isinstance(error, FileNotFoundError) and not no_bucket


def is_there(error: BaseException | None) -> bool:
    """Whether a conditional write failed because the object exists."""
    return isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412")


def is_conflict(error: BaseException | None) -> bool:
    """Whether a conditional write collided with another one, or with a removal."""
    return _code(error) in ("ConditionalRequestConflict", "OperationAborted", "409")
