"""The paper's scale from end to end: every row of Tables 1 to 8 from stand-ins for the published files.

The stand-ins have the published names, layouts, key names, dtypes and configs, and lie where the hints say; they are
small, and their weights are random (``tools/rehearsal``).
"""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tools.rehearsal import configs
from tools.rehearsal.__main__ import CHANGES, EVERYTHING, TABLES
from tools.rehearsal.machine import CONVERTED, rehearsing
from tools.rehearsal.sizes import IMAGES, MODELS_HERE, shrunken_vae
from typer.testing import CliRunner

from ssdbench.cli.app import app
from ssdbench.data.latents import Texts
from ssdbench.models.checkpoint import load_dit
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.text import TextEncoder
from ssdbench.suite import load_suite
from ssdbench.suite.catalog import MODELS, REFERENCES
from ssdbench.suite.schema import ResolvedRun

REPOSITORY = Path(__file__).resolve().parent.parent
Rows = list[dict[str, Any]]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


FEW = [
    ["run", "table1", "table2", "table3", "--only", "nfe=10", *CHANGES],
    ["run", *TABLES[3:], *CHANGES],
]
"""Those whose rows differ in their number of evaluations, with 10 alone; all others whole."""


@pytest.mark.slow
@pytest.mark.timeout(3000)  # two minutes of two cores that have nothing else to do
@pytest.mark.parametrize(
    "commands", [FEW, pytest.param([EVERYTHING], marks=pytest.mark.full)], ids=["few", "every row"]
)
def test_the_rows_of_every_table_from_stand_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> None:
    machine = tmp_path / "machine"
    rows: Rows = []
    for command in commands:
        # A process of its own, as huggingface_hub reads its variables when it is imported.
        whole = [sys.executable, "-m", "tools.rehearsal", str(machine), *command, "--json"]
        done = subprocess.run(
            whole, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=2900
        )
        assert done.returncode == 0, done.stderr
        rows += json.loads(done.stdout)

    suites = [load_suite(REPOSITORY / f"suites/{table}.yaml") for table in TABLES]
    few = {"table1", "table2", "table3"} if commands is FEW else set()
    check_rows(
        rows, [(one.name, run) for one in suites for run in one.runs if one.name not in few or run.nfe == 10]
    )
    monkeypatch.setenv("SSDBENCH_RESULTS", str(machine / "results"))
    with rehearsing(machine):
        printed = run("report", "table2", "table4")
        # The paper's figures stand beside those measured here, which are stamped as of too few samples.
        assert all(figure in printed for figure in ("(12.38)", "(7.99)", "(4.92)"))
        assert "4 samples, where the published figures take 50,000" in printed
        assert "rank-deficient" in printed
        check_dit(rows, machine)
        check_stable_diffusion(rows, machine)
        assert all("0 stages run" in run(*command) for command in commands)


def check_rows(rows: Rows, expected: list[tuple[str, ResolvedRun]]) -> None:
    """Each row of each suite is there, with all metrics, by the published protocol but for the number of samples."""
    assert [row["suite"] for row in rows] == [suite for suite, _ in expected]
    assert {row["model"] for row in rows} == set(MODELS_HERE)
    for row, (_, run) in zip(rows, expected, strict=True):
        assert row["reason"] is None
        assert (row["variant"], row["nfe"]) == (run.variant, run.nfe)
        assert row["record.nfe"] == run.nfe
        assert (row["record.network"], row["record.samples"]) == ("inception", 4)
        assert all(math.isfinite(row[metric]) for metric in ("fid", "sfid", "is", "precision", "recall"))
        # What ADM's statistics are of is not known; COCO's images are counted here.
        assert row["record.reference_samples"] == IMAGES.get(run.eval.reference)
        if "issd" in row["variant"]:
            depth = 9 if row["model"] == "SD v1.5" else MODELS[row["model"]].depth // 12
            assert row["record.fuse"] == list(range(depth))


def shard(row: dict[str, Any], machine: Path) -> dict[str, torch.Tensor]:
    """What was sampled for a row."""
    record = json.loads((machine / f"results/records/{row['record.key']}.json").read_text())
    [key] = [key for key, stage in record["stages"].items() if stage["title"].startswith("sample")][-1:]
    [path] = (machine / "results/artifacts").glob(f"*/{key}/*/samples.safetensors")
    return load_file(path)


def the_rows(rows: Rows, **wanted: Any) -> dict[str, dict[str, Any]]:
    """Rows by their variant."""
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    assert len({row["variant"] for row in found}) == len(found)
    return {row["variant"]: row for row in found}


