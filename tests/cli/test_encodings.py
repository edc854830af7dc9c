"""Terminals and pipes that are not UTF-8: every verb works there, and what can be exact stays so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from ssdbench.cli.app import _VERBS, app
from ssdbench.cli.terminal import ascii_json
from ssdbench.runtime import local
from ssdbench.runtime.outcome import Outcome
from tests.cli.conftest import SUITE, Filled, fill

TITLE = "Größe ↑ – λ ± 日本 “x” \u2028"
Say = Callable[..., Any]


@pytest.fixture(params=["ascii", "cp1252", "utf-8"])
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def suite(workplace: Path) -> Path:
    """The small suite under a title of many scripts."""
    path = workplace / "tiny.yaml"
    content = yaml.safe_load(SUITE) | {"title": TITLE, "seeds": [0, 1]}
    content["defaults"]["label"] = "größer → λ"
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def say(workplace: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run the command where both streams have the encoding; what it wrote decodes."""
    monkeypatch.setattr(local, "run_graph", lambda *arguments, **options: Outcome())
    runner = CliRunner(charset=encoding)

    def run(*arguments: object) -> Any:
        result = runner.invoke(app, [str(argument) for argument in arguments])
        # Of a store that other sources filled, baseline and check say so.
        fine = (0, 2, 3, 4, 5) if arguments[0] in ("baseline", "check") else (0,)
        assert result.exit_code in fine, (arguments, result.output, result.exception)
        assert "internal error" not in result.stderr
        result.stdout_bytes.decode(encoding)
        result.stderr_bytes.decode(encoding)
        return result

    return run


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_verb_prints(say: Say, filled: Filled, suite: Path, workplace: Path) -> None:
    key = filled.targets[0]
    fill(workplace / "öther", suite)
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3), dtype=np.uint8)
    np.savez(workplace / "größe.npz", arr_0=images)
    calls: dict[str, list[tuple[object, ...]]] = {
        "run": [("run", suite), ("run", suite, "--json")],
        "new": [("new", "nëu.yaml", "--like", "quick")],
        "plan": [("plan", suite), ("plan", suite, "--json"), ("plan", suite, "--results", "nö")],
        "validate": [("validate", suite)],
        "list": [("list",), ("list", "--json")],
        "report": [
            ("report", "--format", form) for form in ("markdown", "text", "latex", "csv", "json", "html")
        ],
        "compare": [("compare", "results", "öther"), ("compare", "results", "öther", "--json")],
        "claims": [("claims",), ("claims", "--plan")],
        "search": [("search", suite, "--over", "train.lambda=0.1,0.2", "--dry-run")],
        "baseline": [("baseline", suite, "-o", "bäse.yaml")],
        "check": [("check", suite, "--baseline", "bäse.yaml")],
        "status": [("status", suite), ("status", suite, "--json")],
        "show": [("show", key), ("show", key, "--json")],
        "grid": [("grid", f"größe={key}", "-o", "grö.png")],
        "eval": [
            ("eval", "größe.npz", "--reference", "größe.npz", "--network", "tests.metrics.toy:toy_network")
        ],
        "explain": [
            ("explain", "größe.npz", "--reference", "größe.npz", "--network", "tests.metrics.toy:toy_network")
        ],
        "export": [("export", key, "-o", "größe", "--help")],
        "convert": [("convert", "--help")],
        "schema": [("schema",)],
        "gc": [("gc",)],
        "doctor": [("doctor",), ("doctor", "--json")],
    }
    assert calls.keys() == _VERBS.keys()
    for verb, some in calls.items():
        for arguments in some:
            assert say(*arguments).output, arguments
        assert say(verb, "--help").stdout
    assert say("--help").stdout


def test_errors_are_told(workplace: Path, encoding: str, filled: Filled) -> None:
    runner = CliRunner(charset=encoding)
    result = runner.invoke(app, ["validate", "größe ↑.yaml"])
    assert result.exit_code == 2
    assert "there is no such suite" in result.stderr
    (workplace / "x.yaml").write_text("suite: x\nnö→pe: 1\n", encoding="utf-8")
    result = runner.invoke(app, ["validate", "x.yaml"])
    assert result.exit_code == 2
    assert "unknown key" in result.stderr


def test_json_stays_json_and_yaml_yaml(say: Say, filled: Filled, suite: Path, encoding: str) -> None:
    for arguments in (("report", suite, "--json"), ("show", filled.targets[0], "--json")):
        text = say(*arguments).stdout_bytes.decode(encoding)
        assert "größer → λ" in json.dumps(json.loads(text), ensure_ascii=False)
    shown = yaml.safe_load(say("show", filled.targets[0]).stdout_bytes.decode(encoding))
    assert shown["run"]["label"] == "größer → λ"


def test_a_page_is_ascii_and_says_the_same(say: Say, filled: Filled, suite: Path) -> None:
    page = say("report", suite, "--format", "html").stdout_bytes
    assert json.dumps(TITLE)[1:-1].encode() in page
    page.decode("ascii")


def test_what_the_encoding_has_is_kept_and_the_rest_can_be_read(
    say: Say, filled: Filled, suite: Path, encoding: str
) -> None:
    text = say("report", suite, "--format", "text").stdout_bytes.decode(encoding)
    sign = {"ascii": "FD(effnet-lite0) v", "utf-8": "FD(effnet-lite0) ↓"}
    assert sign.get(encoding, "FD(effnet-lite0) v") in text
    name = {"ascii": "gr\\xf6\\xdfer -> lambda", "utf-8": "größer → λ"}
    assert name.get(encoding, "größer -> lambda") in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252:strict", "latin-1"])
def test_a_process_with_another_encoding_prints_its_report(
    filled: Filled, suite: Path, encoding: str
) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for arguments in (["report", str(suite), "--format", "text"], ["plan", str(suite)], ["report", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "ssdbench", *arguments], env=environment, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode(encoding.partition(":")[0])


def test_names_that_are_no_text_are_printed(workplace: Path) -> None:
    """Linux names files by bytes; Python hands those that are no UTF-8 on as halves of characters."""
    bad = os.fsdecode(b"caf\xe9.yaml")
    (workplace / bad).write_text("suite: x\n")
    result = CliRunner().invoke(app, ["validate", bad])
    assert result.exit_code == 2
    assert "caf\\udce9.yaml:1:1: " in result.stderr


def test_json_is_escaped_alone_where_it_must_be() -> None:
    value = {'é\n"': ["日本", "😀", "\\", "\u2028"]}
    text = ascii_json(json.dumps(value, ensure_ascii=False))
    assert text.isascii()
    assert json.loads(text) == value
