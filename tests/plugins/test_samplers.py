"""A sampler and a grid of the user's own, as docs/extending.md writes them, from YAML to table, page and `list`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/extending.md"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worked example, and what an installation of it as a package leaves: entry points."""
    folder = tmp_path_factory.mktemp("own")
    section = PAGE.read_text(encoding="utf-8").partition("\n## Samplers and grids\n")[2]
    for name, language in (("solvers.py", "python"), ("solvers.yaml", "yaml"), ("offered", "toml")):
        found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
        assert found is not None
        (folder / name).write_text(found[1])
    package = folder / "site/solvers-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: solvers\nVersion: 1.0\n")
    points = (folder / "offered").read_text().replace("[project.entry-points.ssdbench]", "[ssdbench]")
    (package / "entry_points.txt").write_text(points.replace('"', ""))
    return folder


def ssdbench(folder: Path, *arguments: str, offered: bool = False) -> subprocess.CompletedProcess[str]:
    path = os.environ.get("PYTHONPATH", "")
    if offered:
        path = os.pathsep.join([str(folder / "site"), str(folder), path])
    return subprocess.run(
        [sys.executable, "-P", "-m", "ssdbench", *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1"},
    )


@pytest.mark.slow
def test_they_go_from_yaml_to_the_table_and_the_page(workplace: Path) -> None:
    done = ssdbench(workplace, "run", "solvers.yaml", "--limit", "16")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "DiT-mini" in line]
    assert len(rows) == 3
    assert "DiT-mini (Heun)" in rows[1]
    assert "growing" in rows[2]
    records = [json.loads(path.read_text()) for path in (workplace / "results/records").glob("*.json")]
    assert len({record["metrics"]["fd"] for record in records}) == 3
    assert all(record["nfe"] == 5 for record in records)

    assert "0 stages run" in ssdbench(workplace, "run", "solvers.yaml", "--limit", "16").stderr
    page = ssdbench(
        workplace, "report", "solvers.yaml", "--limit", "16", "--format", "html", "-o", "page.html"
    )
    assert page.returncode == 0, page.stderr
    assert "DiT-mini (Heun)" in (workplace / "page.html").read_text(encoding="utf-8")

    # Their source is identity.
    source = workplace / "solvers.py"
    kept = source.read_text()
    source.write_text(kept + "\n# changed\n")
    changed = ssdbench(workplace, "plan", "solvers.yaml", "--limit", "16").stdout
    source.write_text(kept)
    assert len(re.findall(r"sample .*run", changed)) == 2, changed


def test_what_cannot_be_is_said_before_any_work(workplace: Path) -> None:
    suite = (workplace / "solvers.yaml").read_text()
    (workplace / "wrong.yaml").write_text(
        suite.replace("nfe: 5", "nfe: 6").replace("suite: solvers", "suite: wrong")
        + '  - {sampler: "solvers:HEUN", model: sit-mini}\n'
        + '  - {sampler: ddim, model: sit-mini, grid: "solvers:GROWING"}\n'
        + '  - {sampler: "solvers:heun", variant: issd, fused: true}\n'
        + '  - {sampler: ddim, grid: "solvers:NONE"}\n'
        + "  - {sampler: ddim, grid: 'solvers:GROWING', nfe: 400}\n"
    )
    done = ssdbench(workplace, "validate", "wrong.yaml")
    assert done.returncode == 2
    for text in (
        "wrong.yaml:12:15: nfe: must be 5 or 7 for sampler 'heun-eps', which takes two evaluations a step, and",
        "sampler: 'solvers:HEUN' is not for model 'sit-mini', which predicts v (there are ddim, sde, heun,",
        "grid: 'solvers:GROWING' is for models that predict eps, and model 'sit-mini' predicts v (there are uniform,",
        "fused: a fused student is trained for the steps of 'ddim', not of 'solvers:heun'",
        "grid: solvers:NONE: 'NONE' is not in the module 'solvers', expected a ssdbench.samplers.grids.Grid",
        "grid: grid 'solvers:GROWING' has no 400 distinct timesteps within 0..999",
    ):
        assert text in done.stderr, done.stderr


def test_an_installed_package_offers_them_by_name(workplace: Path) -> None:
    listed = json.loads(ssdbench(workplace, "list", "samplers", "grids", "--json", offered=True).stdout)
    assert listed["samplers"]["heun-eps"] == "Heun's method for models that predict eps"
    assert listed["grids"]["growing"] == "timesteps that grow with the power 3/2 of their number"
    assert "heun-eps" not in listed["grids"]
    assert "heun-eps" not in ssdbench(workplace, "list", "samplers").stdout
    assert '"heun-eps"' in ssdbench(workplace, "schema", offered=True).stdout

    suite = (workplace / "solvers.yaml").read_text().replace("suite: solvers", "suite: offered")
    for place, name in (("solvers:HEUN", "heun-eps"), ("solvers:GROWING", "growing")):
        suite = suite.replace(f'"{place}"', name)
    (workplace / "offered.yaml").write_text(suite)
    plan = ssdbench(workplace, "plan", "offered.yaml", "--profile", "smoke", offered=True)
    assert plan.returncode == 0, plan.stderr
    assert "sample heun-eps 5 NFE" in plan.stdout
    typo = suite.replace("heun-eps", "heun-esp")
    (workplace / "offered.yaml").write_text(typo)
    assert (
        "(did you mean 'heun-eps'?)" in ssdbench(workplace, "validate", "offered.yaml", offered=True).stderr
    )
