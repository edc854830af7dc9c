import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import ssdbench
from ssdbench.errors import InputError
from ssdbench.metrics.networks import load_network, network_digest
from ssdbench.metrics.precision_recall import neighbour_radii
from ssdbench.metrics.reference import load_reference, make_reference, save_reference
from ssdbench.metrics.references import open_reference
from tests.metrics.toy import evaluate, toy_network

REAL = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
SAMPLES = np.random.default_rng(1).integers(30, 226, (200, 4, 4, 3), dtype=np.uint8)
SHIPPED = Path(ssdbench.__file__).parent / "assets/reference/fashion-mnist-32.effnet-lite0.safetensors"


@pytest.fixture
def reference():
    return make_reference([REAL], toy_network(), "random pixels")


def test_a_saved_reference_measures_the_same(reference, tmp_path):
    save_reference(reference, tmp_path / "r.safetensors")
    loaded = load_reference(tmp_path / "r.safetensors")
    assert (loaded.network, loaded.network_digest, loaded.revision) == ("toy", "0" * 64, 1)
    assert (loaded.data, loaded.count) == ("random pixels", 300)
    assert evaluate([SAMPLES], toy_network(), loaded) == evaluate([SAMPLES], toy_network(), reference)


def test_equal_references_are_equal_files(reference, tmp_path):
    for name in "ab":
        save_reference(reference, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_not_known_stays_unknown(reference, tmp_path):
    bare = replace(reference, network_digest=None, count=None, features=None, radii=None, spatial=None)
    save_reference(bare, tmp_path / "r")
    loaded = load_reference(tmp_path / "r")
    assert (loaded.network_digest, loaded.count, loaded.features, loaded.spatial) == (None, None, None, None)
    loaded.check(toy_network())


def test_the_small_layout_costs_rounding_alone(reference, tmp_path):
    save_reference(reference, tmp_path / "r", "small")
    assert load_file(tmp_path / "r")["features"].dtype == np.float16
    assert "sigma" not in load_file(tmp_path / "r")
    loaded = load_reference(tmp_path / "r")
    assert loaded.features is not None
    np.testing.assert_array_equal(loaded.radii, neighbour_radii(loaded.features))
    exact, rounded = (evaluate([SAMPLES], toy_network(), r).metrics for r in (reference, loaded))
    assert rounded == pytest.approx(exact, rel=1e-3)


def broken(name, change, tmp_path, reference):
    save_reference(reference, tmp_path / "good")
    arrays = load_file(tmp_path / "good")
    described = json.loads(reference.description())
    change(arrays, described)
    save_file(arrays, tmp_path / name, metadata={"ssdbench-reference-1": json.dumps(described)})
    return tmp_path / name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, described: arrays.pop("sigma_s"), "'sigma_s'"),
        (lambda arrays, described: described.pop("data"), "'data'"),
        (lambda arrays, described: described.update(colour=3), "'colour'"),
        (
            lambda arrays, described: arrays.update(mu=arrays["mu"][:4]),
            r"'sigma' has shape \(6, 6\), expected \(4, 4\)",
        ),
        (lambda arrays, described: arrays.update(radii=arrays["radii"][:9]), r"\(9,\) radii"),
        (lambda arrays, described: arrays.update(features=arrays["features"][:, :4]), r"expected \(M, 6\)"),
        (lambda arrays, described: arrays.update(mu=arrays["mu"] * np.nan), "not finite"),
    ],
)
def test_malformed_references_are_refused(change, message, tmp_path, reference):
    with pytest.raises(InputError, match=message):
        load_reference(broken("bad.safetensors", change, tmp_path, reference))


def test_files_that_are_no_references(tmp_path):
    with pytest.raises(InputError, match="there is no reference at"):
        load_reference(tmp_path / "absent")
    (tmp_path / "text").write_text("no tensors here, only words and then some")
    with pytest.raises(InputError, match="is no safetensors file"):
        load_reference(tmp_path / "text")
    save_file({"mu": np.zeros(3)}, tmp_path / "other", metadata={"format": "pt"})
    with pytest.raises(InputError, match="metadata format, expected ssdbench-reference-1"):
        load_reference(tmp_path / "other")


def test_open_reference_reads_both_kinds(reference, tmp_path):
    save_reference(reference, tmp_path / "r.safetensors")
    np.savez(tmp_path / "r.npz", arr_0=REAL)
    network = toy_network()
    ours, adms = (open_reference(tmp_path / name, network) for name in ("r.safetensors", "r.npz"))
    assert evaluate([SAMPLES], network, ours).metrics == evaluate([SAMPLES], network, adms).metrics


@pytest.fixture(scope="module")
def card():
    return json.loads(SHIPPED.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def shipped():
    return load_reference(SHIPPED)


def test_the_shipped_reference_is_the_one_on_its_card(card, shipped):
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() == card["sha256"]
    assert shipped.network_digest == card["network_sha256"] == network_digest("effnet-lite0")
    assert shipped.revision == card["network_revision"]
    assert (shipped.count, shipped.data) == (10_000, card["data"])
    assert shipped.features is not None
    assert shipped.features.shape == (10_000, 1280)


def test_the_shipped_radii_are_those_of_its_features(shipped):
    # Rows 0 to 9 against all, in another way than by products.
    features = shipped.features.astype(np.float64)
    for row in range(10):
        squared = np.sort(((features - features[row]) ** 2).sum(1))
        assert shipped.radii[row] == pytest.approx(squared[3], rel=1e-9)


def test_other_real_images_are_close_to_the_shipped_reference(shipped):
    from ssdbench.data.datasets import load_images

    torch.set_num_threads(1)
    network = load_network("effnet-lite0")
    pixels = load_images("fashion-mnist", 32).pixels[:300]
    found = make_reference([pixels], network, "others")
    wanted = ["precision"]
    assert evaluate([pixels], network, shipped, wanted=wanted).metrics["precision"] > 0.75
    assert evaluate([255 - pixels], network, shipped, wanted=wanted).metrics["precision"] < 0.3
    assert np.abs(found.pooled.mean - shipped.pooled.mean).max() < 1


def test_the_shipped_features_are_those_of_the_images_on_the_card(card, shipped):
    from ssdbench.data.datasets import load_images

    pixels = load_images("fashion-mnist-reference", 32).pixels
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == card["pixels_sha256"]
    images = torch.from_numpy(pixels[:32]).permute(0, 3, 1, 2)
    features = load_network("effnet-lite0")(images).pooled.numpy()
    np.testing.assert_allclose(shipped.features[:32].astype(np.float32), features, rtol=1e-3, atol=1e-3)


def test_the_reference_images_are_the_chosen_ones_of_the_training_split(card):
    from ssdbench.data.datasets import load_images
    from ssdbench.diffusion.noise import shuffled

    try:
        full = load_images("fashion-mnist-full", 32)
    except InputError as error:
        pytest.skip(str(error))
    vendored = load_images("fashion-mnist-reference", 32)
    chosen = np.array(shuffled(60_000, 0, range(10_000)))
    assert len(set(chosen)) == 10_000
    assert hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest() == card["indices_sha256"]
    assert np.array_equal(full.pixels[chosen], vendored.pixels)
    assert np.array_equal(full.labels[chosen], vendored.labels)
