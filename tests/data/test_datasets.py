import gzip
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import no_home

from ssdbench.data.dataset import fit
from ssdbench.data.datasets import load_images
from ssdbench.data.fashion_mnist import read_idx
from ssdbench.data.places import data_root
from ssdbench.errors import InputError


def test_the_vendored_images_are_fashion_mnists_test_split() -> None:
    images = load_images("fashion-mnist", 32)
    assert images.pixels.shape == (10_000, 32, 32, 1)
    assert np.bincount(images.labels).tolist() == [1000] * 10


def test_training_and_reference_images_are_disjoint() -> None:
    trained, reference = (load_images(name, 28) for name in ("fashion-mnist", "fashion-mnist-reference"))
    assert len(reference) == 10_000
    assert set(np.unique(reference.labels)) == set(range(10))
    seen = {image.tobytes() for image in trained.pixels}
    twins = sum(image.tobytes() in seen for image in reference.pixels)
    assert twins == 0


def test_fitting_pads_and_enlarges_without_interpolation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), dtype=np.uint8)
    small, large = fit(pixels, 32), fit(pixels, 64)
    assert np.array_equal(small[:, 2:-2, 2:-2], pixels)
    assert small.sum() == pixels.sum()
    assert np.array_equal(large[:, ::2, ::2], small)
    assert np.array_equal(large[:, 1::2, 1::2], small)
    with pytest.raises(InputError, match="cannot be fitted to 16"):
        fit(pixels, 16)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\x00\x00\x09\x01\x00\x00\x00\x01x", "expected an IDX file of unsigned bytes"),
        (b"\x00\x00\x08\x02\x00\x00", "header ends"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", "needs 5 bytes of data, found 3"),
    ],
)
def test_malformed_idx_files(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(raw))
    with pytest.raises(InputError, match=message):
        read_idx(path)


def test_a_file_that_is_not_gzip(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(b"plain")
    with pytest.raises(InputError, match="cannot be read as gzip"):
        read_idx(tmp_path / "x.gz")


def test_a_missing_data_set_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSDBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("ssdbench.data.fashion_mnist._DEBIAN", tmp_path)
    with pytest.raises(InputError, match="dataset-fashion-mnist"):
        load_images("fashion-mnist-full", 32)
    with pytest.raises(InputError, match="known: fashion-mnist"):
        load_images("mnist", 32)


def test_where_the_users_data_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSDBENCH_DATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root() == tmp_path / ".local/share/ssdbench"
    no_home(monkeypatch)
    with pytest.raises(InputError, match="no home directory: set SSDBENCH_DATA"):
        data_root()
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg")
    assert data_root() == Path("/xdg/ssdbench")
    monkeypatch.setenv("SSDBENCH_DATA", "/own")
    assert data_root() == Path("/own")
