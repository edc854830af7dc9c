"""Table 4's own path from end to end, with everything but its code shrunken.

A Stable Diffusion of a few thousand random weights in diffusers' layout, 40 images with captions in COCO's layout,
random weights of the FID Inception: two steps of distillation, export, the pipeline with the student, scoring.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from ssdbench.cli.app import app
from ssdbench.data.captions import choose, read_coco, write_manifest
from ssdbench.data.texts import Texts
from ssdbench.metrics.inception import InceptionTaps
from ssdbench.metrics.weights import inception_cache
from ssdbench.models.text import TextEncoder
from ssdbench.suite import catalog
from tests.models.sd_toy import SHAPE, write_pipeline

IMAGES = 40


def write_coco(root: Path, split: str) -> None:
    """Images of several sizes, two captions each, in the official layout."""
    rng = np.random.default_rng(len(split))
    (root / split).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for i in range(IMAGES):
        name = f"COCO_{split}_{i:012}.jpg"
        Image.fromarray(rng.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)).save(root / split / name)
        images.append({"id": 100 + i, "file_name": name})
        for j in (1, 0):
            caption = " ".join(rng.choice(list("abcdefgh"), 4)) + " \n"
            annotations.append({"id": 10 * i + j, "image_id": 100 + i, "caption": caption})
    content = {"images": images[::-1], "annotations": annotations}
    (root / f"annotations/captions_{split}.json").write_text(json.dumps(content))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = tmp_path / "data"
    monkeypatch.setenv("SSDBENCH_DATA", str(data))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    # 16 pixels a side through an autoencoder that halves once, and 40 images a data set.
    model = catalog.MODELS["SD v1.5"]
    model = replace(model, shapes={16: SHAPE}, weights={16: model.weights[512]})
    monkeypatch.setitem(catalog.MODELS, "SD v1.5", model)
    for name in ("coco-2014", "coco-2014-train"):
        monkeypatch.setitem(catalog.DATASETS, name, replace(catalog.DATASETS[name], images=IMAGES))
    small = replace(catalog.REFERENCES["coco-2014"], images=IMAGES, resolution=16)
    monkeypatch.setitem(catalog.REFERENCES, "coco-2014", small)
    write_pipeline(data / "weights/stable-diffusion-v1-5")
    # Fewer images than the data sets have: a manifest says which. Workers read it, as they would the user's own.
    (data / "coco/manifests").mkdir(parents=True)
    for split in ("val2014", "train2014"):
        write_coco(data / "coco", split)
        found = read_coco(data / f"coco/annotations/captions_{split}.json")
        write_manifest(choose(found, IMAGES), data / f"coco/manifests/{split}.jsonl")
    inception_cache().parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(InceptionTaps().state_dict(), inception_cache())
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_table_4_on_shrunken_parts(machine: Path) -> None:
    pytest.importorskip("peft")
    arguments = [
        *("run", "table4", "--only", "nfe=10,eval.reference=coco-2014,sampler=ddim", "--limit", "12"),
        *("--set", "resolution=16", "--set", "train.steps=2", "--set", "train.batch_size=4"),
        *("--set", "train.lora_rank=2", "--set", "train.lr=0.01"),
    ]
    printed = run(*arguments)
    records = {
        record["run"]["variant"]: record
        for path in (machine / "results/records").glob("*.json")
        for record in [json.loads(path.read_text())]
    }
    assert set(records) == {"base", "issd"}
    for record in records.values():
        assert record["network"] == "inception"
        assert (record["nfe"], record["samples"], record["reference_samples"]) == (10, 12, IMAGES)
    assert records["issd"]["fuse"] == list(range(SHAPE.depth))
    assert "12 samples" in printed
    assert "COCO2014" in printed

    # The samples have the captions of the reference's images, in their order.
    results = machine / "results/artifacts"
    texts = {
        len(list(path.parent.glob("*"))): path.parent for path in results.glob("*/*/*/index.safetensors")
    }
    shards = [load_file(path) for path in results.glob("*/*/*/samples.safetensors")]
    assert all(shard["images"].shape == (12, 16, 16, 3) for shard in shards)
    found = Texts(next(iter(texts.values())))
    assert len(found.order) == IMAGES
    assert torch.equal(shards[0]["labels"], shards[1]["labels"])
    assert not torch.equal(shards[0]["images"], shards[1]["images"])

    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    run("export", records["issd"]["key"][:12], "-o", str(machine / "student"))
    base = machine / "data/weights/stable-diffusion-v1-5"
    student = UNet2DConditionModel.from_pretrained(machine / "student")
    pipeline = StableDiffusionPipeline.from_pretrained(base, unet=student, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    before = UNet2DConditionModel.from_pretrained(base / "unet").state_dict()
    moved = [name for name, value in student.state_dict().items() if not torch.equal(value, before[name])]
    assert moved
    assert all(".to_" in name for name in moved)  # the attentions, with the updates merged into them
    image = pipeline("a b c", num_inference_steps=3, height=16, width=16, output_type="np").images[0]
    assert image.shape == (16, 16, 3)
    assert np.isfinite(image).all()

    caption = json.loads((machine / "data/coco/annotations/captions_val2014.json").read_text())["annotations"]
    first = [entry["caption"].strip() for entry in caption if entry["id"] % 10 == 0]
    encoder = TextEncoder(base)
    orders = [Texts(folder) for folder in (path.parent for path in results.glob("*/*/*/index.safetensors"))]
    expected = encoder.encode(first[:3])
    assert any(torch.allclose(one.states(one.order[:3]), expected, atol=1e-6) for one in orders)
    assert "0 stages run" in run(*arguments)

    figure = machine / "figure1.png"
    keys = [f"{name}={records[name]['key'][:12]}" for name in ("base", "issd")]
    run("grid", *keys, "-o", str(figure), "--indices", "0,7", "--scale", "1")
    drawn = np.asarray(Image.open(figure))
    for shard in shards:
        # Every sample that was asked for stands somewhere in the picture, pixel by pixel.
        tiles = np.lib.stride_tricks.sliding_window_view(drawn, (16, 16, 3))[:, :, 0]
        assert all((tiles == shard["images"][i].numpy()).all((-3, -2, -1)).any() for i in (0, 7))
