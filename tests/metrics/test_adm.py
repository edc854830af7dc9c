import zipfile

import numpy as np
import pytest
from PIL import Image

from ssdbench.errors import InputError
from ssdbench.metrics.npz import NpzArrays, npz_images
from ssdbench.metrics.reference import make_reference
from ssdbench.metrics.references import (
    adm_reference,
    find_reference,
    reference_images,
    save_adm_reference,
)
from tests.metrics.toy import evaluate, toy_network

IMAGES = np.random.default_rng(0).integers(0, 256, (53, 4, 4, 3), dtype=np.uint8)
SAMPLES = np.random.default_rng(1).integers(30, 226, (60, 4, 4, 3), dtype=np.uint8)


def statistics(network_name="inception"):
    reference = make_reference([IMAGES], toy_network(name=network_name), "images")
    pooled, spatial = reference.pooled, reference.spatial
    return {
        "mu": pooled.mean,
        "sigma": pooled.covariance,
        "mu_s": spatial.mean,
        "sigma_s": spatial.covariance,
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("size", [1, 10, 53, 1000])
def test_images_come_in_order_in_blocks(tmp_path, save, size):
    save(tmp_path / "x.npz", arr_0=IMAGES)
    blocks = list(npz_images(tmp_path / "x.npz", size))
    assert max(len(block) for block in blocks) == min(size, 53)
    np.testing.assert_array_equal(np.concatenate(blocks), IMAGES)


def test_images_are_not_read_whole(tmp_path):
    """The first block comes although the file is damaged further on."""
    images = np.random.default_rng(2).integers(0, 256, (500, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", arr_0=images)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    place = data.index(images[400].tobytes())
    data[place] ^= 0xFF  # only the checksum at the end can tell
    (tmp_path / "x.npz").write_bytes(data)
    blocks = npz_images(tmp_path / "x.npz", 10)
    np.testing.assert_array_equal(next(blocks), images[:10])
    with pytest.raises(InputError, match="'arr_0' is damaged after row"):
        list(blocks)


def test_a_reference_with_statistics_and_images(tmp_path):
    network = toy_network(name="inception")
    np.savez(tmp_path / "both.npz", arr_0=IMAGES, **statistics())
    ours = make_reference([IMAGES], network, "both.npz")
    adms = adm_reference(tmp_path / "both.npz", network)
    assert adms.count is None, "the statistics may be of more images than the file holds"
    assert evaluate([SAMPLES], network, adms) == evaluate([SAMPLES], network, ours)


def test_statistics_alone_give_no_precision_and_no_recall(tmp_path):
    network = toy_network(name="inception")
    np.savez(tmp_path / "x.npz", **statistics())
    result = evaluate([SAMPLES], network, adm_reference(tmp_path / "x.npz", network))
    assert list(result.metrics) == ["fid", "sfid", "is"]
    assert set(result.missing) == {"precision", "recall"}


def test_images_alone_give_everything_through_any_network(tmp_path):
    network = toy_network()
    np.savez(tmp_path / "x.npz", arr_0=IMAGES, **statistics())
    reference = adm_reference(tmp_path / "x.npz", network)
    assert (reference.network, reference.count) == ("toy", 53)
    ours = make_reference([IMAGES], network, "x.npz")
    assert evaluate([SAMPLES], network, reference) == evaluate([SAMPLES], network, ours)


def test_of_many_images_some_at_random_serve_precision_and_recall(tmp_path, monkeypatch):
    """The same ones however the reference is stored, and those are saved: never the first, which may be one class."""
    monkeypatch.setattr("ssdbench.metrics.references.REFERENCE_IMAGES", 20)
    network = toy_network()
    np.savez(tmp_path / "x.npz", arr_0=IMAGES)
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"folder/{i:03}.png")
    places = [str(tmp_path / name) for name in ("x.npz", "folder")]
    for place in places:
        reference = find_reference(place, network)
        assert (reference.count, len(reference.features), len(reference.radii)) == (53, 20, 20)
        target = tmp_path / "saved.npz"
        save_adm_reference(reference, target, reference_images(place))
        with np.load(target) as file:
            kept = [int(np.flatnonzero((image == IMAGES).all((1, 2, 3)))[0]) for image in file["arr_0"]]
            features = make_reference([file["arr_0"]], network, "kept").features
            np.testing.assert_allclose(file["features"], features, rtol=0, atol=1e-6)
        assert kept == sorted(set(kept))
        assert len(kept) == 20
        assert max(kept) > 40, "not the first"


def test_statistics_of_inception_do_not_serve_another_network(tmp_path):
    np.savez(tmp_path / "x.npz", **statistics())
    with pytest.raises(InputError, match="found mu, sigma, mu_s, sigma_s, expected 'arr_0'"):
        adm_reference(tmp_path / "x.npz", toy_network())


MALFORMED = {
    "float images": ({"arr_0": IMAGES / 255}, r"'arr_0' is float64 \(53, 4, 4, 3\), expected uint8"),
    "one image": ({"arr_0": IMAGES[0]}, r"'arr_0' is uint8 \(4, 4, 3\), expected uint8 \(N, H, W, C\)"),
    "nchw": ({"arr_0": IMAGES.transpose(0, 3, 1, 2).copy()}, "this looks like NCHW"),
    "none": ({"arr_0": IMAGES[:0]}, r"x\.npz: holds no images: 'arr_0' has shape \(0, 4, 4, 3\)"),
    "no images": ({"samples": IMAGES}, "no array 'arr_0'; found samples"),
    "objects": ({"arr_0": np.array([{}, 1], dtype=object)}, "pickled objects"),
    "fortran": ({"arr_0": np.asfortranarray(IMAGES)}, "Fortran order"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_images_are_refused(tmp_path, case):
    arrays, message = MALFORMED[case]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message):
        list(npz_images(tmp_path / "x.npz"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": None}, "no array 'sigma'; found mu, mu_s, sigma_s"),
        ({"mu_s": None}, "no array 'mu_s'"),
        ({"mu": np.zeros((6, 1))}, r"'mu' is float64 \(6, 1\), expected floating point \(D,\)"),
        ({"sigma_s": np.zeros(4)}, r"'sigma_s' is float64 \(4,\), expected floating point \(D, D\)"),
        ({"mu": np.zeros(6, dtype=int)}, r"'mu' is int64 \(6,\), expected floating point"),
        ({"sigma": np.zeros((5, 5))}, r"'sigma' has shape \(5, 5\), expected \(6, 6\)"),
        ({"sigma": np.full((6, 6), np.inf)}, "not finite"),
    ],
)
def test_malformed_statistics_are_refused(tmp_path, change, message):
    arrays = {key: value for key, value in (statistics() | change).items() if value is not None}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message):
        adm_reference(tmp_path / "x.npz", toy_network(name="inception"))


def test_statistics_of_other_widths_than_the_networks_are_refused(tmp_path):
    arrays = statistics()
    np.savez(tmp_path / "x.npz", **arrays | {"mu": np.zeros(9), "sigma": np.eye(9)})
    with pytest.raises(InputError, match=r"'mu' has shape \(9,\), expected \(6,\)"):
        adm_reference(tmp_path / "x.npz", toy_network(name="inception"))


def test_files_that_are_no_npz(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        NpzArrays(tmp_path / "absent.npz").names()
    (tmp_path / "text.npz").write_text("words")
    with pytest.raises(InputError, match=r"is no .npz file, or it is cut short"):
        NpzArrays(tmp_path / "text.npz").names()
    np.savez(tmp_path / "x.npz", arr_0=IMAGES)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:-500])
    with pytest.raises(InputError, match="it is cut short"):
        list(npz_images(tmp_path / "cut.npz"))


def test_a_member_shorter_than_its_header_says(tmp_path):
    np.save(tmp_path / "arr_0.npy", IMAGES)
    data = (tmp_path / "arr_0.npy").read_bytes()[: -IMAGES[0].size * 3 // 2]
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("arr_0.npy", data)
    with pytest.raises(InputError, match="'arr_0' ends within row 51"):
        list(npz_images(tmp_path / "x.npz"))
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("arr_0.npy", b"no header")
    with pytest.raises(InputError, match="'arr_0' is no array"):
        NpzArrays(tmp_path / "y.npz").header("arr_0")
