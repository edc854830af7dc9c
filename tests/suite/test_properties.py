"""Whatever a file holds, it loads or it gives located errors; what loads survives being written down."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssdbench.errors import SuiteError
from ssdbench.suite import ResolvedRun, Suite, catalog, load_suite, run_yaml
from ssdbench.suite.author import SECTIONS, key_of, run_keys
from ssdbench.suite.schema import Run
from ssdbench.suite.yaml_nodes import dump_yaml

from .test_json_schema import VALIDATOR

LOCATED = re.compile(r"^(x\.yaml:\d+:\d+|--set .*?): ")
SLOW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

names = st.sampled_from(
    [
        *(
            "DiT-XL/2",
            "dit-mini",
            "my.module:thing",
            "base",
            "issd",
            "ssd",
            "pd 20-10",
            "pd 20-10 + issd",
            "real",
        ),
        *(
            "pretrain",
            "ddim",
            "dpm-solver-2",
            "none",
            "original",
            "synthetic-10",
            "imagenet-256",
            "fashion-mnist",
        ),
        *(
            "all",
            "last",
            "skip_last",
            "even",
            "leading",
            "s",
            "t",
            "eps",
            "constant",
            "float32",
            "bfloat16",
            "grid",
        ),
        *("inception", "effnet-lite0", "nonsense", "", "1e3", "null"),
    ]
)
numbers = st.sampled_from(
    [-1, 0, 1, 2, 5, 10, 28, 32, 64, 256, 50_000, 10**30, 0.0, 0.1, 0.5, 1.0, 1.5, 1e-300, -0.5]
)
scalars = st.one_of(names, numbers, st.none(), st.booleans())
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=4)


def section(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(
        st.sampled_from([key_of(name, field) for name, field in model.model_fields.items()]),
        values,
        max_size=4,
    )


plausible: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["DiT-XL/2", "dit-mini"]),
    "variant": st.sampled_from(["base", "ssd", "issd", "pd 20-10 + issd", "real"]),
    "nfe": st.sampled_from([0, 5, 10]),
    "resolution": st.sampled_from([32, 256]),
}


def setting(name: str) -> st.SearchStrategy[Any]:
    if name in SECTIONS:
        return st.one_of(section(SECTIONS[name]), values)
    return st.one_of(plausible.get(name, values), values)


def mapping(optional: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


settings_of_a_run = {name: setting(name) for name in Run.model_fields}
matrix = st.dictionaries(
    st.sampled_from([key for _, key, _ in run_keys()]),
    st.one_of(st.lists(values, max_size=3), values),
    max_size=2,
)
row = st.one_of(
    mapping({**settings_of_a_run, "seeds": values, "matrix": matrix}),
    st.lists(values, max_size=7),
    st.tuples(*(setting(name) for name in ("model", "variant", "sampler", "nfe", "resolution", "data"))).map(
        list
    ),
    scalars,
)
files = mapping(
    {
        "suite": st.one_of(st.just("x"), scalars),
        "title": scalars,
        "layout": st.one_of(st.just("plain"), values),
        "defaults": st.one_of(mapping(settings_of_a_run), values),
        "seeds": st.one_of(st.just([0, 1]), values),
        "runs": st.one_of(st.lists(row, max_size=4), values),
        "unknown": values,
    }
)


@contextmanager
def directory() -> Iterator[None]:
    # Hypothesis runs a test many times within one fixture, so the directory is the test's own.
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as fresh:
        os.chdir(fresh)
        try:
            yield
        finally:
            os.chdir(before)


def check(problems: list[str]) -> None:
    assert problems
    assert all(LOCATED.match(problem) for problem in problems), problems
    assert len(set(problems)) == len(problems)


def load(data: object, **options: Any) -> Suite | None:
    """The suite, or None if it has mistakes, which are then all located."""
    with directory():
        Path("x.yaml").write_text(dump_yaml(data), encoding="utf-8")
        try:
            return load_suite("x.yaml", **options)
        except SuiteError as error:
            check(error.problems)
            return None


@SLOW
@given(files, st.sampled_from([None, "mini"]))
def test_any_mapping_of_known_keys_loads_or_gives_located_errors(
    data: dict[str, Any], profile: str | None
) -> None:
    suite = load(data, profile=profile)
    if suite is not None:
        VALIDATOR.validate(data)


@SLOW
@given(st.text(max_size=200))
def test_any_text_loads_or_gives_located_errors(text: str) -> None:
    with directory():
        Path("x.yaml").write_text(text, encoding="utf-8", errors="replace")
        try:
            load_suite("x.yaml")
        except SuiteError as error:
            check(error.problems)


@SLOW
@given(st.text(max_size=40))
def test_any_override_applies_or_gives_an_error(text: str) -> None:
    run = {
        "model": "dit-mini",
        "variant": "base",
        "nfe": 5,
        "resolution": 32,
        "eval": {"reference": "fashion-mnist"},
    }
    load({"suite": "x", "runs": [run]}, overrides=[text.replace("\n", " ")])


good_runs = st.fixed_dictionaries(
    {
        "model": st.just("DiT-XL/2"),
        "variant": st.sampled_from(["base", "ssd", "issd", "continual"]),
        "nfe": st.sampled_from([5, 10, 20, 50]),
        "resolution": st.sampled_from([256, 512]),
    },
    optional={
        "grid": st.sampled_from(["even", "leading", "trailing"]),
        "label": st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10),
        "guidance": mapping(
            {
                "scale": st.floats(0, 10),
                "channels": st.one_of(st.none(), st.integers(1, 4)),
                "interval": st.one_of(st.none(), st.tuples(st.floats(0, 0.4), st.floats(0.5, 1)).map(list)),
            }
        ),
        "train": mapping(
            {
                "steps": st.integers(1, 10**6),
                "lr": st.floats(1e-12, 1),
                "lambda": st.one_of(st.none(), st.floats(0, 1)),
                "fuse": st.one_of(
                    st.sampled_from(["all", "last"]),
                    st.lists(st.integers(0, 27), min_size=1, max_size=5, unique=True),
                ),
                "pairs": st.one_of(
                    st.sampled_from(["all", "skip_last"]),
                    st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True),
                ),
            }
        ),
        "seeds": st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3, unique=True),
    },
)


@SLOW
@given(st.lists(good_runs, min_size=1, max_size=3))
def test_good_runs_load_as_written_and_survive_a_round_trip(runs: list[dict[str, Any]]) -> None:
    suite = load({"suite": "x", "defaults": {"eval": {"reference": "imagenet-256"}}, "runs": runs})
    assert suite is not None
    assert len(suite.runs) == sum(len(run.get("seeds", [0])) for run in runs)
    resolved = iter(suite.runs)
    for written in runs:
        for seed in written.get("seeds", [0]):
            run = next(resolved)
            data = run.model_dump(mode="json", by_alias=True)
            assert ResolvedRun.model_validate(data) == run
            assert yaml.safe_load(run_yaml(run)) == {
                key: value for key, value in data.items() if key != "mark"
            }
            assert run.seed == seed
            for key, value in written.items():
                if key in SECTIONS:
                    assert {inner: data[key][inner] for inner in value} == value
                elif key != "seeds":
                    assert data[key] == value
            assert run.train.fuse in ("all", "last") or max(run.train.fuse) < catalog.MODELS[run.model].depth
