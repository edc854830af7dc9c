"""Stages read a folder of images where it lies, whatever the suite called it."""

from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

from ssdbench.data.folders import NO_LABEL
from ssdbench.data.latents import Latents
from ssdbench.models.vae import build_vae
from ssdbench.stages import EncodeSpec, Runtime, SampleSpec, Source, encode, sample
from ssdbench.stages.sample import Copying

COLOUR = (9, 99, 199)


@pytest.fixture
def data(tmp_path: Path) -> Source:
    Image.new("RGB", (32, 32), COLOUR).save(tmp_path / "a.png")
    return Source(digest="d" * 64, path=str(tmp_path))


def test_copies(data: Source, tmp_path: Path) -> None:
    copying = Copying(dataset="folder", data=data, reconstruct=False)
    spec = SampleSpec(copying=copying, resolution=32, start=0, count=2)
    sample.body(spec, {}, tmp_path, Runtime(tmp_path))
    images = load_file(tmp_path / "samples.safetensors")["images"]
    assert images.shape == (2, 32, 32, 3)
    assert images[0, 5, 7].tolist() == list(COLOUR)


def test_latents(data: Source, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    vae = build_vae((8, 8, 8), image_channels=3)
    vae.save_pretrained(out := tmp_path_factory.mktemp("out"))
    source = Source(digest="b" * 64, path=str(out))
    spec = EncodeSpec(dataset="folder", data=data, resolution=32, images=1, vae=source)
    assert encode.body(spec, {}, out, Runtime(out)) == {"images": 1}
    assert Latents.encoded(out).labels.tolist() == [NO_LABEL]
