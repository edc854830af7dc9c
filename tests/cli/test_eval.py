"""The verb eval: one answer for one set of images however it is stored, files that it writes, and what it refuses."""

from __future__ import annotations

import io
import json
import re
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file, save_file

from tests.cli.conftest import Command, Filled

TOY = ("--network", "tests.metrics.toy:toy_network")
REAL = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
SAMPLES = np.random.default_rng(1).integers(30, 226, (500, 4, 4, 3), dtype=np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    """An image file's content."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def folder(path: Path, images: NDArray[np.uint8]) -> Path:
    """A folder of images, some in subfolders, whose sorted paths have the images' order."""
    for i, image in enumerate(images):
        file = path / f"{i // 100:02}" / f"{i:05}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))
    return path


def archive(path: Path, images: NDArray[np.uint8], start: int = 0) -> Path:
    """A tar of the same files, in an order of its own."""
    with tarfile.open(path, "w") as tar:
        for i in np.random.default_rng(2).permutation(len(images)):
            content = png(images[i])
            info = tarfile.TarInfo(f"./samples/{(start + i) // 100:02}/{start + i:05}.png")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def real(workplace: Path) -> Path:
    """Reference images in ADM's form, without statistics."""
    np.savez(workplace / "real.npz", arr_0=REAL)
    return Path("real.npz")


@pytest.fixture
def measured(ssdbench: Command, real: Path) -> Callable[..., dict[str, object]]:
    """The parts of eval's JSON that depend on pixels alone."""

    def run(samples: object, *more: object) -> dict[str, object]:
        result = ssdbench("eval", samples, "--reference", real, *TOY, "--json", *more)
        assert result.exit_code == 0, result.stderr
        content = json.loads(result.stdout)
        return {key: content[key] for key in ("metrics", "intervals", "missing")}

    return run


def test_the_same_bits_from_every_form(measured: Callable[..., dict[str, object]], workplace: Path) -> None:
    np.savez(workplace / "a.npz", arr_0=SAMPLES)
    np.savez_compressed(workplace / "b.npz", arr_0=SAMPLES, arr_1=np.arange(500) % 7)
    folder(workplace / "c", SAMPLES)
    archive(workplace / "d.tar", SAMPLES)
    (workplace / "e").mkdir()
    archive(workplace / "e/0.tar", SAMPLES[:200])
    archive(workplace / "e/1.tar", SAMPLES[200:], 200)
    (workplace / "f").mkdir()
    for i, part in enumerate(np.split(SAMPLES, [123, 400])):
        save_file({"images": part, "labels": np.zeros(len(part), np.int64)}, workplace / f"f/{i}.safetensors")
        (workplace / f"f/{i}").mkdir()
        (workplace / f"f/{i}.safetensors").rename(workplace / f"f/{i}/samples.safetensors")
    whole = measured("a.npz")
    assert list(whole["metrics"]) == ["fd", "sfd", "is", "precision", "recall"]  # type: ignore[call-overload]
    assert whole["missing"] == {}
    for other in ("b.npz", "c", "d.tar", "e", "f"):
        assert measured(other) == whole, other


def test_a_value_lies_in_its_interval_and_every_count_is_told(
    ssdbench: Command, real: Path, workplace: Path
) -> None:
    np.savez(workplace / "a.npz", arr_0=SAMPLES)
    content = json.loads(ssdbench("eval", "a.npz", "--reference", real, *TOY, "--json").stdout)
    assert (content["samples"]["count"], content["reference"]["count"]) == (500, 300)
    assert content["intervals"].keys() == content["metrics"].keys()
    for key, value in content["metrics"].items():
        found = content["intervals"][key]
        assert found["low"] < value < found["high"], key
        assert found["method"]
    text = ssdbench("eval", "a.npz", "--reference", real, *TOY).stdout
    assert "a.npz, 500 images, against real.npz, 300 images" in text
    assert re.search(rf"FD\(toy\) +{content['metrics']['fd']:.3f} ", text)
    assert "against 300 reference images instead of 10000" in text


def test_metrics_are_chosen_by_name(measured: Callable[..., dict[str, object]], real: Path) -> None:
    content = measured(real, "--metrics", "recall,fd", "--no-intervals")
    assert list(content["metrics"]) == ["fd", "recall"]  # type: ignore[call-overload]
    assert content["intervals"] == {}


@pytest.fixture
def no_first_network(monkeypatch: pytest.MonkeyPatch, workplace: Path) -> None:
    """A network that must not be asked for, and an empty torch hub cache."""

    from ssdbench.metrics.networks import FeatureNetwork, load_network

    def load(name: str, weights: None, device: str) -> FeatureNetwork:
        assert name != "inception", "the first network was loaded"
        return load_network(name, weights, device)

    monkeypatch.setattr("ssdbench.metrics.networks.load_network", load)
    monkeypatch.setenv("TORCH_HOME", str(workplace / "hub"))


@pytest.fixture
def toy_dinov2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy in DINOv2's place."""
    from ssdbench.metrics.builtin_networks import DINOV2
    from ssdbench.metrics.networks import NETWORKS, Network

    toy = Network(name=DINOV2.name, help="a toy", body="tests.metrics.toy:toy_network")
    monkeypatch.setitem(NETWORKS.builtin, DINOV2.name, toy)


def test_fd_dinov2_alone_needs_no_other_network(
    ssdbench: Command, real: Path, toy_dinov2: None, no_first_network: None
) -> None:
    result = ssdbench("eval", real, "--reference", real, "--metrics", "fd-dinov2", "--json")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["network"]["name"] == "dinov2"
    assert (content["samples"]["count"], content["reference"]["count"]) == (300, 300)
    assert content["metrics"] == {"fd-dinov2": pytest.approx(0, abs=1e-6)}
    assert list(content["intervals"]) == ["fd-dinov2"]


def test_fd_dinov2_is_the_distance_under_its_network(
    measured: Callable[..., dict[str, object]], real: Path, toy_dinov2: None
) -> None:
    np.savez("a.npz", arr_0=SAMPLES)
    alone = measured("a.npz", "--metrics", "fd-dinov2")
    both = measured("a.npz", "--metrics", "fd-dinov2,fd")
    for part in ("metrics", "intervals"):
        values: dict[str, object] = both[part]  # type: ignore[assignment]
        assert list(values) == ["fd", "fd-dinov2"]
        assert values["fd"] == values["fd-dinov2"], "the same network in both places"
        assert alone[part] == {"fd-dinov2": values["fd-dinov2"]}
    assert measured("a.npz", "--metrics", "fd-dinov2", "--no-intervals")["intervals"] == {}


@pytest.mark.parametrize("metrics", ["fd-dinov2", "fid,fd-dinov2"])
def test_without_dinov2_nothing_is_begun(
    ssdbench: Command, real: Path, no_first_network: None, metrics: str
) -> None:
    result = ssdbench("eval", real, "--reference", real, "--metrics", metrics, "--export-npz", "out.npz")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "FD-DINOv2 needs" in result.stderr
    assert not Path("out.npz").exists()


def test_fd_dinov2_against_statistics(ssdbench: Command, real: Path) -> None:
    assert ssdbench("eval", "--reference", real, *TOY, "--save-reference", "s.safetensors").exit_code == 0
    arguments = ("eval", real, "--reference", "s.safetensors", *TOY, "--json", "--metrics")
    content = json.loads(ssdbench(*arguments, "fd,fd-dinov2").stdout)
    assert content["missing"] == {"fd-dinov2": "the reference has no images"}
    assert list(content["metrics"]) == ["fd"]
    alone = ssdbench(*arguments, "fd-dinov2")
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert "the reference has no images" in alone.stderr


def test_too_few_samples_for_kid(ssdbench: Command, real: Path, no_first_network: None) -> None:
    result = ssdbench("eval", real, "--reference", real, "--metrics", "kid")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "kid: 300 samples: at least 1,000 are needed" in result.stderr


@pytest.mark.parametrize(("count", "what"), [(500, "500 samples"), (1000, "300 reference images")])
def test_a_kid_that_cannot_be_costs_no_other_metric(
    ssdbench: Command, real: Path, count: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez("a.npz", arr_0=np.resize(SAMPLES, (count, 4, 4, 3)))
    arguments = ("eval", "a.npz", "--reference", real, *TOY, "--json", "--metrics")
    result = ssdbench(*arguments, "kid,fd")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert list(content["metrics"]) == ["fd"]
    assert content["missing"] == {"kid": f"{what}: at least 1,000 are needed"}

    def measure(*arguments: object, **more: object) -> None:
        raise AssertionError("samples were read")

    monkeypatch.setattr("ssdbench.metrics.evaluate.measure", measure)
    alone = ssdbench(*arguments, "kid")
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert f"kid: {what}" in alone.stderr


def test_a_small_reference_costs_what_needs_more_images_alone(
    ssdbench: Command, workplace: Path, toy_dinov2: None
) -> None:
    """Whatever form the reference has, and once saved."""
    np.savez("three.npz", arr_0=REAL[:3])
    folder(workplace / "three", REAL[:3])
    np.savez("a.npz", arr_0=SAMPLES)
    assert ssdbench("eval", "--reference", "three", *TOY, "--save-reference", "s.npz").exit_code == 0
    assert ssdbench("eval", "--reference", "three", *TOY, "--save-reference", "s.safetensors").exit_code == 0
    found = []
    for reference in ("three.npz", "three", "s.npz", "s.safetensors"):
        alone = ssdbench("eval", "a.npz", "--reference", reference, *TOY, "--metrics", "fd", "--json")
        assert alone.exit_code == 0, alone.stderr
        whole = json.loads(ssdbench("eval", "a.npz", "--reference", reference, *TOY, "--json").stdout)
        assert list(whole["metrics"]) == ["fd", "sfd", "is"]
        assert whole["missing"] == dict.fromkeys(
            ("precision", "recall"), "3 reference images: at least 4 are needed"
        )
        assert json.loads(alone.stdout)["metrics"]["fd"] == whole["metrics"]["fd"]
        found.append(whole["metrics"])
        none = ssdbench("eval", "a.npz", "--reference", reference, *TOY, "--metrics", "precision,recall")
        assert none.exit_code == 2
        assert "precision: 3 reference images: at least 4 are needed" in none.stderr
    assert found[1:] == found[:1] * 3


def test_few_samples_cost_what_needs_more_alone_and_before_a_pass(
    ssdbench: Command, real: Path, toy_dinov2: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez("a.npz", arr_0=SAMPLES[:3])
    content = json.loads(ssdbench("eval", "a.npz", "--reference", real, *TOY, "--json").stdout)
    assert list(content["metrics"]) == ["fd", "sfd", "is"]
    one = ssdbench("eval", real, "--reference", real, *TOY, "--limit", 1, "--metrics", "fd-dinov2")
    assert (one.exit_code, one.stderr) == (2, "fd-dinov2: 1 sample: at least 2 are needed\n")
    np.savez("one.npz", arr_0=REAL[:1])
    small = ssdbench("eval", real, "--reference", "one.npz", *TOY, "--json", "--metrics", "is,fd,fd-dinov2")
    assert list(json.loads(small.stdout)["metrics"]) == ["is"]
    assert json.loads(small.stdout)["missing"] == dict.fromkeys(
        ("fd", "fd-dinov2"), "1 reference image: at least 2 are needed"
    )
    monkeypatch.setattr(
        "ssdbench.metrics.networks.load_network", lambda *arguments: pytest.fail("work was begun")
    )
    for metrics in ("precision", "precision,recall,kid"):
        few = ssdbench("eval", "a.npz", "--reference", real, *TOY, "--metrics", metrics)
        assert few.exit_code == 2
        assert "precision: 3 samples: at least 4 are needed" in few.stderr


def test_what_was_noticed_of_images_is_told_of_both_sides(ssdbench: Command, workplace: Path) -> None:
    for name in ("a", "b"):
        folder(workplace / name, SAMPLES[:20])
        (workplace / name / "00/00003.png").rename(workplace / name / "00/00003.jpg")
        (workplace / name / "00/x.heic").write_bytes(b"x")
    content = json.loads(ssdbench("eval", "a", "--reference", "b", *TOY, "--metrics", "fd", "--json").stdout)
    told = [
        "passed over 1 image of types that are not read: 1 .heic, such as x.heic",
        "1 image of another type than the name says, read by the content, such as 00003.jpg",
    ]
    for note in told:
        assert note in content["notes"]
        assert f"the reference: {note}" in content["notes"]
    saved = ssdbench("eval", "--reference", "b", *TOY, "--save-reference", "s.npz")
    assert f"the reference: {told[0]}" in saved.stderr


def test_statistics_alone_say_what_cannot_be_computed(ssdbench: Command, real: Path, workplace: Path) -> None:
    saved = ssdbench("eval", "--reference", real, *TOY, "--save-reference", "s.npz")
    assert (saved.exit_code, saved.stdout) == (0, "")
    with np.load("s.npz") as file:
        bare = {key: file[key] for key in ("mu", "sigma", "mu_s", "sigma_s", "ssdbench")}
    np.savez("bare.npz", **bare)
    result = ssdbench("eval", real, "--reference", "bare.npz", *TOY)
    assert result.exit_code == 0
    assert result.stdout.count("has no images or features") == 2


@pytest.mark.parametrize("name", ["saved.npz", "saved.safetensors"])
def test_a_saved_reference_measures_the_same(
    ssdbench: Command, measured: Callable[..., dict[str, object]], real: Path, name: str
) -> None:
    np.savez("a.npz", arr_0=SAMPLES)
    assert ssdbench("eval", "--reference", real, *TOY, "--save-reference", name).exit_code == 0
    from_saved = ssdbench("eval", "a.npz", "--reference", name, *TOY, "--json")
    content = json.loads(from_saved.stdout)
    assert content["metrics"] == measured("a.npz")["metrics"]
    other = ssdbench("eval", "a.npz", "--reference", "saved.npz", "--save-reference", name, *TOY)
    assert (other.exit_code, "exists already" in other.stderr) == (2, True)


def test_a_saved_npz_has_adms_layout(ssdbench: Command, real: Path) -> None:
    assert ssdbench("eval", "--reference", real, *TOY, "--save-reference", "s.npz").exit_code == 0
    with np.load("s.npz", allow_pickle=False) as file:
        assert {"arr_0", "mu", "sigma", "mu_s", "sigma_s"} <= set(file.files)
        np.testing.assert_array_equal(file["arr_0"], REAL)
        assert (file["mu"].dtype, file["mu"].shape, file["sigma_s"].shape) == (np.float64, (6,), (4, 4))


def test_exported_samples_are_what_adm_reads(ssdbench: Command, workplace: Path) -> None:
    grey = SAMPLES[:37, :, :, :1]
    np.savez("grey.npz", arr_0=grey, arr_1=np.arange(37) % 5)
    result = ssdbench("eval", "grey.npz", "--export-npz", "out.npz")
    assert (result.exit_code, result.stdout) == (0, "")
    with np.load("out.npz", allow_pickle=False) as file:
        assert (file["arr_0"].dtype, file["arr_0"].shape) == (np.uint8, (37, 4, 4, 3))
        np.testing.assert_array_equal(file["arr_0"], np.repeat(grey, 3, axis=3))
        np.testing.assert_array_equal(file["arr_1"], np.arange(37) % 5)


def test_a_runs_samples_are_found_by_its_key(ssdbench: Command, filled: Filled) -> None:
    result = ssdbench("eval", filled.targets[0][:12], "--export-npz", "out.npz")
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    shard = filled.store.directory(filled.stage("sample")) / "samples.safetensors"
    with np.load("out.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["arr_0"][..., :1], load_file(shard)["images"])
        np.testing.assert_array_equal(file["arr_1"], load_file(shard)["labels"])


def test_a_run_that_kept_no_samples(ssdbench: Command, trimmed: Filled) -> None:
    result = ssdbench("eval", trimmed.targets[0][:12], "--export-npz", "out.npz")
    assert result.exit_code == 2
    assert "are no longer in" in result.stderr
    assert "'keep: samples'" in result.stderr


def test_class_sorted_samples_are_warned_of(ssdbench: Command, real: Path) -> None:
    np.savez("sorted.npz", arr_0=SAMPLES, arr_1=np.arange(500) // 50)
    np.savez("mixed.npz", arr_0=SAMPLES, arr_1=np.arange(500) % 10)
    notes = {
        name: json.loads(ssdbench("eval", name, "--reference", real, *TOY, "--json").stdout)["notes"]
        for name in ("sorted.npz", "mixed.npz")
    }
    assert any("class by class" in note for note in notes["sorted.npz"])
    assert not any("class by class" in note for note in notes["mixed.npz"])


def test_a_suites_reference_and_a_data_set_by_name(ssdbench: Command) -> None:
    result = ssdbench(
        "eval", "fashion-mnist", "--reference", "fashion-mnist", "--network", "effnet-lite0", "--resolution", 32,
        "--limit", 40, "--metrics", "precision", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert (content["samples"]["count"], content["reference"]["count"]) == (40, 10_000)
    assert content["metrics"]["precision"] > 0.6


def test_a_resolution_crops_and_resizes_files(ssdbench: Command, real: Path, workplace: Path) -> None:
    (workplace / "x").mkdir()
    for i in range(12):
        (workplace / f"x/{i}.png").write_bytes(png(np.repeat(SAMPLES[i], 2 + i % 2, axis=1)))
    result = ssdbench("eval", "x", "--reference", real, *TOY, "--resolution", 4)
    assert result.exit_code == 0, result.stderr
    assert "cropped and resized to 4" in result.stdout


def transparent() -> bytes:
    image = Image.new("RGBA", (4, 4), (9, 9, 9, 255))
    image.putpixel((1, 1), (9, 9, 9, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def deep() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def deep_colour(kind: int, channels: int) -> bytes:
    """A PNG of 16 bits a channel, written by hand since Pillow writes none in colour."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    row = b"\0" + b"\xff\xff" * 4 * channels
    header = struct.pack(">IIBBBBB", 4, 4, 16, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * 4))
        + chunk(b"IEND", b"")
    )


def two(path: Path, second: bytes) -> None:
    path.mkdir()
    (path / "a.png").write_bytes(png(SAMPLES[0]))
    (path / "b.png").write_bytes(second)


def cut(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])


def tar_with_a_link(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("b.png")
        info.type, info.linkname = tarfile.SYMTYPE, "a.png"
        tar.addfile(info)


MALFORMED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "nothing there": ("no-such", lambda p: None, "there is no such file or folder, and no data set"),
    "floats": ("x.npz", lambda p: np.savez(p, arr_0=SAMPLES / 255), "is float64 (500, 4, 4, 3), expected uint8"),
    "NCHW": ("x.npz", lambda p: np.savez(p, arr_0=SAMPLES.transpose(0, 3, 1, 2).copy()), "this looks like NCHW"),
    "four channels": ("x.npz", lambda p: np.savez(p, arr_0=np.zeros((9, 4, 4, 4), np.uint8)), "with C = 1 or 3"),
    "one image": ("x.npz", lambda p: np.savez(p, arr_0=SAMPLES[0]), "uint8 (4, 4, 3), expected uint8 (N, H, W, C)"),
    "another key": ("x.npz", lambda p: np.savez(p, images=SAMPLES), "no array 'arr_0'; found images"),
    "a reference": ("x.npz", lambda p: np.savez(p, mu=np.zeros(6), sigma=np.eye(6)), "give it as --reference"),
    "pickles": ("x.npz", lambda p: np.savez(p, arr_0=np.array([{}], object)), "pickled objects"),
    "labels": ("x.npz", lambda p: np.savez(p, arr_0=SAMPLES, arr_1=np.zeros(3)), "expected 500 whole numbers"),
    "no npz": ("x.npz", lambda p: p.write_text("words"), "is no .npz file"),
    "cut npz": ("x.npz", lambda p: (np.savez(p, arr_0=SAMPLES), cut(p, 900)), "it is cut short"),
    "a scalar": ("x.npz", lambda p: np.savez(p, arr_0=np.uint8(3)), "'arr_0' is uint8 (), expected uint8 (N, H, W, C)"),
    "no images in it": ("x.npz", lambda p: np.savez(p, arr_0=SAMPLES[:0]), "holds no images"),
    "one sample": ("x.npz", lambda p: np.savez(p, arr_0=SAMPLES[:1]), ": 1 sample: at least 2 are needed"),
    "empty folder": ("x", lambda p: p.mkdir(), "no images found"),
    "mixed sizes": ("x", lambda p: two(p, png(SAMPLES[1, :, :2])), "b.png: 2x4 pixels, but"),
    "broken image": ("x", lambda p: two(p, png(SAMPLES[1])[:60]), "b.png: cannot be decoded as an image"),
    "transparent": ("x", lambda p: two(p, transparent()), "b.png: has transparent pixels"),
    "16 bits": ("x", lambda p: two(p, deep()), "more than 8 bits"),
    "16 bits in colour": ("x", lambda p: two(p, deep_colour(2, 3)), "b.png: pixels of mode RGB, more than 8 bits"),
    "16 bits and opaque": ("x", lambda p: two(p, deep_colour(6, 4)), "b.png: pixels of mode RGBA, more than 8 bits"),
    "16 bits, grey and opaque": ("x", lambda p: two(p, deep_colour(4, 2)), "more than 8 bits"),
    "16 bits in a PPM": ("x", lambda p: two(p, b"P6 4 4 65535\n" + bytes(96)), "more than 8 bits"),
    "folder of both": ("x", lambda p: (two(p, png(SAMPLES[1])), archive(p / "c.tar", SAMPLES[:3])), "one kind"),
    "cut tar": ("x.tar", lambda p: (archive(p, SAMPLES[:9]), p.write_bytes(p.read_bytes()[:9000])), "it is cut short"),
    "no tar": ("x.tar", lambda p: p.write_bytes(b"words" * 300), "is no plain tar archive"),
    "empty tar": ("x.tar", lambda p: tarfile.open(p, "w").close(), "no images found"),
    "link in a tar": ("x.tar", tar_with_a_link, "is a link to a.png"),
    "compressed": ("x.tar.gz", lambda p: p.write_bytes(b"\x1f\x8b"), "is compressed: unpack it"),
    "one file": ("x.png", lambda p: p.write_bytes(png(SAMPLES[0])), "is one image: expected a folder"),
    "another kind": ("x.csv", lambda p: p.write_text("1,2"), "expected .npz (images as arr_0), .tar"),
    "no shard": ("x.safetensors", lambda p: save_file({"w": REAL}, p), "no tensor 'images'; found w"),
    "cut shard": ("x.safetensors", lambda p: (save_file({"images": REAL}, p), cut(p, 99)), "cut short"),
    "float shard": ("x.safetensors", lambda p: save_file({"images": np.zeros((2, 4, 4, 3), np.float32)}, p), "is F32"),
    "data set without resolution": ("fashion-mnist", lambda p: None, "is read at a resolution"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_samples_each_have_a_message(ssdbench: Command, real: Path, case: str) -> None:
    name, make, message = MALFORMED[case]
    make(Path(name))
    result = ssdbench("eval", name, "--reference", real, *TOY)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.mark.parametrize("name", ["x.npz", "x.safetensors"])
def test_no_images_at_a_resolution(ssdbench: Command, real: Path, name: str) -> None:
    np.savez("x.npz", arr_0=SAMPLES[:0])
    save_file({"images": SAMPLES[:0]}, "x.safetensors")
    for arguments in ((name, "--reference", real), (real, "--reference", "x.safetensors")):
        result = ssdbench("eval", *arguments, *TOY, "--resolution", 4)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "holds no images" in result.stderr or "0 reference image" in result.stderr


def without(key: str) -> Callable[[Path], None]:
    """A file of statistics with one array missing."""

    def make(path: Path) -> None:
        arrays = {"mu": np.zeros(6), "sigma": np.eye(6), "mu_s": np.zeros(4), "sigma_s": np.eye(4)}
        np.savez(path, **{name: array for name, array in arrays.items() if name != key})

    return make


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("r.npz", without("mu_s"), "no array 'mu_s'; found mu, sigma, sigma_s"),
        ("r.npz", without("sigma"), "no array 'sigma'; found mu, mu_s, sigma_s"),
        ("r.npz", without("none"), "'mu' has shape (6,), expected (2048,)"),
        ("r.npz", lambda p: np.savez(p, words=np.zeros(3)), "expected 'arr_0' (uint8 images) or"),
        ("r.safetensors", lambda p: save_file({"w": REAL}, p), "no tensor 'images'"),
        ("r", lambda p: p.mkdir(), "no images found"),
    ],
)
def test_malformed_references_each_have_a_message(
    ssdbench: Command,
    real: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[Path], object],
    message: str,
) -> None:
    from ssdbench.metrics.networks import Dims, FeatureNetwork

    def inception(name: str, weights: object, device: str) -> FeatureNetwork:
        return FeatureNetwork("inception", "0" * 64, Dims(2048, 2023, 1008), lambda images: None)  # type: ignore[arg-type,return-value]

    monkeypatch.setattr("ssdbench.metrics.networks.load_network", inception)
    make(Path(name))
    result = ssdbench("eval", real, "--reference", name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_without_the_weights_it_says_where_they_belong(
    ssdbench: Command, real: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(workplace / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = ssdbench("eval", real, "--reference", real)
    assert result.exit_code == 2
    assert str(workplace / "hub") in result.stderr
    assert "effnet-lite0 is the alternative" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to do"),
        (["real.npz"], "give --reference"),
        (["--reference", "real.npz"], "nothing to do"),
        (["real.npz", "--reference", "real.npz", "--metrics", "fid", *TOY], "it is called fd"),
        (["real.npz", "--reference", "real.npz", "--metrics", "psnr"], "'psnr' is no metric of inception"),
        (["real.npz", "--export-npz", "x.npy"], "expected a name that ends in .npz"),
        (["real.npz", "--export-npz", "real.npz"], "real.npz exists already"),
        (["real.npz", "--reference", "imagenet-256", "--network", "effnet-lite0"], "is there for inception alone"),
        (["real.npz", "--reference", "real.npz", "--device", "abacus", *TOY], "unknown device"),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_met(
    ssdbench: Command, real: Path, arguments: list[str], message: str
) -> None:
    result = ssdbench("eval", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_features_are_kept(measured: Callable[..., dict[str, object]], workplace: Path) -> None:
    np.savez(workplace / "samples.npz", arr_0=SAMPLES)
    plain = measured("samples.npz")
    for _ in range(2):
        assert measured("samples.npz", "--features", "x.features") == plain
    assert (workplace / "x.features").stat().st_size > 500 * 15 * 4
