"""Safe reading of what users give: plain files of a limited size, in UTF-8, and numbers of the environment."""

from __future__ import annotations

import codecs
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ssdbench.errors import InputError, UsageError, refusing

MISFIT = "does not fit the model:\n  "
_SHOWN = 20  # problems of a file
T = TypeVar("T")


def require_file(path: Path, most: int | None = None) -> int:
    """The size of a plain file in bytes. A pipe or a device would be waited for, or never end.

    Raises:
        InputError: there is none, it is something else, or it has more than ``most`` bytes.
    """
    try:
        status = path.stat()
        plain = path.is_file()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not plain:
        kind = "a folder" if path.is_dir() else "neither a file nor a folder"
        raise InputError(f"{path}: is {kind}, expected a file")
    if most is not None and status.st_size > most:
        raise InputError(f"{path}: has {status.st_size:,} bytes, expected at most {most:,}")
    return status.st_size


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a plain file; errors are those of :func:`require_file`, or what the system says."""
    require_file(path, most)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def is_plain_name(name: str) -> bool:
    """Whether a name is that of an entry of a folder, and leads neither out of it nor deeper."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0") and is_text(name)


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON can say half a surrogate pair, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class NotUtf8(InputError):
    """Bytes that are no UTF-8, and where: line and column from 1, in characters."""

    def __init__(self, file: object, line: int, column: int, reason: str) -> None:
        self.line, self.column, self.reason = line, column, reason
        super().__init__(f"{file}:{line}:{column}: {reason}")


def decode(data: bytes, file: object, *, cut: bool = False) -> str:
    """The text of UTF-8, without the byte order mark that some editors put before it.

    Args:
        data: of a file, or of its beginning.
        file: what messages call it.
        cut: whether there is more of it, so that the last character may be broken.

    Raises:
        NotUtf8: a byte is none of UTF-8's, or a mark says that it is UTF-16 or UTF-32.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            shown = " ".join(f"0x{byte:02X}" for byte in mark)
            raise NotUtf8(file, 1, 1, f"begins with {shown}, the byte order mark of {encoding}: {_SAVE}")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not cut)
    except UnicodeDecodeError as error:
        before = _LINE_END.split(data[: error.start].decode())
        reason = f"byte 0x{data[error.start]:02X} is not UTF-8 ({error.reason}): {_SAVE}"
        raise NotUtf8(file, len(before), len(before[-1]) + 1, reason) from None


_SAVE = "save the file as UTF-8"
_LINE_END = re.compile(r"\r\n|\r|\n")
# UTF-32's little-endian mark begins with UTF-16's
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        InputError: it cannot be read, or is in another encoding; names the line and column.
    """
    return decode(read_bytes(path), path)


def text_lines(path: Path) -> list[str]:
    r"""The lines of a file in UTF-8, without their ends, which are \n, \r\n or \r and nothing else.

    So a line may hold the other characters that Unicode calls line breaks, such as U+2028. A byte order mark at the
    start of a line is dropped: files that were joined have some in their midst.

    Raises:
        InputError: as :func:`read_text`.
    """
    lines = [line.removeprefix("\ufeff") for line in _LINE_END.split(read_text(path))]
    return lines if lines[-1] else lines[:-1]


def load_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        InputError: it cannot be read, is not UTF-8 or not JSON, is nested too deeply, or holds something else.
    """
    text = read_text(path)
    with refusing(f"{path}: cannot be read as JSON"):
        content = parse_json(text)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object, found {type(content).__name__}")
    return content


def parse_json(text: str) -> Any:
    """The content of a JSON text.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def number_from(variable: str, default: float, unit: str = "", *, least: float | None = None) -> float:
    """A number from the environment: a positive one of a ``unit``, or one of ``least`` or more, or nothing.

    Raises:
        UsageError: the variable is set to something else.
    """
    text = os.environ.get(variable)
    if text is None or (not text and least is not None):
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and (value > 0 if least is None else value >= least):
        return value
    expected = f"positive number of {unit}" if least is None else f"number that is at least {least:g}"
    raise UsageError(f"{variable} is {text!r}; expected a {expected}")


def parse(kind: type[T], content: Mapping[str, Any], place: object, heading: str = MISFIT) -> T:
    """The parsed content of a file as an object of ``kind``, a pydantic model or a dataclass; strict about types.

    Args:
        kind: what a field's description says is expected of its value.
        content: what the file holds at ``place``.
        place: what messages call it.
        heading: what they begin with.

    Raises:
        InputError: values are missing or malformed: all of them, each with what was found and what was expected.
    """
    try:
        if issubclass(kind, BaseModel):
            return kind.model_validate(content, strict=True)
        return TypeAdapter(kind).validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        fields = getattr(kind, "model_fields", {})
        problems = dict(_problem(found, fields) for found in error.errors())
    refuse(list(problems.values()), place, heading)
    raise AssertionError


def _problem(found: ErrorDetails, fields: Mapping[str, FieldInfo]) -> tuple[str, str]:
    """The field that an error is about, and a line about it."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"])[1:]
    if found["type"] in _OF_NAMES:
        return place, f"{_OF_NAMES[found['type']]} {place}"
    if not place:
        return place, f"is {found['input']!r:.100}, expected an object"
    head = str(found["loc"][0])
    what = fields[head].description if head in fields else None
    expected = what or re.sub("^(Input should be|Assertion failed,) ", "", found["msg"])
    return place, f"{place} is {found['input']!r:.100}, expected {expected}"


_OF_NAMES = {"missing": "lacks", "extra_forbidden": "unknown"}


def refuse(problems: Sequence[str], place: object, heading: str = MISFIT) -> None:
    """Report all problems of a file together, the first of them where there are many.

    Raises:
        InputError: there are any.
    """
    if problems:
        rest = len(problems) - _SHOWN
        shown = "\n  ".join(problems[:_SHOWN]) + (f"\n  and {rest} more" if rest > 0 else "")
        raise InputError(f"{place}: {heading}{shown}")
