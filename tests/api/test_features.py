"""Features in a file: the same bits, no second pass, and never those of other images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

import ssdbench
from ssdbench.metrics.reference import make_reference, save_reference
from tests.metrics.toy import toy_network

RNG = np.random.default_rng(9)
IMAGES = RNG.integers(0, 256, (37, 4, 4, 3), dtype=np.uint8)
REAL = RNG.integers(20, 236, (40, 4, 4, 3), dtype=np.uint8)


def no_pass(images: object) -> None:
    raise AssertionError("a pass was begun")


NETWORK = toy_network()
IDLE = replace(NETWORK, forward=no_pass)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "samples"
    path.mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(path / f"{i:03}.png")
    return path


@pytest.fixture(scope="module")
def reference() -> object:
    return make_reference([REAL], NETWORK, "real")


@pytest.mark.parametrize("form", ["folder", "array"])
def test_what_is_kept_gives_the_same_bits_without_a_pass(
    folder: Path, tmp_path: Path, reference: object, form: str
) -> None:
    samples = folder if form == "folder" else IMAGES
    how = {"reference": reference, "features": tmp_path / "deep" / "x.features"}
    first = ssdbench.evaluate(samples, network=NETWORK, metrics=["fd"], **how)
    assert (
        first.metrics
        == ssdbench.evaluate(samples, network=NETWORK, metrics=["fd"], reference=reference).metrics
    )
    more = ssdbench.evaluate(samples, network=IDLE, **how)
    plain = ssdbench.evaluate(samples, network=NETWORK, reference=reference)
    assert (more.metrics, more.intervals, more.notes) == (plain.metrics, plain.intervals, plain.notes)
    few = ssdbench.evaluate(samples, network=IDLE, limit=22, **how)
    assert few.samples == 22
    close = ssdbench.evaluate(samples, network=NETWORK, limit=22, reference=reference).metrics
    assert few.metrics == pytest.approx(close, rel=1e-5)  # the last batch was cut elsewhere


def test_more_images_and_other_weights_are_computed(folder: Path, tmp_path: Path, reference: object) -> None:
    how = {"reference": reference, "features": tmp_path / "x.features", "intervals": False}
    ssdbench.evaluate(folder, network=NETWORK, limit=20, **how)
    whole = ssdbench.evaluate(folder, network=NETWORK, **how)
    assert whole.metrics == ssdbench.evaluate(IMAGES, network=NETWORK, reference=reference).metrics
    assert ssdbench.evaluate(folder, network=IDLE, **how).metrics == whole.metrics
    another = replace(NETWORK, digest="1" * 64)
    with pytest.raises(AssertionError, match="a pass was begun"):
        ssdbench.evaluate(folder, network=replace(another, forward=no_pass), **how | {"reference": REAL})


def test_features_of_other_images_are_refused(folder: Path, tmp_path: Path, reference: object) -> None:
    how = {"reference": reference, "network": NETWORK, "features": tmp_path / "x.features"}
    ssdbench.evaluate(folder, **how)
    first = folder / "000.png"
    os.utime(first, (1, 1))
    with pytest.raises(ssdbench.InputError, match="features of other images, or they have changed"):
        ssdbench.evaluate(folder, **how)
    with pytest.raises(ssdbench.InputError, match="features of other images"):
        ssdbench.evaluate(IMAGES, **how)
    with pytest.raises(ssdbench.UsageError, match="can be read but once"):
        ssdbench.evaluate(iter([IMAGES]), **how)
    save_reference(reference, tmp_path / "no.safetensors")
    with pytest.raises(ssdbench.InputError, match="holds no features"):
        ssdbench.evaluate(folder, **how | {"features": tmp_path / "no.safetensors"})


def test_a_spoilt_file_is_refused_by_name(folder: Path, tmp_path: Path, reference: object) -> None:
    path = tmp_path / "x.features"
    how = {"reference": reference, "network": NETWORK, "features": path}
    ssdbench.evaluate(folder, **how)
    with safe_open(path, "np") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    save_file(tensors | {"toy|pooled": tensors["toy|pooled"][:, :3]}, path, metadata=metadata)
    with pytest.raises(ssdbench.InputError, match=r"x\.features: .*pooled is float32 \(37, 3\): expected"):
        ssdbench.evaluate(folder, **how)
