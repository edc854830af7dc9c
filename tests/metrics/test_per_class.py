"""The Frechet distance class by class: closed forms, where classes come from, and what is said where they lack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import ssdbench
from ssdbench.data.datasets import FOLDER
from ssdbench.errors import InputError
from ssdbench.metrics.per_class import class_distances, shared_classes
from ssdbench.metrics.reference import Reference, load_reference, make_reference, save_reference
from ssdbench.stages import ReferenceSpec, Runtime, Source, reference
from tests.metrics.toy import toy_network

NETWORK = toy_network()
BOTH = ["fd_per_class", "fd_worst_class"]


def images(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures whose brightness is their class's."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    low = 30 * labels[:, None, None, None]
    return rng.integers(low, low + 120, (count, 4, 4, 3)).astype(np.uint8), labels


SAMPLES, LABELS = images(200, 1)
REAL, CLASSES = images(150, 2)


def given(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Any:
    return SimpleNamespace(pixels=pixels, labels=labels)


def features(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    found = make_reference([pixels], NETWORK, "all").features
    assert found is not None
    return found.astype(np.float64)


def by_hand(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    c, d = (np.cov(rows, rowvar=False) for rows in (a, b))
    shift = a.mean(0) - b.mean(0)
    roots = np.sqrt(np.linalg.eigvals(c @ d).real.clip(0))  # C1 C2 has the eigenvalues of a covariance
    return float(shift @ shift + np.trace(c + d) - 2 * roots.sum())


def measured(samples: Any, reference: Any, **how: Any) -> ssdbench.Scores:
    return ssdbench.evaluate(samples, reference=reference, network=NETWORK, metrics=BOTH, **how)


def test_mean_and_largest_of_the_distances_of_single_classes() -> None:
    x, y = features(SAMPLES), features(REAL)
    each = [by_hand(x[c == LABELS], y[c == CLASSES]) for c in range(3)]
    found = measured(given(SAMPLES, LABELS), given(REAL, CLASSES))
    assert found["fd_per_class"] == pytest.approx(np.mean(each), rel=1e-5)
    assert found["fd_worst_class"] == pytest.approx(max(each), rel=1e-5)
    assert f"the class with the largest distance is {np.argmax(each)}" in found.notes
    for key in BOTH:
        assert found.intervals[key].low < found[key] < found.intervals[key].high


def test_swapped_classes_are_seen_where_the_whole_set_is_perfect() -> None:
    """The set is the reference's, so FD is zero; its images stand under the wrong classes."""
    how = {"network": NETWORK, "metrics": ["fd", *BOTH]}
    right = ssdbench.evaluate(given(REAL, CLASSES), reference=given(REAL, CLASSES), **how)
    wrong = ssdbench.evaluate(given(REAL, (CLASSES + 1) % 3), reference=given(REAL, CLASSES), **how)
    assert right["fd_per_class"] == pytest.approx(0, abs=1e-9)
    assert wrong["fd"] == right["fd"] == pytest.approx(0, abs=1e-9)
    assert wrong["fd_per_class"] > 0.5


def test_one_class_is_the_distance_itself_and_its_interval() -> None:
    one = np.zeros(len(SAMPLES), np.int64), np.zeros(len(REAL), np.int64)
    how = {"network": NETWORK, "metrics": ["fd", *BOTH]}
    found = ssdbench.evaluate(given(SAMPLES, one[0]), reference=given(REAL, one[1]), **how)
    for key in BOTH:
        assert found[key] == pytest.approx(found["fd"], rel=1e-12)
        assert found.intervals[key][:2] == pytest.approx(found.intervals["fd"][:2], rel=1e-9)


def test_the_interval_of_the_mean_is_as_wide_as_the_mean_scatters() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(4000, 3)).astype(np.float32)
    classes = np.arange(4000) % 4
    setup = SimpleNamespace(
        given={"classes": np.arange(400) % 4},
        reference=SimpleNamespace(features=reference, labels=classes),
        intervals=True,
        metric=SimpleNamespace(taps=("pooled",)),
    )
    values, widths = [], []
    for _ in range(150):
        rows = (rng.normal(size=(400, 3)) * 1.3 + 0.4).astype(np.float32)
        setup.rows = lambda tap, rows=rows: SimpleNamespace(all=lambda: rows)
        found = class_distances(setup).compute()["fd_per_class"]
        values.append(found.value)
        widths.append((found.interval.high - found.interval.low) / (2 * 1.96))
    assert np.mean(widths) == pytest.approx(np.std(values, ddof=1), rel=0.15)


