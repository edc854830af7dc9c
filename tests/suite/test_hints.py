"""What a user is told to do about what is missing: commands that exist today, and links to the very file."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from ssdbench.api.plan import PlannedStage
from ssdbench.cli.app import app
from ssdbench.errors import InputError
from ssdbench.metrics.networks import available
from ssdbench.models import hub
from ssdbench.plan.sources import Missing, place
from ssdbench.suite.catalog import DATASETS, MODELS, REFERENCES

ROOT = Path(__file__).parents[2]


def hints() -> Iterator[tuple[str, str]]:
    for name, model in MODELS.items():
        for resolution in model.weights:
            yield f"{name} at {resolution}", model.hint_for(resolution)
        yield f"autoencoder of {name}", model.vae_hint
    for name, reference in REFERENCES.items():
        yield f"reference {name}", reference.hint
    for name, data in DATASETS.items():
        yield f"data {name}", data.hint


def messages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Hints that are made where they are said."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "a b"))
    monkeypatch.setattr("ssdbench.metrics.weights.effnet_file", lambda: None)
    for network in ("inception", "effnet-lite0"):
        yield network, str(available(network))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("hub:owner/model", "hub:owner/model@main"):
        for fetch in (hub.fetch, lambda name: hub.fetch_pipeline(name, ("unet",))):
            with pytest.raises(InputError) as caught:
                fetch(name)
            yield name, str(caught.value)


def commands(text: str) -> list[list[str]]:
    return [shlex.split(found) for found in re.findall(r"`([^`]+)`", text)]


def parse(command: Any, arguments: list[str]) -> None:
    """Parse a command line of an application of typer or click, and run nothing."""
    found = command if hasattr(command, "make_context") else typer.main.get_command(command)
    context = found.make_context(found.name, list(arguments))
    while hasattr(found, "resolve_command"):
        left = [*getattr(context, "_protected_args", ()), *context.args]
        name, found, rest = found.resolve_command(context, left)
        context = found.make_context(name, list(rest), parent=context)
    assert not context.args


def check(arguments: list[str]) -> None:
    """That a command of a hint would be understood, as far as that can be told without running it."""
    program, *rest = arguments
    if program == "hf":
        cli = pytest.importorskip("huggingface_hub.cli.hf")
        parse(cli.app, rest)
        assert "hf" in {
            script.name for script in importlib.metadata.distribution("huggingface_hub").entry_points
        }
    elif program == "ssdbench":
        parse(app, rest)
        for suite in rest[1:2] if rest[0] == "run" else ():
            assert (ROOT / f"suites/{suite}.yaml").is_file(), suite
    elif program == "curl":
        *options, url = rest
        assert options[:2] == ["-L", "--create-dirs"]
        assert options[2] == "-o" or options[2:4] == ["-O", "--output-dir"]
        assert re.fullmatch(r"https?://\S+\.(npz|pt|pth|gz|zip)(\?\S+)?", url), url
    elif program == "pip":
        assert rest[0] == "install"
        requirement = rest[-1]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert requirement == "ssdbench" or any(d.startswith(requirement) for d in project["dependencies"])
    else:
        assert arguments == ["apt-get", "install", "dataset-fashion-mnist"]


def test_each_command_is_one_that_exists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried = 0
    for what, hint in [*hints(), *messages(monkeypatch, tmp_path)]:
        for command in commands(hint.replace("{data}", "/data")):
            try:
                check(command)
            except (Exception, SystemExit) as error:  # of click, typer and these assertions
                raise AssertionError(f"{what}: {' '.join(command)}: {error!r}") from error
            tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    "arguments", ["hf download x --local-directory y", "ssdbench convert x --too ours", "ssdbench convrt x"]
)
def test_commands_that_do_not_exist_would_be_seen(arguments: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such (command|option)") as caught:
        check(shlex.split(arguments))
    assert {"UsageError", "NoSuchOption"} & {kind.__name__ for kind in type(caught.value).__mro__}


def test_no_retired_command_and_no_link_to_a_folder() -> None:
    for what, hint in hints():
        assert "huggingface-cli" not in hint
        for url in re.findall(r"https?://[^\s`',;)]+", hint):
            assert re.search(r"/[^/?]+\.(npz|pt|gz|zip|php)(\?|$)", url), f"{what}: {url}"


def test_no_hint_leads_to_another_models_weights() -> None:
    for name, model in MODELS.items():
        for resolution, text in model.weights.items():
            if not text.startswith("file:") or model.takes_texts:
                continue
            hint = model.hint_for(resolution)
            target = text.removeprefix("file:")
            if "curl" in hint:
                [(*_, to, url)] = commands(hint.replace("{data}", "/data"))
                assert to == f"/data/weights/{target}"
                size = f"{resolution}" if model.flow != 1 else "last"
                assert size in url, (name, resolution, url)
            elif "no weights" in hint:
                assert name in hint, (name, hint)
                assert "http" not in hint
            else:
                assert hint.endswith(f"{{data}}/weights/{target}`"), (name, hint)


def test_a_hint_names_the_very_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSDBENCH_DATA", str(tmp_path / "my data"))
    for model in MODELS.values():
        for text, hint in (
            (model.vae, model.vae_hint),
            *((t, model.hint_for(r)) for r, t in model.weights.items()),
        ):
            if text is None or text.startswith("package:"):
                continue
            with pytest.raises(Missing) as caught:
                place(text, hint)
            for command in commands(str(caught.value)):
                if "-o" in command:
                    written = Path(command[command.index("-o") + 1])
                    path = tmp_path / "my data/weights" / text.removeprefix("file:")
                    assert path.is_relative_to(written)


def test_the_ready_made_workflow_calls_what_exists() -> None:
    """Each command of ssdbench would be understood, its suite is there, and so is what jq looks for in a plan."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/regression.yml").read_text())
    steps = workflow["jobs"]["check"]["steps"]
    script = "\n".join(step.get("run", "") for step in steps)
    found = [shlex.split(line) for line in re.findall(r"^ssdbench [^|>\n]*", script, re.MULTILINE)]
    assert {command[1] for command in found} == {"plan", "check", "report"}
    for command in found:
        check(command)
        assert (ROOT / command[2]).is_file()
    assert set(re.findall(r"\.(\w+)", re.findall(r"jq -r '(.*)'", script)[0])) == {
        "stages",
        "kind",
        "key",
        "inputs",
    }
    assert {"kind", "key", "inputs"} <= {*PlannedStage._fields}
    named = {step["id"] for step in steps if "id" in step}
    assert set(re.findall(r"steps\.(\w+)\.", str(workflow))) <= named
