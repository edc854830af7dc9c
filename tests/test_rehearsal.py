"""The paper-scale path from end to end, with everything but its code shrunken.

Table 2's own suite, at 256 pixels and 10 evaluations, runs on a DiT checkpoint in the published layout, an autoencoder
that halves three times, ImageNet's class folders, ADM's reference file and the FID Inception: a random model of two
blocks, a random autoencoder, 64 images, 12 reference images and random Inception weights.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from ssdbench.cli.app import app
from ssdbench.metrics.inception import InceptionTaps
from ssdbench.metrics.weights import inception_cache
from ssdbench.models.checkpoint import load_dit
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape
from ssdbench.models.vae import build_vae
from ssdbench.suite import catalog

SHAPE = DiTShape(width=48, depth=2, heads=4)  # 32x32x4 latents, 1,000 classes, learned sigma
ARGUMENTS = [
    "--no-disk-check",  # what is kept on the disk is reckoned for the true models
    *("--only", "resolution=256,nfe=10", "--limit", "8"),
    *("--set", "train.steps=2", "--set", "train.batch_size=4"),
]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that Table 2 needs at 256 pixels, where a user would have put it."""
    settle(tmp_path, monkeypatch)
    furnish(tmp_path)
    return tmp_path


def settle(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in ``home``, with a DiT-XL/2 that is shrunken."""
    monkeypatch.setenv("SSDBENCH_DATA", str(home / "data"))
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.chdir(home)
    model = replace(catalog.MODELS["DiT-XL/2"], shapes={256: SHAPE, 512: replace(SHAPE, input_size=64)})
    monkeypatch.setitem(catalog.MODELS, "DiT-XL/2", model)


def furnish(home: Path) -> None:
    """Put weights, data and references into ``home``."""
    data = home / "data"
    torch.manual_seed(0)
    (data / "weights").mkdir(parents=True)
    dit = DiT(SHAPE)
    for parameter in dit.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.05)
    torch.save(dit.state_dict(), data / "weights/DiT-XL-2-256x256.pt")
    build_vae((8, 8, 8, 8), image_channels=3).save_pretrained(data / "weights/sd-vae-ft-ema")
    rng = np.random.default_rng(0)
    np.savez(
        data / "weights/VIRTUAL_imagenet256_labeled.npz",
        arr_0=rng.integers(0, 256, (12, 256, 256, 3), dtype=np.uint8),
    )
    for i in range(1000):
        (data / f"imagenet/train/n{i:08}").mkdir(parents=True)
    for i in range(64):
        folder = data / f"imagenet/train/n{i % 8:08}"
        pixels = rng.integers(0, 256, (270 + i, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.JPEG")
    inception = home / "torch/hub/checkpoints" / inception_cache().name
    inception.parent.mkdir(parents=True)
    torch.save(InceptionTaps().state_dict(), inception)


def run(*arguments: str, check: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == check, result.output
    return result.output


@pytest.mark.slow
def test_table_2_at_paper_scale_on_shrunken_parts(machine: Path) -> None:
    printed = run("run", "table2", *ARGUMENTS)
    records = [json.loads(path.read_text()) for path in (machine / "results/records").glob("*.json")]
    by_variant = {record["run"]["variant"]: record for record in records}
    assert set(by_variant) == {"base", "ssd", "issd"}
    for record in records:
        assert set(record["metrics"]) == {"fid", "sfid", "is", "precision", "recall"}
        assert record["network"] == "inception"
        assert (record["nfe"], record["samples"], record["reference_samples"]) == (10, 8, 12)
    assert by_variant["issd"]["fuse"] == [0, 1]
    # The paper's figures stand beside those measured here, which are stamped as of too few samples.
    assert "FID" in printed
    assert all(figure in printed for figure in ("(12.38)", "(7.99)", "(4.92)"))
    assert "8 samples" in printed
    assert "rank-deficient" in printed

    issd = by_variant["issd"]["key"]
    run("export", issd[:12], "-o", str(machine / "student"))
    student, base = (
        load_dit(machine / "student"),
        load_dit(machine / "data/weights/DiT-XL-2-256x256.pt", SHAPE),
    )
    assert student.shape == SHAPE
    moved = [
        name
        for name, value in student.state_dict().items()
        if not torch.equal(value, base.state_dict()[name])
    ]
    assert moved
    assert "pos_embed" not in moved
    samples = next((machine / "results").glob("artifacts/*/*/*/samples.safetensors"))
    assert load_file(samples)["images"].shape == (8, 256, 256, 3)
    assert "0 stages run" in run("run", "table2", *ARGUMENTS)


def test_what_is_missing_is_listed_whole_before_any_work(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSDBENCH_DATA", str(machine / "nowhere"))
    monkeypatch.setenv("TORCH_HOME", str(machine / "nowhere"))
    said = run("run", "table2", check=2)
    for missing in (
        "DiT-XL-2-256x256.pt",
        "DiT-XL-2-512x512.pt",
        "SiT-XL-2-256x256.pt",
        "sd-vae-ft-ema",
        "imagenet",
        "VIRTUAL_imagenet256_labeled.npz",
        "VIRTUAL_imagenet512.npz",
        "weights of the FID Inception",
    ):
        assert missing in said, missing
    assert not (machine / "results").exists()
