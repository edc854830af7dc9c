"""Text of users' files: UTF-8, or an error with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.data.captions import read_lines
from ssdbench.data.coco import read_coco, read_manifest
from ssdbench.errors import InputError
from ssdbench.inputs import NotUtf8, decode, load_json
from ssdbench.report.baseline import read_baseline

READERS: dict[str, Callable[[Path], object]] = {
    "object": load_json,
    "coco": read_coco,
    "manifest": read_manifest,
    "captions": read_lines,
    "baseline": read_baseline,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_every_reader_names_the_byte_and_its_place(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    path = tmp_path / "file"
    path.write_bytes('{"é": 1,\n "b": "'.encode() + b'\xe9x"}')
    with pytest.raises(InputError, match=rf"{path}:2:8: byte 0xE9 is not UTF-8 \(") as caught:
        reader(path)
    assert "save the file as UTF-8" in str(caught.value)
    path.write_bytes("{}".encode("utf-16"))
    with pytest.raises(
        InputError, match=rf"{path}:1:1: begins with 0xFF 0xFE, the byte order mark of UTF-16"
    ):
        reader(path)


@given(st.text(), st.sampled_from(["", "\ufeff"]))
def test_text_comes_back_without_its_mark(text: str, mark: str) -> None:
    assert decode((mark + text.removeprefix("\ufeff")).encode(), "x") == text.removeprefix("\ufeff")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"))


@given(TEXT, st.sampled_from([b"\x80", b"\xc0"]), st.binary())
def test_the_place_is_that_of_the_first_bad_byte(before: str, bad: bytes, after: bytes) -> None:
    with pytest.raises(NotUtf8) as caught:
        decode(before.encode() + bad + after, "x")
    lines = before.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert (caught.value.line, caught.value.column) == (len(lines), len(lines[-1]) + 1)


@given(st.text(min_size=1), st.integers(0, 3))
def test_what_was_cut_ends_with_a_whole_character(text: str, cut: int) -> None:
    data = text.encode()
    whole = decode(data[: len(data) - cut], "x", cut=True)
    assert text.removeprefix("\ufeff").startswith(whole)
