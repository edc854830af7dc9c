"""Scalars mean what their author wrote: text keeps its form, whole numbers may be decimals, bytes are UTF-8."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.errors import SuiteError
from ssdbench.methods import METHODS
from ssdbench.suite import EmptySelection, catalog, load_suite, select
from ssdbench.suite.document import Problems, did_you_mean, whole_number
from ssdbench.suite.schema import ResolvedRun, run_yaml
from ssdbench.suite.yaml_nodes import dump_yaml, parse_yaml

from .conftest import HEAD, ProblemsOf, Write

SCALARS = [
    "1.10",
    "1.30",
    "10",
    "010",
    "+5",
    "-0",
    "0x10",
    "0o17",
    "1e3",
    "5.",
    ".5",
    "2024-01-31",
    "12:30",
    "1_000",
    "yes",
    "no",
    "on",
    "true",
    "False",
    ".inf",
    "-.INF",
    ".nan",
    "123456789012345678901234567890",
    "0.1000000000000000055511151231257827",
]


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("key", ["label", "group", "epochs", "eval.weights"])
def test_text_is_kept_as_it_is_written(rows: Write, scalar: str, key: str) -> None:
    section, _, inner = key.rpartition(".")
    given_ = f"{section}: {{{inner}: {scalar}}}" if section else f"{inner}: {scalar}"
    for path, options in (
        (rows(f"{{variant: base, {given_}}}"), ()),
        (rows("{variant: base}"), (f"{key}={scalar}",)),
        (rows(f"{{variant: base, matrix: {{{key}: [{scalar}]}}}}"), ()),
    ):
        (run,) = load_suite(path, overrides=options).runs
        assert (getattr(getattr(run, section), inner) if section else getattr(run, inner)) == scalar
        stored = parse_yaml(run_yaml(run), "x", Problems()).data
        assert ResolvedRun.model_validate({**stored, "mark": run.mark}) == run


@pytest.mark.parametrize("nothing", ["null", "~", ""])
def test_null_is_no_text_and_quotes_make_it_one(rows: Write, nothing: str) -> None:
    runs = load_suite(
        rows(
            f"{{variant: base, label: {nothing}}}",
            "{variant: ssd, label: 'null'}",
            '{variant: ssd, label: "1.1"}',
            "{variant: ssd, label: !!str 1.20}",
        )
    ).runs
    assert [run.label for run in runs] == [None, "null", "1.1", "1.20"]


def test_the_texts_of_the_suite_itself_are_too(write: Write) -> None:
    text = HEAD.replace("suite: x", "suite: 1.10\ntitle: 1.30\ndescription: 2024") + "  - {variant: base}\n"
    suite = load_suite(write(text))
    assert (suite.name, suite.title) == ("1.10", "1.30")


def test_aliases_and_merges_keep_the_form(write: Write) -> None:
    text = (
        "suite: x\n"
        "defaults: {model: DiT-XL/2, nfe: 1e1, resolution: 256, eval: {reference: imagenet-256}}\n"
        "runs:\n"
        "  - &one {variant: base, label: &version 1.10}\n"
        "  - {variant: ssd, label: *version}\n"
        "  - {<<: *one, variant: issd}\n"
        "  - {<<: [{group: 0x10}, *one], variant: continual}\n"
    )
    runs = load_suite(write(text)).runs
    assert [run.label for run in runs] == ["1.10"] * 4
    assert (runs[3].group, runs[0].nfe) == ("0x10", 10)


@pytest.mark.parametrize(("bad", "found"), [("[1.10]", "a list"), ("{a: 1}", "a mapping")])
def test_what_is_no_scalar_is_no_text(problems_of: ProblemsOf, bad: str, found: str) -> None:
    assert problems_of(f"{HEAD}  - {{variant: base, label: {bad}}}\n") == [
        f"x.yaml:8:28: label: must be text, not {found}"
    ]


def test_a_name_is_looked_up_as_it_is_written(problems_of: ProblemsOf) -> None:
    known = [method.usage.removesuffix("[-C]") for method in METHODS.builtin.values()]
    assert problems_of(f"{HEAD}  - {{variant: 1.10, sampler: 010}}\n") == [
        f"x.yaml:8:15: variant: unknown variant '1.10'{did_you_mean('1.10', known)}",
        f"x.yaml:8:30: sampler: unknown sampler '010'{did_you_mean('010', list(catalog.SAMPLERS))}",
    ]


def test_a_profiles_conditions_meet_text_as_it_is_written(rows: Write, write: Write) -> None:
    write(
        "profile: 1.10\n"
        "models: {DiT-XL/2: dit-mini}\nsamplers: {ddim: ddim}\nresolutions: {256: 3.2e1}\ndata: {original: original}\n"
        "references: {imagenet-256: fashion-mnist}\nnetworks: {inception: effnet-lite0}\n"
        "rules:\n"
        "  - {when: {label: 1.10}, set: {train: {steps: 1e1}}}\n"
        "  - {when: {label: [1.20, 0x10], nfe: 1e1}, set: {train: {steps: 2.5e3}}}\n"
        "  - {when: {label: null}, set: {train: {steps: 7}}}\n",
        "profiles/1.10.yaml",
    )
    path = rows(*(f"{{variant: ssd, label: {label}}}" for label in ("1.1", "1.10", "0x10", "16", "null")))
    suite = load_suite(path, profile="1.10")
    assert [run.train.steps for run in suite.runs] == [8007, 10, 2500, 8007, 7]
    assert {run.resolution for run in suite.runs} == {32}


@pytest.mark.parametrize(
    ("row", "key", "expected"),
    [
        ("nfe: 2e1", "nfe", 20),
        ("nfe: 20.0", "nfe", 20),
        ("train: {steps: 2.5e3}", "train.steps", 2500),
        ("train: {steps: 1e12}", "train.steps", 10**12),
        ("train: {pairs: [1, 2e0]}", "train.pairs", (1, 2)),
        ("train: {fuse: [0, 0.3e1]}", "train.fuse", (0, 3)),
        ("eval: {samples: +5.e3}", "eval.samples", 5000),
        ("seeds: [9.007199254740993e15]", "seed", 9007199254740993),  # which no double holds
        ("seeds: [9223372036854775807]", "seed", 2**63 - 1),
    ],
)
def test_whole_numbers_may_be_written_as_decimals(rows: Write, row: str, key: str, expected: object) -> None:
    (run,) = load_suite(rows(f"{{variant: issd, {row}}}")).runs
    section, _, inner = key.rpartition(".")
    found = getattr(getattr(run, section) if section else run, inner)
    assert (found, type(found)) == (expected, type(expected))
    if isinstance(found, tuple):
        assert all(type(item) is int for item in found)


def test_the_tuple_form_and_a_matrix_take_them_too(rows: Write) -> None:
    path = rows("[DiT-XL/2, base, ddim, 2e1, 2.56e2, original]", "{variant: ssd, matrix: {nfe: [5e0, 1e1]}}")
    assert [(run.nfe, run.resolution) for run in load_suite(path).runs] == [(20, 256), (5, 256), (10, 256)]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("nfe: 2.5", "8:26: nfe: must be a whole number, not 2.5"),
        ("nfe: 25e-1", "8:26: nfe: must be a whole number, not 25e-1"),
        ("nfe: 1e400", "8:26: nfe: must be a whole number, not 1e400"),
        ("nfe: 1e999999999", "8:26: nfe: must be a whole number, not 1e999999999"),
        ("nfe: .inf", "8:26: nfe: must be a whole number, not .inf"),
        ("nfe: 1e5", "8:26: nfe: must be at most 10000, not 1e5"),
        ("nfe: true", "8:26: nfe: must be a whole number, not true"),
        ("seeds: [1e19]", "8:29: seeds: must be below 9223372036854775808, not 1e19"),
        ("seeds: [-1]", "8:29: seeds: must be at least 0, not -1"),
        ("seeds: [1.5]", "8:29: seeds: must be a whole number, not 1.5"),
        ("seeds: [1, 1e0]", "8:28: seeds: a seed is repeated"),
        (
            "train: {pairs: [1, 2.5]}",
            "8:36: train.pairs: must be 'all', 'skip_last' or a list of distinct whole numbers, not [1, 2.5]",
        ),
    ],
)
def test_what_is_no_whole_number_is_said_as_it_is_written(
    problems_of: ProblemsOf, row: str, problem: str
) -> None:
    assert problems_of(f"{HEAD}  - {{variant: base, {row}}}\n") == [f"x.yaml:{problem}"]


@given(st.integers(-(10**30), 10**30), st.integers(0, 20))
def test_a_whole_number_survives_any_spelling(number: int, places: int) -> None:
    digits = f"{number}e-{places}" if number % 10**places == 0 else None
    assert whole_number(str(number)) == number
    assert whole_number(f"{number}.{'0' * places}") == number
    if digits is not None:
        assert whole_number(digits) == number // 10**places
    assert whole_number(f"{number}.{'0' * places}1") is None


@pytest.mark.parametrize(
    ("name", "data", "place"),
    [
        ("Latin-1", b"suite: x\ntitle: caf\xe9\n", "2:11: byte 0xE9 is not UTF-8 ("),
        ("Latin-1 after CRLF and UTF-8", "suite: x\r\ntitle: é".encode() + b"\xff", "2:9: byte 0xFF is not UTF-8 ("),
        ("after a lone CR", b"suite: x\rtitle: \x80", "2:8: byte 0x80 is not UTF-8 ("),
        ("cut in a character", b"suite: x\ntitle: \xc3", "2:8: byte 0xC3 is not UTF-8 ("),
        ("half a surrogate pair", b"suite: \xed\xa0\x80", "1:8: byte 0xED is not UTF-8 ("),
        ("overlong", b"\xc0\xaf", "1:1: byte 0xC0 is not UTF-8 ("),
        ("UTF-16", b"\xff\xfes\x00", "1:1: begins with 0xFF 0xFE, the byte order mark of UTF-16"),
        ("UTF-16 big", b"\xfe\xff\x00s", "1:1: begins with 0xFE 0xFF, the byte order mark of UTF-16"),
        ("UTF-32", "s".encode("utf-32"), "1:1: begins with 0xFF 0xFE 0x00 0x00, the byte order mark of UTF-32"),
        ("UTF-16 without a mark", "suite: x".encode("utf-16-le"), "1:2: not valid YAML: unacceptable character #x0000"),
        ("a control character", b"suite: x\ntitle: a\x07b", "2:9: not valid YAML: unacceptable character #x0007"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_utf_8_are_refused_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_bytes(data)
    with pytest.raises(SuiteError) as caught:
        load_suite("x.yaml")
    (problem,) = caught.value.problems
    assert problem.startswith(f"x.yaml:{place}"), name
    assert "�" not in problem


def test_a_profile_that_is_no_utf_8_is_refused_with_its_place(rows: Write) -> None:
    path = rows("{variant: base}")
    Path("profiles").mkdir()
    Path("profiles/p.yaml").write_bytes(b"profile: p\n# \xa9 me\n")
    with pytest.raises(SuiteError) as caught:
        load_suite(path, profile="p")
    assert caught.value.problems == [
        "profiles/p.yaml:2:3: byte 0xA9 is not UTF-8 (invalid start byte): save the file as UTF-8"
    ]


def test_a_mark_of_utf_8_is_no_content(write: Write) -> None:
    path = write(f"{HEAD}  - {{variant: base}}\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_suite(path).name == "x"


def test_a_long_file_is_cut_between_characters(write: Write, problems_of: ProblemsOf) -> None:
    text = "# " + "é" * 8_000_002  # two bytes each: what is read ends in the middle of one
    assert problems_of(text) == ["x.yaml:1:1: the file has more than 4,000,000 characters"]


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["nfe=5", "nfe=20"], "--set nfe=20: nfe: '--set nfe=5' gives another value: leave one out"),
        (["label=1.1", "label=1.10"], "--set label=1.10: label: '--set label=1.1' gives another value: leave one out"),
        (
            ["train={steps: 5, lr: 1e-4}", "train.steps=6"],
            "--set train.steps=6: train.steps: '--set train={steps: 5, lr: 1e-4}' gives another value: leave one out",
        ),
        (
            ["train.steps=6", "train={steps: 5}"],
            "--set train={steps: 5}: train.steps: '--set train.steps=6' gives another value: leave one out",
        ),
        (
            ["train.lambda=0.5", "train={share: 0.5}"],
            "--set train={share: 0.5}: train.share: give lambda or share, not both: '--set train.lambda=0.5' gives"
            " train.lambda",
        ),
        (
            ["pretrain=null", "pretrain.seed=1"],
            "--set pretrain.seed=1: pretrain: '--set pretrain=null' gives another value: leave one out",
        ),
        (
            ["fused=true", "fused=false"],
            "--set fused=false: fused: '--set fused=true' gives another value: leave one out",
        ),
    ],
)  # fmt: skip
def test_two_values_of_one_setting_contradict_each_other(
    rows: Write, overrides: list[str], problem: str
) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite(rows("{variant: ssd}"), overrides=overrides)
    assert caught.value.problems == [problem]


def test_options_add_up_where_they_agree(rows: Write) -> None:
    options = [
        "train={lr: 1e-4}",
        "train.steps=5e1",
        "train.steps=50",
        "nfe=10",
        "nfe=10",
        "train.lambda=null",
        "train.share=0.5",
    ]
    (run,) = load_suite(rows("{variant: issd, train: {lambda: 0.1}}"), overrides=options).runs
    assert (run.train.lr, run.train.steps, run.nfe, run.train.lambda_, run.train.share) == (
        1e-4,
        50,
        10,
        None,
        0.5,
    )


def test_seeds_of_two_options(rows: Write) -> None:
    path = rows("{variant: base}")
    with pytest.raises(
        SuiteError, match=r"--set seeds=\[1,2\]: seeds: '--seed 3' gives another: leave one out"
    ):
        load_suite(path, overrides=["seeds=[1,2]"], seed=3)
    assert [run.seed for run in load_suite(path, overrides=["seeds=[3]"], seed=3).runs] == [3]


@pytest.mark.parametrize(
    ("only", "options", "text"),
    [
        ("nfe=5", {"overrides": ["nfe=20"]}, "nfe is 20, which '--set nfe=20' gives all runs"),
        ("seed=0", {"seed": 3}, "seed is 3, which '--seed 3' gives all runs"),
        (
            "variant=base,train.steps=1e1",
            {},
            "some have train.steps=1e1, but where variant=base, train.steps is one of: 8007",
        ),
        ("variant=base,label=x", {}, "label is one of: null, 1.10"),
    ],
)
def test_selections_that_nothing_can_meet_say_why(
    rows: Write, only: str, options: dict[str, object], text: str
) -> None:
    path = rows("{variant: base}", "{variant: ssd, label: 1.10, train: {steps: 10}}")
    with pytest.raises(EmptySelection, match="no run matches") as caught:
        load_suite(path, only=only, **options)  # type: ignore[arg-type]
    assert str(caught.value) == f"--only {only}: no run matches ({text})"


def test_a_selection_compares_numbers_by_value_and_text_as_it_is_written(rows: Write) -> None:
    runs = load_suite(
        rows("{variant: base, label: 1.10}", "{variant: ssd, label: 1.1, train: {lr: 1e-4, steps: 2000}}")
    ).runs
    assert [run.label for run in select(runs, "label=1.1")] == ["1.1"]
    for only in (
        "train.lr=1e-4",
        "train.lr=0.0001",
        "train.steps=2e3",
        "train.steps=2e3,train.steps=2e3",
        "label=1.1|9",
    ):
        assert [run.variant for run in select(runs, only)] == ["ssd"]


def test_dumped_text_is_quoted_where_it_would_read_as_something_else() -> None:
    assert parse_yaml(dump_yaml(SCALARS), "x", Problems()).data == SCALARS
