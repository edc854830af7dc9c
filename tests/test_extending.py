"""The worked example of docs/extending.md, run as it stands there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssdbench import declaration

PAGE = Path(__file__).parent.parent / "docs/extending.md"


@pytest.fixture(autouse=True)
def _modules_of_one_name() -> None:
    """Each test writes a mine.py of its own."""
    declaration._imported.cache_clear()


def ssdbench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "ssdbench",
            *arguments,
        ],  # -P: the working directory is found without Python's help
        capture_output=True,
        text=True,
        timeout=250,
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )


@pytest.mark.slow
def test_the_worked_example_runs_and_its_source_is_identity(tmp_path: Path) -> None:
    page = PAGE.read_text()
    for name, language in (("mine.py", "python"), ("mine.yaml", "yaml")):
        block = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)[0]
        (tmp_path / name).write_text(block)
    (tmp_path / "reference").mkdir()
    rng = np.random.default_rng(1)
    for i in range(80):
        image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"reference/{i:02}.png")

    done = ssdbench(tmp_path, "run", "mine.yaml")
    assert done.returncode == 0, done.stderr
    found = [json.loads(path.read_text()) for path in (tmp_path / "results/records").glob("*.json")]
    by_run = {
        (r["run"]["model"], r["run"]["variant"], r["run"]["sampler"]): r["metrics"]["fd"] for r in found
    }
    assert len(by_run) == 5
    assert len(set(by_run.values())) == 5  # the sampler, the data and the model made a difference
    assert "FD(averages)" in done.stdout
    assert "FID" not in done.stdout

    assert "0 stages run" in ssdbench(tmp_path, "run", "mine.yaml").stderr
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "\n# changed\n")
    plan = json.loads(ssdbench(tmp_path, "plan", "mine.yaml", "--json").stdout)
    assert "train" in json.dumps(plan)
    again = ssdbench(tmp_path, "plan", "mine.yaml").stdout
    assert re.search(r"train denoise.*run", again)
    assert re.search(r"sample mine:clipped.*run", again)
    assert re.search(r"train issd.*run", again)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def f(resolution): return 3", "returned int: expected ssdbench.data.datasets.Images"),
        ("import nothing_of_that_name", "importing 'mine' failed: ModuleNotFoundError"),
        ("x = 1", "'f' is not in the module 'mine', expected a ssdbench.data.dataset.DataSet"),
        (
            "import numpy as np\nfrom ssdbench.data.datasets import Images\n"
            "def f(resolution): return Images(np.zeros((2, 32, 32, 2)), np.zeros(2))",
            "float64 pixels of 2 channels and float64 labels: expected uint8 of 1 or 3, and integers",
        ),
        (
            "import numpy as np\nfrom ssdbench.data.datasets import Images\n"
            "def f(resolution): return Images(np.zeros((2, 8, 8, 1), np.uint8), np.zeros(3, np.int64))",
            r"pixels of shape \(2, 8, 8, 1\) and 3 labels: expected \(N, 32, 32, C\) and N",
        ),
    ],
)
def test_what_goes_wrong_in_a_users_module_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    from ssdbench.data.datasets import load_images
    from ssdbench.errors import InputError

    (tmp_path / "mine.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(InputError, match=message):
        load_images("mine:f", 32)
    monkeypatch.delitem(sys.modules, "mine", raising=False)


def test_a_module_that_is_not_there() -> None:
    from ssdbench.data.datasets import load_images
    from ssdbench.errors import InputError

    with pytest.raises(InputError, match="'no_such_module' cannot be found"):
        load_images("no_such_module:f", 32)


def test_a_package_that_fails_is_an_error_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssdbench import own
    from ssdbench.errors import InputError

    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/__init__.py").write_text("raise RuntimeError('boom')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"looking for 'broken\.inner' failed: RuntimeError: boom"):
        own.source_file("broken.inner:f")


MODEL = (
    "import torch; from ssdbench.models.own_model import OwnModel\n"
    "def build(): return torch.nn.Linear(1, 1)\n"
    "def f(resolution): return OwnModel(build, channels=1, size=resolution, classes=10, dataset='fashion-mnist', {})"
)


@pytest.mark.parametrize(
    ("body", "row", "message"),
    [
        (
            "def f(resolution): return 3",
            "{variant: base}",
            "returned int: expected what ssdbench.models.own_model.OwnModel makes",
        ),
        ("def f(resolution): return 1 / 0", "{variant: base}", "failed at 32 pixels: ZeroDivisionError"),
        (MODEL.format(""), "{variant: issd}", "has 0 blocks to fuse: all cannot be"),
        (
            MODEL.format("depth=2"),
            "{variant: issd, train: {fuse: [1, 2]}}",
            r"has 2 blocks to fuse: \(1, 2\) cannot",
        ),
        (MODEL.format("weights=('none.pt',)"), "{variant: base}", "reads none.pt: there is no such file"),
        (MODEL.format("autoencoder='none'"), "{variant: base}", "none is missing"),
    ],
)
def test_what_is_wrong_with_a_users_model_is_said_when_it_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, row: str, message: str
) -> None:
    from ssdbench.plan import build
    from ssdbench.suite import load_suite

    (tmp_path / "mine.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "suite: s\ntitle: s\nlayout: plain\ndefaults: {model: 'mine:f', nfe: 4, resolution: 32,\n"
        "  eval: {samples: 8, reference: fashion-mnist, network: effnet-lite0}}\nruns:\n  - " + row + "\n"
    )
    [run] = build(load_suite(suite)).runs
    assert re.search(message, run.reason or ""), run.reason
    monkeypatch.delitem(sys.modules, "mine", raising=False)


def test_an_own_model_is_saved_with_its_own_names_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from ssdbench.errors import InputError
    from ssdbench.models.catalog import load_denoiser, model_of, save_denoiser

    (tmp_path / "mine.py").write_text(MODEL.format("depth=0"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    shape = model_of("mine:f", 32).shapes[32]
    model = load_denoiser(None, shape)
    save_denoiser(model, tmp_path / "model", grid=[1, 2])
    again = load_denoiser(tmp_path / "model", shape)
    assert torch.equal(again.module.weight, model.module.weight)
    assert model.null.tolist() == [10]
    assert json.loads((tmp_path / "model/config.json").read_text())["grid"] == [1, 2]
    # Of another length: by it, and by the second it was written in, Python tells a source from its bytecode.
    (tmp_path / "mine.py").write_text(MODEL.format("depth=0").replace("Linear(1, 1)", "Linear(20, 1)"))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    import importlib

    importlib.invalidate_caches()
    declaration._imported.cache_clear()
    with pytest.raises(InputError, match="is no model of mine:f"):
        load_denoiser(tmp_path / "model", shape)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