def check_dit(rows: Rows, machine: Path) -> None:
    """Distilled weights are the published ones, moved; samples have the size that is asked for."""
    found = the_rows(rows, suite="table2", nfe=10, resolution=512)
    assert set(found) == {"base", "ssd", "issd"}
    run("export", found["issd"]["record.key"][:12], "-o", str(machine / "student"))
    shape = MODELS["DiT-XL/2"].shapes[512]
    student = load_dit(machine / "student").state_dict()
    base = load_dit(machine / "data/weights/DiT-XL-2-512x512.pt", shape).state_dict()
    moved = [name for name, value in student.items() if not torch.equal(value, base[name])]
    assert moved
    assert "pos_embed" not in moved
    # The same model from diffusers' repository, by way of `ssdbench convert`.
    shape = MODELS["DiT-XL/2"].shapes[256]
    states = [load_dit(machine / place / CONVERTED, shape).state_dict() for place in ("data/weights", "")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    shards = [shard(found[name], machine) for name in ("base", "issd")]
    assert all(one["images"].shape == (4, 512, 512, 3) for one in shards)
    assert torch.equal(shards[0]["labels"], shards[1]["labels"])
    assert not torch.equal(shards[0]["latents"], shards[1]["latents"])


def check_stable_diffusion(rows: Rows, machine: Path) -> None:
    """Samples have the captions of the reference's images, in their order; diffusers' pipeline takes the student."""
    prepare_torchvision()
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    wanted = {"suite": "table4", "nfe": 10, "sampler": "ddim", "eval.reference": "coco-2014"}
    found = the_rows(rows, **wanted)
    assert set(found) == {"base", "issd"}
    shards = [shard(found[name], machine) for name in ("base", "issd")]
    assert torch.equal(shards[0]["labels"], shards[1]["labels"])
    assert not torch.equal(shards[0]["latents"], shards[1]["latents"])

    base = machine / "data/weights/stable-diffusion-v1-5"
    annotations = json.loads((machine / "data/coco/annotations/captions_val2014.json").read_text())
    first: dict[int, dict[str, Any]] = {}
    for entry in sorted(annotations["annotations"], key=lambda entry: entry["id"], reverse=True):
        first[entry["image_id"]] = entry
    captions = [" ".join(first[image]["caption"].split()) for image in sorted(first)]
    expected = TextEncoder(base).encode(captions)
    folders = [path.parent for path in (machine / "results/artifacts").glob("*/*/*/index.safetensors")]
    orders = [one for one in map(Texts, folders) if len(one.order) == REFERENCES["coco-2014"].images]
    assert any(torch.allclose(one.states(one.order), expected, atol=1e-6) for one in orders)

    run("export", found["issd"]["record.key"][:12], "-o", str(machine / "text-student"))
    student = UNet2DConditionModel.from_pretrained(machine / "text-student")
    absent = {"safety_checker": None, "feature_extractor": None}  # which no suite needs
    pipeline = StableDiffusionPipeline.from_pretrained(base, unet=student, **absent)
    pipeline.set_progress_bar_config(disable=True)
    before = UNet2DConditionModel.from_pretrained(base / "unet").state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in student.state_dict().items())
    image = pipeline("a dog", num_inference_steps=2, height=512, width=512, output_type="np").images[0]
    assert image.shape == (512, 512, 3)
    assert np.isfinite(image).all()

    figure = machine / "figure1.png"
    keys = [f"{name}={found[name]['record.key'][:12]}" for name in ("base", "issd")]
    run("grid", *keys, "-o", str(figure), "--indices", "0,3", "--scale", "1")
    drawn = np.asarray(Image.open(figure))
    for one in shards:
        # Every sample that was asked for stands somewhere in the picture, pixel by pixel.
        assert all(stands_in(drawn, one["images"][i].numpy()) for i in (0, 3))


def stands_in(drawn: np.ndarray, tile: np.ndarray) -> bool:
    """Whether a picture holds a tile, pixel by pixel; looked for where its first pixel is."""
    height, width, _ = tile.shape
    corners = drawn[: len(drawn) - height + 1, : drawn.shape[1] - width + 1]
    places = np.argwhere((corners == tile[0, 0]).all(-1))
    return any(np.array_equal(drawn[y : y + height, x : x + width], tile) for y, x in places)


def test_configs_are_written_as_they_are_published(tmp_path: Path) -> None:
    configs.write(configs.vae_ft_ema(), tmp_path / "config.json")
    published = (REPOSITORY / "tests/golden/sd-vae-ft-ema.config.json").read_bytes()
    assert (tmp_path / "config.json").read_bytes() == published
    assert len(published) == 547
    narrower = {"block_out_channels", "layers_per_block", "norm_num_groups"}
    small = shrunken_vae(configs.vae_ft_ema())
    assert small.keys() == json.loads(published).keys()
    assert {name for name, value in small.items() if value != configs.vae_ft_ema()[name]} == narrower


def test_what_is_missing_is_listed_whole_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSDBENCH_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nowhere"))
    result = CliRunner().invoke(app, ["run", *TABLES])
    assert result.exit_code == 2
    for missing in (
        *(f"DiT-{size}-2-256x256.pt" for size in ("S", "B", "L", "XL")),
        "DiT-XL-2-512x512.pt",
        "SiT-XL-2-256x256.pt",
        "REPA-SiT-XL-2-256x256.pt",
        "sd-vae-ft-ema",
        "stable-diffusion-v1-5/unet",
        "imagenet",
        "coco/annotations/captions_train2014.json",
        "coco/annotations/captions_val2014.json",
        "coco/val2017",
        "VIRTUAL_imagenet256_labeled.npz",
        "VIRTUAL_imagenet512.npz",
        "weights of the FID Inception",
    ):
        assert missing in result.output, missing
    assert not (tmp_path / "results").exists()
