"""Options of the command line that contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command, Filled


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


def test_the_suffix_of_o_decides_the_form(ssdbench: Command, filled: Filled, suite: Path) -> None:
    starts = {
        "t.md": "### ",
        "t.txt": "A tiny suite\n",
        "t.tex": "% needs",
        "t.csv": "suite,",
        "t.JSON": "[\n",
        "t.html": "<!",
    }
    for name, start in starts.items():
        assert ssdbench("report", suite, "-o", name).exit_code == 0
        assert Path(name).read_text().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "t.docx"], "-o t.docx: expected a name that ends in .md, .txt, .tex, .html, .csv, .json"),
        (["-o", "t"], "-o t: expected a name that ends in"),
        (["-o", "t.csv", "--format", "json"], "-o t.csv: that is csv, and json was asked for"),
        (["-o", "t.md", "--json"], "-o t.md: that is markdown, and json was asked for"),
        (["--json", "--format", "csv"], "--format and --json exclude each other"),
        (["--json", "--format", "json"], "--format and --json exclude each other"),
    ],
)
def test_forms_that_contradict_each_other_or_are_unknown_are_refused(
    ssdbench: Command, arguments: list[str], said: str
) -> None:
    result = ssdbench("report", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize("verb", [["compare", "a", "b"], ["claims"]])
def test_other_verbs_know_suffixes_too(ssdbench: Command, verb: list[str]) -> None:
    for arguments in (["-o", "t.csv"], ["-o", "t.md", "--json"], ["--json", "--format", "markdown"]):
        result = ssdbench(*verb, *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "t.csv: expected" in result.stderr or "json" in result.stderr