def test_classes_of_one_side_and_few_images_are_told() -> None:
    assert shared_classes(np.array([0, 0, 1, 2, 2, 5, 5]), np.array([5, 5, 5, 1, 1, 2])) == [5]
    labels = np.where(LABELS == 2, 7, LABELS)
    found = measured(given(SAMPLES, labels), given(REAL, CLASSES))
    left = "distances by class are without 2 classes (2, 7), which have fewer than 2 samples or 2 reference images"
    assert left in found.notes
    few = np.where(np.arange(len(SAMPLES)) < 5, 4, LABELS), np.where(np.arange(len(REAL)) < 20, 4, CLASSES)
    found = measured(given(SAMPLES, few[0]), given(REAL, few[1]))
    told = "distances by class: 1 class (4) with no more samples or reference images than 6 dimensions"
    assert any(note.startswith(told) for note in found.notes)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """The reference's images in a folder each class, whose names do not sort as text, and an .npz of both sides."""
    for i, (image, label) in enumerate(zip(REAL, CLASSES, strict=True)):
        place = tmp_path / "real" / str(9 + label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
    np.savez(tmp_path / "samples.npz", arr_0=SAMPLES, arr_1=LABELS)
    np.savez(tmp_path / "real.npz", arr_0=REAL, arr_1=CLASSES)
    return tmp_path


def test_classes_come_from_files_folders_and_saved_references(folders: Path, tmp_path: Path) -> None:
    right = measured(given(SAMPLES, LABELS), given(REAL, CLASSES))
    assert measured(folders / "samples.npz", folders / "real.npz").metrics == right.metrics
    by_folder = measured(folders / "samples.npz", folders / "real")  # 9, 10 and 11 are 0, 1 and 2
    assert by_folder["fd_per_class"] == pytest.approx(right["fd_per_class"], rel=1e-6)  # of other batches
    made = make_reference([REAL], NETWORK, "made", labels=CLASSES)
    save_reference(made, tmp_path / "made.safetensors")
    assert np.array_equal(load_reference(tmp_path / "made.safetensors").labels, CLASSES)
    assert measured(folders / "samples.npz", tmp_path / "made.safetensors").metrics == right.metrics


@pytest.mark.parametrize("labels", [True, False])
def test_a_reference_stage_keeps_classes_where_a_metric_asks_for_them(folders: Path, labels: bool) -> None:
    def made(name: str, dataset: str) -> Reference:
        spec = ReferenceSpec(
            dataset=dataset,
            data=Source(digest="d" * 64, path=str(folders / name)),
            resolution=4,
            count=0,
            network="tests.metrics.toy:toy_network",
            weights=Source(digest="0" * 64, path=""),
            labels=labels,
        )
        (output := folders / f"stage-{name}").mkdir()
        reference.body(spec, {}, output, Runtime(output))
        return load_reference(output / "reference.safetensors")

    of_file, of_folder = made("real.npz", reference.FILE), made("real", FOLDER)
    if not labels:
        assert of_file.labels is of_folder.labels is None
        return
    assert np.array_equal(of_file.labels, CLASSES)
    assert np.bincount(of_folder.labels).tolist() == np.bincount(CLASSES).tolist()
    x, y = (measured(given(SAMPLES, LABELS), one)["fd_per_class"] for one in (of_file, of_folder))
    assert x == pytest.approx(y, rel=1e-6)  # in another order


def test_the_classes_are_those_of_the_images_that_are_kept() -> None:
    """Each image's only feature that varies tells its class."""
    labels = np.arange(100) % 3
    pixels = np.repeat(labels.astype(np.uint8) * 40, 48).reshape(100, 4, 4, 3)
    found = make_reference([pixels], NETWORK, "all", keep=30, labels=labels)
    whole = features(pixels)
    for row, label in zip(found.features, found.labels, strict=True):
        assert np.allclose(row, whole[label])


def test_a_reference_without_classes_is_as_it_was(tmp_path: Path) -> None:
    with_, without = (make_reference([REAL], NETWORK, "made", labels=one) for one in (CLASSES, None))
    save_reference(without, tmp_path / "a.safetensors")
    save_reference(replace(with_, labels=None), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert "labels" not in without.arrays("full")


@pytest.mark.parametrize(
    ("samples", "reference", "message"),
    [
        (
            SAMPLES,
            given(REAL, CLASSES),
            r"it needs classes: there is none here \(an .npz with arr_1 says them",
        ),
        (given(SAMPLES, LABELS), REAL, "the reference 'ndarray of images' says no classes"),
        (
            given(SAMPLES, LABELS + 5),
            given(REAL, CLASSES),
            "no class has two samples and two reference images",
        ),
        (given(SAMPLES, LABELS), given(REAL, CLASSES - 1), "says no classes"),  # one without a label
    ],
)
def test_what_lacks_is_said_before_a_pass_over_the_samples(
    samples: Any, reference: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        measured(samples, reference)


def test_labels_that_do_not_fit_are_refused() -> None:
    made = make_reference([REAL], NETWORK, "made")
    with pytest.raises(InputError, match=r"a reference with \(3,\) labels of \(150, 6\) features"):
        replace(made, labels=CLASSES[:3])
    with pytest.raises(InputError, match="a reference whose labels are float64, expected whole numbers"):
        replace(made, labels=CLASSES.astype(float))
