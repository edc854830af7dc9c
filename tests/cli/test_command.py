"""The command as a whole: help, streams, exit codes, and what it must not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ssdbench import __version__
from ssdbench.api import selection
from ssdbench.errors import InputError, NotFinite
from tests.cli.conftest import Command, Filled

VERBS = [
    "run",
    "plan",
    "validate",
    "list",
    "report",
    "search",
    "claims",
    "status",
    "show",
    "eval",
    "explain",
    "export",
    "convert",
    "schema",
    "gc",
    "doctor",
]


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)


def test_help_names_every_verb_in_order_of_use(ssdbench: Command) -> None:
    result = ssdbench("--help")
    assert result.exit_code == 0
    places = [result.stdout.index(f"│ {verb} ") for verb in VERBS]
    assert places == sorted(places)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_has_examples_of_itself(ssdbench: Command, verb: str) -> None:
    result = ssdbench(verb, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert f"ssdbench {verb}" in result.stdout.split("Examples")[1]


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
from ssdbench.cli.app import app
for arguments in (["--help"], ["run", "--help"]):
    try:
        app(arguments)
    except SystemExit as exit:
        assert exit.code == 0
heavy = {"torch", "numpy", "pandas", "scipy", "yaml", "tabulate", "psutil"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_python_m_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ssdbench", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ssdbench {__version__}\n", "")


def test_a_cached_run_imports_no_torch_and_separates_its_streams(filled: Filled, suite: Path) -> None:
    code = f"""
import sys
from ssdbench.cli.app import app
try:
    app(["run", {str(suite)!r}])
except SystemExit as exit:
    assert not exit.code, exit.code
heavy = {{"torch", "pandas", "scipy", "diffusers", "ray"}} & set(sys.modules)
sys.exit(f"imported: {{heavy}}" if heavy else 0)
"""
    done = python(code, suite.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("### A tiny suite\n\n| Method")
    assert "0 stages run" in done.stderr
    assert "ssdbench report" not in done.stdout
    assert "ssdbench report" in done.stderr


def test_usage_errors_are_2(ssdbench: Command) -> None:
    assert ssdbench("frobnicate").exit_code == 2
    assert ssdbench("run").exit_code == 2
    assert ssdbench("report", "--format", "docx").exit_code == 2


def test_mistakes_of_a_suite_come_one_a_line_with_their_count(ssdbench: Command, suite: Path) -> None:
    suite.write_text(suite.read_text().replace("nfe: 4", "nfee: 4").replace("lr:", "learning_rate:"))
    result = ssdbench("run", suite)
    assert result.exit_code == 2
    assert result.stdout == ""
    *problems, count = result.stderr.splitlines()
    assert any("tiny.yaml:6:3: nfee: unknown key" in problem for problem in problems)
    assert count == f"{len(problems)} problems"
    assert "Traceback" not in result.stderr


def test_an_empty_selection_is_5(ssdbench: Command, suite: Path) -> None:
    result = ssdbench("plan", suite, "--only", "variant=continual")
    assert result.exit_code == 5
    assert result.stdout == ""


def raising(error: BaseException) -> object:
    def load(*arguments: object, **options: object) -> None:
        raise error

    return load


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("no such npz"), 2), (NotFinite("the loss is NaN"), 3), (KeyboardInterrupt(), 130)],
)
def test_known_errors_have_their_exit_codes(
    ssdbench: Command, suite: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    monkeypatch.setattr(selection, "load_suite", raising(error))
    result = ssdbench("validate", suite)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.strip() == (str(error) or "interrupted")


def test_an_internal_error_is_short_and_keeps_its_traceback(
    ssdbench: Command, suite: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(selection, "load_suite", raising(ZeroDivisionError("by zero")))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = ssdbench("validate", suite)
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first == "internal error: ZeroDivisionError: by zero"
    (kept,) = tmp_path.glob("ssdbench-*.txt")
    assert str(kept) in second
    assert "Traceback" in kept.read_text()


def test_debug_shows_the_traceback(ssdbench: Command, suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "load_suite", raising(ZeroDivisionError("by zero")))
    assert isinstance(ssdbench("--debug", "validate", suite).exception, ZeroDivisionError)
