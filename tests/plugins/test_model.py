"""A model, a data set and a reference of the user's own, as docs/extending.md writes them: from YAML to the page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from . import pages

FILES = ("stripes.py", "stripes_net.py", "stripes.yaml")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worked example, and what an installation of it as a package leaves: entry points."""
    folder = tmp_path_factory.mktemp("stripes")
    pages.write(folder, *FILES)
    package = folder / "site/stripes-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: stripes\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[ssdbench]\nflow = stripes:FLOW\nstripes = stripes:STRIPES\nstripes-reference = stripes:REFERENCE\n"
    )
    return folder


def ssdbench(folder: Path, *arguments: str, offered: bool = False, expected: int = 0) -> tuple[str, str]:
    path = os.environ.get("PYTHONPATH", "")
    if offered:
        path = os.pathsep.join([str(folder / "site"), str(folder), path])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ssdbench", *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1"},
    )
    assert done.returncode == expected, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout, done.stderr


@pytest.mark.slow
def test_they_go_from_yaml_to_the_table_and_the_page(workplace: Path) -> None:
    table, _ = ssdbench(workplace, "run", "stripes.yaml")
    records = [json.loads(path.read_text()) for path in (workplace / "results/records").glob("*.json")]
    assert len({record["metrics"]["fd"] for record in records}) == 4
    assert {record["reference"] for record in records} == {
        "stripes:REFERENCE",
        "stripes:REFERENCE through the autoencoder",
    }
    assert "against reference stripes-reference through the autoencoder" in table
    assert "0 stages run" in ssdbench(workplace, "run", "stripes.yaml")[1]
    ssdbench(workplace, "report", "stripes.yaml", "--format", "html", "-o", "page.html")
    assert "stripes:FLOW" in (workplace / "page.html").read_text(encoding="utf-8")

    # The source of a network and of a data set is identity; a DiT is known by its shape and weights.
    for file, again in (("stripes_net.py", 2), ("stripes.py", 4)):
        kept = (workplace / file).read_text()
        (workplace / file).write_text(kept + "\n# changed\n")
        plan, _ = ssdbench(workplace, "plan", "stripes.yaml")
        (workplace / file).write_text(kept)
        assert len(re.findall(r"score .*run", plan)) == again, (file, plan)


def test_what_cannot_be_is_said_before_any_work(workplace: Path) -> None:
    head = (
        (workplace / "stripes.yaml")
        .read_text()
        .partition("runs:\n")[0]
        .replace("suite: stripes", "suite: wrong")
    )
    (workplace / "wrong.yaml").write_text(
        head + "runs:\n"
        '  - {model: "stripes:FLOW", variant: base, resolution: 64}\n'
        '  - {model: "stripes:FLOW", variant: base, sampler: ab2}\n'
        '  - {model: "stripes:FLOW", variant: issd, train: {fuse: [2]}}\n'
        '  - {model: "stripes:FLOW", variant: continual, data: "stripes:OTHERS"}\n'
        '  - {model: "stripes:FLOW", variant: continual, data: fashion-captions}\n'
        '  - {model: "stripes:FLOW", variant: base, eval: {reference: {of: fashion-mnist, through: autoencoder}}}\n'
    )
    _, told = ssdbench(workplace, "validate", "wrong.yaml", expected=2)
    for text in (
        "wrong.yaml:10:56: resolution: model 'stripes:FLOW' exists for 32, not 64",
        "sampler: 'ab2' is not for model 'stripes:FLOW', which predicts v",
        "train.fuse: 2 is beyond the 2 blocks (0 to 1) of model 'stripes:FLOW'",
        "data: 'stripes:OTHERS' holds the images of the reference 'stripes:REFERENCE'",
        "data: model 'stripes:FLOW' takes classes (one folder a class), and the labels of 'fashion-captions' are"
        " captions",
        "eval.reference: is passed through the model's autoencoder, and model 'stripes:FLOW' has none",
    ):
        assert text in told, told
    (workplace / "wrong.yaml").write_text(head + 'runs:\n  - {model: "stripes:STRIPES", variant: base}\n')
    plan, _ = ssdbench(workplace, "plan", "wrong.yaml", "--json")
    assert "'STRIPES' is DataSet, expected a ssdbench.models.family.Model" in plan


def test_an_installed_package_offers_them_by_name(workplace: Path) -> None:
    listed = json.loads(
        ssdbench(workplace, "list", "models", "datasets", "references", "families", "--json", offered=True)[0]
    )
    assert listed["models"]["flow"] == "a small flow of pixels"
    assert listed["datasets"]["stripes"].startswith("64 images of stripes")
    assert listed["references"]["stripes-reference"] == "the images of other-stripes"
    assert "flow" not in listed["datasets"]
    assert listed["families"].keys() == {"dit", "sit", "repa", "sd", "own"}
    assert '"stripes-reference"' in ssdbench(workplace, "schema", offered=True)[0]
    suite = (workplace / "stripes.yaml").read_text().replace("suite: stripes", "suite: offered")
    for place, name in (("FLOW", "flow"), ("STRIPES", "stripes"), ("REFERENCE", "stripes-reference")):
        suite = suite.replace(f'"stripes:{place}"', name)
    (workplace / "offered.yaml").write_text(suite)
    plan, _ = ssdbench(workplace, "plan", "offered.yaml", offered=True)
    assert "reference 64 of stripes:OTHERS through the autoencoder" in plan
    (workplace / "offered.yaml").write_text(suite.replace("model: flow", "model: flwo"))
    _, told = ssdbench(workplace, "validate", "offered.yaml", offered=True, expected=2)
    assert "model: unknown model 'flwo' (did you mean 'flow'?)" in told
