"""Sets of images that other programs' users stumbled over, and what is said of where numbers come from."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ssdbench
from ssdbench.errors import InputError
from ssdbench.metrics.inception_score import InceptionScoreStream, inception_score
from ssdbench.metrics.metric import plain
from ssdbench.metrics.networks import FeatureNetwork
from ssdbench.metrics.reference import make_reference
from tests.metrics.toy import toy_network

RNG = np.random.default_rng(0)
REAL = RNG.integers(0, 256, (60, 4, 4, 3), dtype=np.uint8)
SAMPLES = RNG.integers(40, 200, (50, 4, 4, 3), dtype=np.uint8)
NETWORK = toy_network()


def test_copies_of_one_image_have_no_spread() -> None:
    copies = np.repeat(SAMPLES[:1], 30, axis=0)
    scores = ssdbench.evaluate(copies, reference=REAL, network=NETWORK)
    pooled = make_reference([REAL], NETWORK, "real").pooled
    centre = make_reference([copies], NETWORK, "copies").pooled.mean
    apart = ((centre - pooled.mean) ** 2).sum() + np.trace(pooled.covariance)
    assert scores["fd"] == pytest.approx(apart, rel=1e-9)
    assert scores["is"] == pytest.approx(1)
    assert scores["precision"] in (0, 1)
    assert scores["recall"] == 0
    assert all(np.isfinite([*scores.metrics.values()]))
    assert all(low <= scores[key] <= high for key, (low, high, _) in scores.intervals.items())


def test_equal_sets_are_no_distance_apart_and_zero_has_no_sign() -> None:
    scores = ssdbench.evaluate(REAL, reference=REAL, network=NETWORK)
    assert 0 <= scores["fd"] < 1e-9
    assert 0 <= scores["sfd"] < 1e-9
    assert (scores["precision"], scores["recall"]) == (1, 1)
    assert "-0.0" not in str(scores)
    assert (plain(-1e-9, 3), plain(-0.0004, 3), plain(-0.0006, 3)) == ("0.000", "0.000", "-0.001")


def test_sides_swapped_swap_precision_and_recall() -> None:
    one = ssdbench.evaluate(SAMPLES, reference=REAL, network=NETWORK, intervals=False)
    other = ssdbench.evaluate(REAL, reference=SAMPLES, network=NETWORK, intervals=False)
    assert other["fd"] == pytest.approx(one["fd"], rel=1e-9)
    assert (other["precision"], other["recall"]) == (one["recall"], one["precision"])


SPREAD = ["fd", "sfd", "is", "precision", "recall", "density", "coverage", "mind", "vendi"]
ODD = {
    "copies": np.repeat(SAMPLES[:1], 30, axis=0),
    "two": SAMPLES[:2],
    "two alike": np.repeat(SAMPLES[:1], 2, axis=0),
    "equal": REAL,
    "black and white": np.repeat(np.uint8([0, 255]), 8)[:, None, None, None]
    .repeat(48, 1)
    .reshape(16, 4, 4, 3),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ODD)
def test_every_metric_of_odd_sets_is_a_number_within_its_interval_or_is_missing_with_a_reason(
    name: str,
) -> None:
    for samples, real in ((ODD[name], REAL), (REAL, ODD[name]), (ODD[name], ODD[name])):
        scores = ssdbench.evaluate(samples, reference=real, network=NETWORK, metrics=SPREAD)
        assert {*scores.metrics} | {*scores.missing} == {*SPREAD}
        assert {"fd", "is", "mind", "vendi"} <= {*scores.metrics}
        assert "-0.0" not in str(scores)
        for key, value in scores.metrics.items():
            low, high, _ = scores.intervals.get(key, (value, value, ""))
            assert low <= value <= high
            assert np.isfinite([low, high]).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ODD)
def test_odd_sets_are_explained_too(name: str) -> None:
    """Conventions that too few images do not allow are without a value, and nothing else is."""
    found = ssdbench.explain(ODD[name], reference=REAL, network=NETWORK, reported={"fd": "3.1"})
    assert all(np.isfinite([*row.values.values()]).all() for row in found.found.rows)
    assert found.verdict


def test_a_subset_that_is_larger_than_the_set_is_no_value() -> None:
    """KID draws 1,000 without replacement, of either side."""
    many = np.random.default_rng(2).integers(0, 256, (1000, 4, 4, 3), dtype=np.uint8)
    how = {"network": NETWORK, "metrics": ["kid", "is"], "intervals": False}
    few = ssdbench.evaluate(many[:999], reference=many, **how)
    assert (few.missing, [*few.metrics]) == ({"kid": "999 samples: at least 1,000 are needed"}, ["is"])
    other = ssdbench.evaluate(many, reference=many[1:], **how)
    assert other.missing == {"kid": "999 reference images: at least 1,000 are needed"}
    with pytest.raises(InputError, match="999 samples: at least 1,000 are needed"):
        ssdbench.evaluate(many[:999], reference=many, network=NETWORK, metrics=["kid"])


@pytest.mark.parametrize("count", [1, 2, 999, 4999, 5000, 5001, 5002, 10_001])
def test_an_inception_score_of_any_count(count: int) -> None:
    """A chunk of one sample scores 1, whatever it is, and counts as much as a full one."""
    logits = np.random.default_rng(count).normal(0, 2, (count, 5)).astype(np.float32)
    stream = InceptionScoreStream()
    stream.add(logits)
    chunks = [inception_score(logits[start : start + 5000]) for start in range(0, count, 5000)]
    assert stream.result() == pytest.approx(np.mean(chunks), rel=1e-12)
    assert (stream.full, stream.last) == divmod(count, 5000)
    if count % 5000 == 1:
        assert chunks[-1] == pytest.approx(1)


def test_an_uneven_last_chunk_is_told() -> None:
    many = np.random.default_rng(1).integers(0, 256, (5001, 4, 4, 3), dtype=np.uint8)
    told = "IS: the last chunk has 1 of 5,000 samples, and counts as much as a full one"
    how = {"reference": REAL, "network": NETWORK, "metrics": ["is"], "intervals": False}
    assert told in ssdbench.evaluate(many, **how).notes
    assert told not in ssdbench.evaluate(many, limit=5000, **how).notes
    assert told not in ssdbench.evaluate(many, limit=4999, **how).notes


def pictures(folder: Path, images: list[np.ndarray]) -> Path:
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return folder


def no_pass(images: object) -> None:
    raise AssertionError("a pass was begun")


def test_an_image_of_another_size_at_the_end_is_told_before_any_pass(tmp_path: Path) -> None:
    odd = pictures(tmp_path / "odd", [*SAMPLES[:5], np.zeros((4, 5, 3), np.uint8)])
    idle: FeatureNetwork = replace(NETWORK, forward=no_pass)
    message = r"005.png: 5x4 pixels, but \S*000.png has 4x4"
    with pytest.raises(InputError, match=message):
        ssdbench.evaluate(odd, reference=REAL, network=idle)
    with pytest.raises(InputError, match=message):
        ssdbench.evaluate(SAMPLES, reference=odd, network=idle)


def test_an_image_of_another_size_in_an_archive_or_far_below_is_told_too(tmp_path: Path) -> None:
    odd = pictures(tmp_path / "odd", [*SAMPLES[:3]])
    pictures(odd / "z", [np.zeros((5, 4, 3), np.uint8)])
    with tarfile.open(tmp_path / "odd.tar", "w") as archive:
        archive.add(odd, "odd")
    for place in (odd, tmp_path / "odd.tar"):
        with pytest.raises(InputError, match=r"000.png: 4x5 pixels, but \S*000.png has 4x4"):
            ssdbench.evaluate(place, reference=REAL, network=replace(NETWORK, forward=no_pass))


def test_a_folder_of_one_image(tmp_path: Path) -> None:
    one = pictures(tmp_path / "one", [SAMPLES[0]])
    with pytest.raises(InputError, match="1 sample: at least 2 are needed"):
        ssdbench.evaluate(one, reference=REAL, network=replace(NETWORK, forward=no_pass))
    scores = ssdbench.evaluate(SAMPLES, reference=one, network=NETWORK)
    assert [*scores.metrics] == ["is"]
    assert scores.missing["fd"] == "1 reference image: at least 2 are needed"


def statistics(images: np.ndarray, network: FeatureNetwork) -> dict[str, np.ndarray]:
    found = make_reference([images], network, "made")
    assert found.pooled is not None
    assert found.spatial is not None
    pairs = (("mu", "sigma", found.pooled), ("mu_s", "sigma_s", found.spatial))
    return {name: value for a, b, g in pairs for name, value in ((a, g.mean), (b, g.covariance))}


def test_where_statistics_come_from_is_told(tmp_path: Path) -> None:
    network = toy_network(name="inception")
    np.savez(tmp_path / "alone.npz", **statistics(REAL, network))
    np.savez(tmp_path / "same.npz", arr_0=REAL, **statistics(REAL, network))
    np.savez(tmp_path / "other.npz", arr_0=REAL, **statistics(SAMPLES, network))

    def scores(name: str) -> ssdbench.Scores:
        return ssdbench.evaluate(SAMPLES, reference=tmp_path / name, network=network)

    unknown = "alone.npz: its statistics do not say of how many images they are"
    assert [note for note in scores("alone.npz").notes if note.startswith(unknown)]
    assert not any("its statistics" in note for note in scores("same.npz").notes)
    other = scores("other.npz")
    apart = ssdbench.evaluate(SAMPLES, reference=REAL, network=network)["fid"]
    told = f"other.npz: its statistics are not those of its 60 images, but {apart:.4g} from them"
    assert [note for note in other.notes if note.startswith(told)]
    assert other["fid"] == pytest.approx(0, abs=1e-9)
    digest = other.as_dict()["reference"]["digest"]
    assert len(digest) == 64
    assert digest[:12] in str(other)
    assert json.loads(json.dumps(other.as_dict()))["notes"] == [*other.notes]
