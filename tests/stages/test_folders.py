"""Stages read a folder of images where it lies, whatever the suite called it."""

from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file
from tools.mini_text_encoder import write_text_encoder

from ssdbench.data.folders import NO_LABEL
from ssdbench.data.latents import Latents
from ssdbench.models.vae import build_vae
from ssdbench.stages import EncodeSpec, ReferenceSpec, Runtime, SampleSpec, Source, encode, reference, sample
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
    scratch = tmp_path_factory.mktemp("scratch")
    assert encode.body(spec, {}, out, Runtime(scratch)) == {"images": 1}
    assert Latents.encoded(out).labels.tolist() == [NO_LABEL]


def test_what_is_to_be_told_of_the_files_is_among_the_facts(
    data: Source, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that read a folder tell the same: an image of another type than its name's, and one that is passed over."""
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    Image.new("RGB", (40, 32), COLOUR).save(tmp_path / "b.png")
    (tmp_path / "c.heic").write_bytes(b"x")
    out, scratch = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("scratch")
    build_vae((8, 8, 8), image_channels=3).save_pretrained(out)
    vae, network = Source(digest="b" * 64, path=str(out)), Source(digest="c" * 64, path="")
    copying = Copying(dataset="folder", data=data, reconstruct=False)
    facts = [
        encode.body(
            EncodeSpec(dataset="folder", data=data, resolution=32, images=2, vae=vae),
            {},
            out,
            Runtime(scratch),
        ),
        sample.body(SampleSpec(copying=copying, resolution=32, start=0, count=2), {}, out, Runtime(out)),
        reference.body(
            ReferenceSpec(
                dataset="folder",
                data=data,
                resolution=4,
                count=2,
                network="tests.metrics.toy:toy_network",
                weights=network,
            ),
            {},
            out,
            Runtime(out),
        ),
    ]
    told = [
        "passed over 1 image of types that are not read: 1 .heic, such as c.heic",
        "1 image of another type than the name says, read by the content, such as a.jpg",
    ]
    assert [fact["notes"] for fact in facts] == [told, told, told]


def test_captions_tell_what_the_text_model_does_not_take(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_text_encoder(tmp_path / "text", ("a", "dog"), length=5, width=8, heads=2)
    (tmp_path / "prompts.txt").write_text("a dog\na cat\na a a a a\n")
    for name, notes in (("prompts.txt", 2), ("sound.txt", None)):
        (tmp_path / "sound.txt").write_text("a dog\n")
        spec = EncodeSpec(
            dataset="captions",
            data=Source(digest="d" * 64, path=str(tmp_path / name)),
            resolution=32,
            images=3,
            text=Source(digest="e" * 64, path=str(tmp_path / "text")),
        )
        scratch = tmp_path / name.replace(".", "-")
        scratch.mkdir()
        facts = encode.body(spec, {}, tmp_path / "out", Runtime(scratch))
        assert len(facts["notes"]) == notes if notes else "notes" not in facts
