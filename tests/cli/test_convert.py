"""The verb convert: its output and exit codes, and that it replaces and leaves behind nothing by mistake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ssdbench.models import convert as conversion
from ssdbench.models.checkpoint import load_dit, save_dit
from ssdbench.models.dit_files import read_checkpoint
from ssdbench.models.official import Layout
from ssdbench.models.unet import load_unet
from ssdbench.suite import catalog
from tests.cli.conftest import Command
from tests.models.sd_toy import SHAPE, write_pipeline
from tests.models.toy import random_dit, same

GOLDEN = Path(__file__).parent.parent / "golden" / "dit_official_layout.pt"


@pytest.fixture
def student(workplace: Path) -> Path:
    """A small model in our layout."""
    save_dit(random_dit(), workplace / "student")
    return workplace / "student"


def files(folder: Path) -> set[str]:
    """All that is in a folder, hidden or not."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("to", ["ours", "official", "diffusers"])
def test_the_output_is_named_on_stdout_and_can_be_read(ssdbench: Command, student: Path, to: str) -> None:
    result = ssdbench("convert", student, "-o", "out/model", "--to", to)
    assert (result.exit_code, result.stdout) == (0, "out/model\n")
    assert (
        f"ours to {to}: width 48, depth 3, 4 heads, patch 2, 8x8x4, 10 classes, sigma learned"
        in result.stderr
    )
    assert ("downscale_freq_shift" in result.stderr) == (to == "diffusers")
    found = read_checkpoint(Path("out/model"), layout=Layout(to), heads=4)
    assert same(found.state, random_dit().state_dict())
    assert [path.name for path in Path("out").iterdir()] == ["model"]


def test_new_files_have_the_mode_that_any_other_has(
    ssdbench: Command, student: Path, workplace: Path
) -> None:
    (workplace / "usual").touch()
    (workplace / "usual-folder").mkdir()
    ssdbench("convert", student, "-o", "a", "--to", "diffusers")
    ssdbench("convert", student, "-o", "b.pt", "--to", "official")
    for made in (workplace / "b.pt", *(workplace / "a").iterdir()):
        assert made.stat().st_mode == (workplace / "usual").stat().st_mode
    assert (workplace / "a").stat().st_mode == (workplace / "usual-folder").stat().st_mode


def test_heads_precision_and_origin_are_options(ssdbench: Command) -> None:
    assert ssdbench("convert", GOLDEN, "-o", "m", "--to", "ours").exit_code == 2
    result = ssdbench(
        "convert",
        GOLDEN,
        "-o",
        "m",
        "--to",
        "ours",
        "--heads",
        4,
        "--dtype",
        "bfloat16",
        "--from",
        "official",
    )
    assert result.exit_code == 0
    assert {v.dtype for v in read_checkpoint(Path("m")).state.values()} == {torch.bfloat16}
    result = ssdbench("convert", "m", "-o", "n", "--to", "ours", "--from", "diffusers")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "m: expected the layout diffusers, found ours" in result.stderr


def test_nothing_is_overwritten_unless_forced(ssdbench: Command, student: Path, workplace: Path) -> None:
    (workplace / "m.pt").write_text("mine")
    result = ssdbench("convert", student, "-o", "m.pt", "--to", "official")
    assert (result.exit_code, result.stderr) == (2, "m.pt exists already\n")
    assert (workplace / "m.pt").read_text() == "mine"
    for to in ("official", "diffusers", "ours", "official"):  # a file, a folder and back
        assert ssdbench("convert", student, "-o", "m.pt", "--to", to, "--force").exit_code == 0
        assert read_checkpoint(workplace / "m.pt", layout=Layout(to), heads=4)
    assert (
        ssdbench("convert", student, "-o", student, "--to", "ours", "--dtype", "float16", "--force").exit_code
        == 0
    )
    assert read_checkpoint(student).state["pos_embed"].dtype == torch.float16
    assert {path.name for path in workplace.iterdir()} == {"m.pt", "student"}


