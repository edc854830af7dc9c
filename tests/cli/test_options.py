"""Options of the command line that contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seed", 1, "--seed", 2), "--seed: given as 1 and as 2: leave one out\n"),
        (("--seed=1", "--seed", 2), "--seed: given as 1 and as 2: leave one out\n"),
        (
            ("--profile", "mini", "--profile", "smoke"),
            "--profile: given as mini and as smoke: leave one out\n",
        ),
        (("--limit", 5, "--limit", 6), "--limit: given as 5 and as 6: leave one out\n"),
        (
            ("--set", "nfe=5", "--set", "nfe=6"),
            "--set nfe=6: nfe: '--set nfe=5' gives another value: leave one out\n1 problem\n",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["validate", "plan", "run", "report", "status"])
def test_the_same_option_with_another_value_is_an_error(
    ssdbench: Command, suite: Path, verb: str, arguments: tuple[object, ...], message: str
) -> None:
    result = ssdbench(verb, suite, *arguments)
    assert (result.exit_code, result.stderr) == (2, message)


def test_the_same_option_again_is_fine(ssdbench: Command, suite: Path) -> None:
    again = ("--seed", 1, "--limit", 5, "--set", "nfe=5", "--only", "variant=pretrain")
    assert ssdbench("validate", suite, *again, *again).stdout == "tiny.yaml: ok, 1 runs\n"


def test_conditions_of_several_onlys_all_hold(ssdbench: Command, suite: Path) -> None:
    both = ("--only", "nfe=4", "--only", "variant=*issd")
    assert ssdbench("validate", suite, *both).stdout == "tiny.yaml: ok, 1 runs\n"
    result = ssdbench("validate", suite, "--only", "nfe=4", "--only", "nfe=5")
    assert (result.exit_code, result.stderr) == (
        2,
        "--only nfe=4,nfe=5: nfe: given twice; write a choice as KEY=A|B\n1 problem\n",
    )


def test_an_option_that_is_not_utf_8_is_an_error(ssdbench: Command, suite: Path) -> None:
    result = ssdbench("validate", suite, "--set", "label=caf\udce9")
    assert result.exit_code == 2
    assert "not valid YAML: it holds a byte that is not UTF-8" in result.stderr


def test_all_suites_are_read_though_one_is_not_utf_8(ssdbench: Command, suite: Path) -> None:
    Path("latin.yaml").write_bytes(b"suite: x\ntitle: caf\xe9\n")
    result = ssdbench("validate", "latin.yaml", suite, "--json")
    assert (result.exit_code, result.stderr) == (
        2,
        "latin.yaml:2:11: byte 0xE9 is not UTF-8 (invalid continuation byte): save the file as UTF-8\n1 problem\n",
    )


def test_list_shows_titles_as_they_are_written(ssdbench: Command, workplace: Path) -> None:
    (workplace / "suites").mkdir()
    titles = {"a": "1.30", "b": "yes", "c": "2024-01-31", "d": "12:30", "e": "null"}
    for name, title in titles.items():
        (workplace / f"suites/{name}.yaml").write_text(f"suite: {name}\ntitle: {title}\n")
    (workplace / "suites/f.yaml").write_bytes(b"suite: f\ntitle: \xe9\n")
    told = dict(
        line.split(maxsplit=1)
        for line in ssdbench("list", "suites").stdout.splitlines()
        if line[:2] == "  " and " " in line.strip()
    )
    assert {name: told.get(name, "null") for name in titles} == titles
    assert told["f"] == "(cannot be read: 'ssdbench validate' says why)"


@pytest.mark.parametrize("seeds", ["1,1", "01,1", "1,-2", "1,x", f"1,{2**63}", "1," + "9" * 5000])
def test_seeds_of_a_baseline_are_different_whole_numbers(ssdbench: Command, suite: Path, seeds: str) -> None:
    result = ssdbench("baseline", suite, "--seeds", seeds)
    assert result.exit_code == 2
    assert "expected different whole numbers from 0 to 2^63 - 1, such as 1,2,3" in result.stderr


@pytest.mark.parametrize("seed", [2**63, 2**64])
def test_a_seed_of_64_bits_is_refused(ssdbench: Command, suite: Path, seed: int) -> None:
    result = ssdbench("validate", suite, "--seed", seed)
    assert (result.exit_code, result.stderr) == (
        2,
        f"--seed {seed}: must be at least 0 and below 2^63\n1 problem\n",
    )
