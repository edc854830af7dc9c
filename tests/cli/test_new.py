"""``ssdbench new``, and what a plan says of somebody's own images before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssdbench.errors import InputError
from ssdbench.models.catalog import MODELS
from ssdbench.suite import load_suite
from tests.cli.conftest import Command


@pytest.fixture
def photos(workplace: Path) -> Callable[[int], str]:
    """Makes a folder of colour images in so many class folders."""

    def make(classes: int) -> str:
        for number in range(classes or 1):
            folder = workplace / "photos" / (f"c{number:02}" if classes else ".")
            folder.mkdir(parents=True)
            for i in range(2):
                pixels = np.full((20, 24, 3), (number * 9, 100 + i, 50), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
        return "photos"

    return make


@pytest.mark.parametrize("classes", [0, 12])
def test_a_folder_becomes_a_suite_that_can_run(
    ssdbench: Command, photos: Callable[[int], str], classes: int
) -> None:
    result = ssdbench("new", "mine.yaml", "--data", photos(classes))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "ssdbench run mine.yaml\n"
    suite = load_suite(Path("mine.yaml"))
    assert {run.data for run in suite.runs} == {"photos/"}
    assert [run.variant for run in suite.runs][-1] == "pretrain + issd"
    told = json.loads(ssdbench("plan", "mine.yaml", "--json").stdout)
    assert all(run["target"] for run in told["runs"])
    model = MODELS.named(suite.runs[0].model)
    assert model.shapes[32].num_classes == max(1, classes)
    assert ssdbench("new", "mine.yaml", "--data", "photos").exit_code == 2  # it is there


def test_a_suite_is_copied_with_its_comments(ssdbench: Command) -> None:
    assert ssdbench("new", "mine.yaml", "--like", "quick").exit_code == 0
    text = Path("mine.yaml").read_text()
    assert "suite: mine\n" in text
    assert "# " in text
    assert ssdbench("new", "other.yaml").exit_code == 2
    assert ssdbench("new", "other", "--like", "quick").exit_code == 2
    assert ssdbench("new", "other.yaml", "--data", "nowhere").exit_code == 2


@pytest.mark.parametrize("verb", ["validate", "plan"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_what_own_images_lack_is_a_located_error_that_says_what_to_add(
    ssdbench: Command, photos: Callable[[int], str], suite: Path, slash: str, verb: str
) -> None:
    text = suite.read_text().replace("  nfe: 4\n", f"  nfe: 4\n  data: {photos(12)}{slash}\n")
    text = text.replace("  autoencoder: {steps: 2, batch_size: 8}\n", "")
    suite.write_text(text.replace("reference: fashion-mnist", f"reference: photos{slash}"))
    result = ssdbench(verb, suite)
    assert result.exit_code == 2
    assert result.stdout == ""
    line = 1 + text.splitlines().index(f"  data: photos{slash}")
    labels, pixels = (one for one in result.stderr.splitlines() if f"tiny.yaml:{line}:9: data: " in one)
    assert (
        "model 'dit-mini' has 10 classes, and 'photos/' has 12 (0 = c00, 1 = c01, ..., 10 = c10, 11 = c11)"
        in labels
    )
    assert "dit(classes=12)" in labels
    assert (
        "the images of 'photos/' have 3 channels, and the autoencoder of model 'dit-mini' takes 1" in pixels
    )
    assert "`autoencoder: {steps: 8000}`" in pixels


def test_images_that_are_enlarged_are_told(ssdbench: Command, photos: Callable[[int], str]) -> None:
    assert ssdbench("new", "mine.yaml", "--data", photos(2)).exit_code == 0
    told = ssdbench("validate", "mine.yaml").stderr
    assert "data: images are enlarged to 32 pixels a side: photos/c00/0.png has 24x20" in told
    assert "so of 5 more rows" in told
    assert "enlarged" not in ssdbench("validate", "mine.yaml", "--set", "resolution=16").stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dit(width=64)", "expected classes=N"),
        ("dit(classes=3, size=4)", "'size=4'"),
        ("dit(classes=3, classes=4)", "'classes=4'"),
        ("sit(classes=3, width=-4)", "'width=-4'"),
        ("dit(classes=3, width=66)", "width is 66, expected a multiple"),
        ("dit(classes=3, patch=0)", "numbers from 1 on"),
    ],
)
def test_a_model_that_cannot_be_is_a_located_error(
    ssdbench: Command, suite: Path, name: str, said: str
) -> None:
    with pytest.raises(InputError, match="expected"):
        MODELS.named(name)
    suite.write_text(suite.read_text().replace("dit-mini", name))
    result = ssdbench("validate", suite)
    assert result.exit_code == 2
    assert "tiny.yaml:5:10: model: " in result.stderr
    assert said in result.stderr


def test_a_described_model_has_the_size_that_it_says() -> None:
    shape = MODELS.named("sit(classes=7, width=96, depth=3, patch=4)").shapes[64]
    assert (shape.width, shape.depth, shape.heads, shape.patch_size) == (96, 3, 3, 4)
    assert (shape.num_classes, shape.input_size, shape.tokens) == (7, 16, 16)
    mini = MODELS.named("dit-mini").shapes[32]
    assert MODELS.named("dit(classes=10)").shapes[32] == mini