def test_force_replaces_no_folder_that_holds_more_than_a_model(
    ssdbench: Command, student: Path, workplace: Path
) -> None:
    shutil.copytree(student, workplace / "home")
    (workplace / "home/thesis.tex").write_text("years")
    result = ssdbench("convert", student, "-o", "home", "--to", "diffusers", "--force")
    assert (result.exit_code, result.stderr) == (
        2,
        "home holds more than a model (thesis.tex, ...): not replaced\n",
    )
    assert (workplace / "home/thesis.tex").read_text() == "years"


@pytest.fixture
def pipeline(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy of Stable Diffusion, of the shape that the catalog knows."""
    model = replace(catalog.MODELS["SD v1.5"], shapes={512: SHAPE})
    monkeypatch.setitem(catalog.MODELS.builtin, "SD v1.5", model)
    return write_pipeline(workplace / "toy")


def test_force_replaces_a_pipeline_that_was_written_before(
    ssdbench: Command, pipeline: Path, workplace: Path
) -> None:
    save_file(load_unet(pipeline, SHAPE).state_dict(), workplace / "unet.safetensors")
    for source in (pipeline, "unet.safetensors", pipeline):  # whole, the UNet alone, and back
        result = ssdbench("convert", source, "-o", "sd", "--to", "stable-diffusion", "--force")
        assert (result.exit_code, result.stdout) == (0, "sd\n"), result.stderr
        whole = source == pipeline
        assert (workplace / "sd/model_index.json").is_file() == (workplace / "sd/vae").is_dir() == whole
    result = ssdbench("convert", pipeline, "-o", "sd", "--to", "stable-diffusion")
    assert (result.exit_code, result.stderr) == (2, "sd exists already\n")


@pytest.mark.parametrize("mine", ["notes/thesis.tex", "unet/thesis.tex", "vae/old/config.json"])
def test_force_replaces_no_pipeline_that_holds_more(
    ssdbench: Command, pipeline: Path, workplace: Path, mine: str
) -> None:
    shutil.copytree(pipeline, workplace / "sd")
    (workplace / "sd" / mine).parent.mkdir(exist_ok=True)
    (workplace / "sd" / mine).write_text("years")
    result = ssdbench("convert", pipeline, "-o", "sd", "--to", "stable-diffusion", "--force")
    assert result.exit_code == 2
    assert f"sd holds more than a model ({mine.split('/')[0]}, ...)" in result.stderr
    assert (workplace / "sd" / mine).read_text() == "years"


@pytest.mark.parametrize("option", [("--from", "diffusers"), ("--heads", 4), ("--dtype", "float16")])
def test_options_that_a_pipeline_has_no_use_for_are_refused(
    ssdbench: Command, pipeline: Path, workplace: Path, option: tuple[object, ...]
) -> None:
    result = ssdbench("convert", pipeline, "-o", "sd", "--to", "stable-diffusion", *option)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{option[0]}: not with --to stable-diffusion")
    assert not (workplace / "sd").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_halfway_leaves_all_as_it_was(
    ssdbench: Command, student: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def write_some(found: object, target: Path, *rest: object) -> None:
        target.mkdir()
        (target / "config.json").write_text("{")
        raise error

    shutil.copytree(student, workplace / "old")
    monkeypatch.setattr(conversion, "write_checkpoint", write_some)
    before = files(workplace)
    result = ssdbench("convert", student, "-o", "old", "--to", "diffusers", "--force")
    assert result.exit_code == (2 if isinstance(error, OSError) else 130)
    assert result.stderr in ("cannot write old: No space left on device\n", "interrupted\n")
    assert files(workplace) == before
    assert same(load_dit(workplace / "old").state_dict(), random_dit().state_dict())


def test_bad_input_is_2_and_writes_nothing(ssdbench: Command, workplace: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (workplace / "sprung",)

    torch.save({"ema": Trap()}, workplace / "trap.pt")
    torch.save(random_dit().state_dict() | {"extra": torch.ones(1)}, workplace / "extra.pt")
    (workplace / "text.pt").write_text("not a checkpoint")
    (workplace / "empty").mkdir()
    before = files(workplace)
    for source, said in {
        "trap.pt": "cannot be read as a checkpoint",
        "extra.pt": "unknown extra",
        "text.pt": "cannot be read as a checkpoint",
        "empty": "is no model folder",
        "missing.pt": "No such file",
        "hub:nobody": "expected hub:OWNER/NAME",
    }.items():
        result = ssdbench("convert", source, "-o", "out", "--to", "ours", "--heads", 4)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"{source}: ")
        assert said in result.stderr
        assert files(workplace) == before


def offline(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ssdbench", "convert", *map(str, arguments)],
        env={**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_hub_model_is_taken_from_the_cache_of_the_environment_and_else_told_how_to_get(
    ssdbench: Command, student: Path, workplace: Path
) -> None:
    home = workplace / "hf"
    home.mkdir()
    result = offline(home, "hub:facebook/DiT-XL-2-256", "-o", "m", "--to", "ours")
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("hub:facebook/DiT-XL-2-256: cannot be had (HF_HUB_OFFLINE is set)")
    assert str(home / "hub") in line
    cached = home / "hub/models--facebook--DiT-XL-2-256"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs/main").write_text("0" * 40)
    ssdbench("convert", student, "-o", cached / "snapshots" / ("0" * 40) / "transformer", "--to", "diffusers")
    result = offline(home, "hub:facebook/DiT-XL-2-256", "-o", "m", "--to", "ours")
    assert (result.returncode, result.stdout) == (0, "m\n"), result.stderr
    assert same(load_dit(home / "m").state_dict(), random_dit().state_dict())


def test_no_torch_is_imported_to_refuse_the_output(workplace: Path) -> None:
    (workplace / "taken").touch()
    code = """
import sys
from ssdbench.cli.app import app
try:
    app(["convert", "source.pt", "-o", "taken", "--to", "ours"])
except SystemExit as exit:
    assert exit.code == 2, exit.code
heavy = {"torch", "diffusers", "huggingface_hub"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workplace, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "taken exists already\n")


class Callback:
    """Stands for something that a trainer keeps beside the weights."""


def test_which_weights_and_what_is_left_out(ssdbench: Command, workplace: Path) -> None:
    ema, raw = random_dit(seed=1).state_dict(), random_dit(seed=2).state_dict()
    torch.save({"ema": ema, "model": raw, "callbacks": {"best": Callback()}}, workplace / "t.ckpt")
    refused = ssdbench("convert", "t.ckpt", "-o", "x.pt", "--to", "official", "--heads", 4)
    assert refused.exit_code == 2
    assert "holds objects of tests.cli.test_convert.Callback" in refused.stderr
    stripped = ssdbench("convert", "t.ckpt", "-o", "t.safetensors", "--to", "tensors")
    assert stripped.exit_code == 0
    assert stripped.stderr == f"{len(ema) + len(raw)} tensors, and nothing else that t.ckpt holds\n"
    for option, state, taken, left in (
        ((), ema, "ema", "model"),
        (("--weights", "model"), raw, "model", "ema"),
    ):
        found = ssdbench(
            "convert", "t.safetensors", "-o", f"{taken}.pt", "--to", "official", "--heads", 4, *option
        )
        assert found.exit_code == 0
        note = f"note: t.safetensors: the weights under '{taken}' are taken, not those under '{left}'"
        assert found.stderr.splitlines()[0] == note
        assert same(torch.load(workplace / f"{taken}.pt", weights_only=True), state)
    unused = ssdbench("convert", "t.ckpt", "-o", "y", "--to", "tensors", "--weights", "ema")
    assert unused.exit_code == 2
    assert unused.stderr.startswith("--weights: not with --to tensors")
