"""The commands of docs/first-hour.md, one after the other, from a folder of images to a student in diffusers."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ssdbench import __version__
from ssdbench.cli.app import app

PAGE = Path(__file__).parents[1] / "docs/first-hour.md"
SMALL = [f"--set={key}.steps=2" for key in ("train", "pretrain", "autoencoder")]
ROWS = ["--limit=16", "--only=variant=pretrain + issd"]


@pytest.mark.slow
def test_its_commands_lead_from_images_to_diffusers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    key = ""
    commands = [
        line
        for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(commands) >= 6
    for command in commands:
        program, *arguments = shlex.split(command.replace("KEY", key))
        assert program == "ssdbench"
        if arguments[0] in ("run", "plan"):
            arguments += SMALL + ROWS
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (command, result.stderr)
        if arguments[0] == "status":
            (state,) = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
            key = next(row["key"] for row in state["rows"] if "issd" in row["run"] and row["key"])
    index = json.loads(Path("student/model_index.json").read_text())
    assert index["id2label"] == {"0": "cat", "1": "dog", "2": "owl"}
    assert json.loads(Path("student/vae/config.json").read_text())["in_channels"] == 3
    # The page's last block, as it is.
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    assert [image.size for image in found["images"]] == [(32, 32)] * 2
    assert "photos.html" in {path.name for path in tmp_path.iterdir()}


def test_the_citation_is_of_this_version() -> None:
    text = (PAGE.parents[1] / "CITATION.cff").read_text()
    assert f"\nversion: {__version__}\n" in text
