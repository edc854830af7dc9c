"""The JSON Schema that editors use: equal to the committed file, and of one mind with the loader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ssdbench.suite import json_schema, list_suites
from ssdbench.suite.author import SuiteFile
from ssdbench.suite.document import Problems
from ssdbench.suite.validate import validate
from ssdbench.suite.yaml_nodes import parse_yaml

from .test_load import EXAMPLE
from .test_located_errors import HEAD, TEN

COMMITTED = Path(__file__).parents[2] / "suites" / "schema.json"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def parsed(text: str) -> Any:
    return parse_yaml(text, "f", Problems()).data


def loads(text: str) -> bool:
    problems = Problems()
    validate(parse_yaml(text, "f", problems), SuiteFile, problems)
    return not len(problems)


def test_the_committed_schema_is_the_models() -> None:
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == json_schema(), (
        "run: ssdbench schema > suites/schema.json"
    )


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", list_suites().values(), ids=list_suites().keys())
def test_our_suites_conform(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    VALIDATOR.validate(yaml.safe_load(text))


GOOD = [
    "{}",
    "{variant: pd 16-8-4 + issd, nfe: 4}",
    "{variant: base, model: my.models:small}",
    "[DiT-XL/2, ssd, ddim, 10, 256, synthetic-20]",
    "{matrix: {train.lambda: [0, 0.5, null], train: [{steps: 3}], guidance.interval: [[0, 0.7]]}, variant: ssd}",
    "{train: {fuse: [0, 3], pairs: skip_last, lambda: 1}, autoencoder: {channels: [8]}, epochs: 1400}",
    "{variant: issd, fused: true, group: 3}",
    "{seeds: [1, 2], label: x, autoencoder: null, guidance: {channels: null, interval: null}}",
]
BAD = [
    "{nfee: 1}",
    "{nfe: ten}",
    "{nfe: null}",
    "{nfe: -1}",
    "{model: DiT-XXL/2}",
    "{variant: isd}",
    "{train: {fuse: some}}",
    "{train: {fuse: [x]}}",
    "{train: {lambda: 2}}",
    "{train: {lambda_: 0.2}}",
    "{guidance: null}",
    "{fused: 1}",
    "{guidance: {interval: [0.1]}}",
    "{matrix: {nfe: 3}}",
    "{matrix: {nfe: []}}",
    "{matrix: {nfe: [x]}}",
    "{matrix: {nfee: [3]}}",
    "{matrix: {matrix: [3]}}",
    "{seeds: []}",
    "[DiT-XL/2, ssd, ddim, 10, 256]",
    "[DiT-XL/2, ssd, ddim, ten, 256, original]",
    "base",
]


@pytest.mark.parametrize("row", GOOD)
def test_what_both_accept(row: str) -> None:
    text = f"{HEAD}  - {row}\n"
    assert loads(text)
    VALIDATOR.validate(parsed(text))


@pytest.mark.parametrize("row", BAD)
def test_what_both_refuse(row: str) -> None:
    text = f"{HEAD}  - {row}\n"
    assert not loads(text)
    assert not VALIDATOR.is_valid(parsed(text))


def test_examples() -> None:
    VALIDATOR.validate(parsed(EXAMPLE))
    assert not VALIDATOR.is_valid(parsed(TEN))


def test_editors_can_explain_every_key() -> None:
    definitions = json_schema()["$defs"]
    for name, definition in [*definitions.items(), ("suite", json_schema())]:
        for key, value in definition["properties"].items():
            target = definitions.get(value.get("$ref", "").rpartition("/")[2], {})
            assert value.get("description") or target.get("description"), f"{name}.{key}"
