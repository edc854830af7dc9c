from __future__ import annotations

import math
import time

import pytest
import yaml

from ssdbench.suite.document import INVALID, Problems
from ssdbench.suite.yaml_nodes import MAX_CHARACTERS, Document, dump_yaml, parse_yaml


def parse(text: str) -> tuple[Document, list[str]]:
    problems = Problems()
    return parse_yaml(text, "f", problems), [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-6", 5e-6),  # YAML 1.1, and so PyYAML, reads text here
        ("5.0E-6", 5e-6),
        ("1.", 1.0),
        ("-.5", -0.5),
        ("12", 12),
        ("-12", -12),
        ("010", 10),  # 8 in YAML 1.1
        ("0x1f", 31),
        ("0o17", 15),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("no", "no"),  # false in YAML 1.1
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("2024-01-01", "2024-01-01"),  # a date in YAML 1.1
        ("1:30", "1:30"),  # 90 in YAML 1.1
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("!!int 12", 12),
        ("[1, [a]]", [1, ["a"]]),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    document, problems = parse(f"a: {text}")
    assert problems == []
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


def test_nan() -> None:
    assert math.isnan(parse("a: .nan")[0].data["a"])


def test_marks_find_values_keys_and_the_nearest_thing_around() -> None:
    document, _ = parse("a: 1\nb:\n  - {c: [x, y]}\n  - z\n")

    def at(*path: str | int, key: bool = False) -> tuple[int, int]:
        mark = document.mark(path, key=key)
        return mark.line, mark.column

    assert at("a") == (1, 4)
    assert at("a", key=True) == (1, 1)
    assert at("b", 0, "c", 1) == (3, 13)
    assert at("b", 0, "c", key=True) == (3, 6)
    assert at("b", 1) == (4, 5)
    assert at("b", 0, "missing", "deeper") == (3, 5)
    assert at("b", 7) == (3, 3)


def test_anchors_and_merges() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [{y: 5}, *b]}\nthree: *b\n"
    document, problems = parse(text)
    assert problems == []
    assert document.data["one"] == {"x": 1, "y": 3}
    assert document.data["two"] == {"x": 1, "y": 5}
    assert document.data["three"] == {"x": 1, "y": 2}
    mark = document.mark(("one", "x"))
    assert (mark.line, mark.column) == (1, 14)


def test_duplicates_keep_the_first() -> None:
    document, problems = parse("a: 1\nb: 2\na: 3\n")
    assert document.data == {"a": 1, "b": 2}
    assert problems == ["f:3:1: a: duplicate key (first on line 1)"]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000 + "a",
        "? " * 100_000 + "a",
        "a: " + "[" * 5_000 + "]" * 5_000,
        BOMB,
        "a: " + "x" * MAX_CHARACTERS,
        "a: &a [*a]",
        "a: &a {b: {<<: *a}}",
        "a: " + "9" * 5_000,
        "a: !!float nine",
        "a: !!timestamp 2020-01-01",
        "a: *nothing",
        "a: b: c",
        "\x00",
        "%YAML 9.9\n---\na: 1",
        "? {a: b}\n: c",
        "null: 1",
        "true: 1",
        "1.5: 1",
        "a: {<<: 3}",
        "'unfinished",
        "a: \ud800",
    ],
    ids=lambda text: text[:24].encode("ascii", "backslashreplace").decode(),
)
def test_hostile_text_is_a_located_problem_in_no_time(text: str) -> None:
    start = time.process_time()
    _, problems = parse(text)
    assert time.process_time() - start < 10
    assert problems
    assert all(problem.startswith("f:") for problem in problems)


def test_a_broken_part_leaves_the_rest_to_be_checked() -> None:
    document, problems = parse("a: !!python/name:os.system x\nb: 2\n")
    assert document.data["a"] is INVALID
    assert document.data["b"] == 2
    assert len(problems) == 1


@pytest.mark.parametrize(
    "text", ["1e3", "0E0", "no", "0o17", "1:30", "2024-01-01", "~", "", ".5", "a: b", "x\u2028y"]
)
def test_text_is_written_so_that_both_versions_read_text(text: str) -> None:
    written = dump_yaml({"a": text, "b": 5e-6, "c": None, "d": True})
    assert parse(written)[0].data == yaml.safe_load(written) == {"a": text, "b": 5e-6, "c": None, "d": True}
