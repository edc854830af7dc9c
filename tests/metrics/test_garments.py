"""The classifier that comes with the installation, class accuracy, and metrics of another network than the run's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import ssdbench
from ssdbench.data.datasets import load_images
from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.builtin import CLASS_ACCURACY, FID, IS, PRECISION
from ssdbench.metrics.catalog import (
    METRICS,
    askable,
    chosen,
    find_metric,
    metric_files,
    names_metric,
)
from ssdbench.metrics.evaluate import Part, measure, no_reference
from ssdbench.metrics.features import taps_of
from ssdbench.metrics.garments import GarmentClassifier
from ssdbench.metrics.intervals import share_interval
from ssdbench.metrics.networks import FeatureNetwork, load_network, network_digest
from ssdbench.metrics.reference import make_reference
from ssdbench.metrics.weights import garments_file
from ssdbench.suite import load_suite
from tests.metrics.toy import toy_network


@pytest.fixture(scope="module")
def garments() -> FeatureNetwork:
    return load_network("garments")


def test_the_steps_of_its_input_are_its_forward_pass(garments: FeatureNetwork) -> None:
    how = garments.input
    assert how is not None
    images = torch.randint(
        0, 256, (5, 3, 40, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        found = how.taps(how.scale(how.resize(images.float(), how.size)))
    torch.testing.assert_close(found.pooled, garments(images).pooled)


def test_it_tells_garments_apart_whatever_their_size(garments: FeatureNetwork) -> None:
    for resolution in (28, 32, 64):
        images = load_images("fashion-mnist", resolution)
        logits = np.concatenate([batch.logits for batch in taps_of([images.pixels[:300]], garments)])
        assert (logits.argmax(axis=1) == images.labels[:300]).mean() > 0.9


def test_its_taps_are_the_networks_own(garments: FeatureNetwork) -> None:
    """Against the module called by hand, on grey and on coloured images, whatever the batch."""
    module = GarmentClassifier().eval()
    module.load_state_dict(load_file(garments_file()), strict=False)
    grey = torch.from_numpy(load_images("fashion-mnist", 32).pixels[:20]).permute(0, 3, 1, 2)
    taps = garments(grey)
    with torch.inference_mode():
        expected = module(grey.float() / 127.5 - 1)
        torch.testing.assert_close(taps.logits, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(module.head(taps.pooled), expected, rtol=1e-4, atol=1e-4)
    assert taps.spatial is not None
    assert taps.spatial.shape == (20, 0)
    torch.testing.assert_close(garments(grey[3:4]).pooled, taps.pooled[3:4], rtol=1e-4, atol=1e-4)
    colours = torch.stack([grey[:, 0] // 2, grey[:, 0] // 2, grey[:, 0] // 2], dim=1)
    torch.testing.assert_close(garments(colours).logits, garments(grey // 2).logits)
    assert garments.digest == network_digest("garments")


def test_other_weights_are_refused(tmp_path: Path) -> None:
    state = load_file(garments_file())
    path = tmp_path / "w.safetensors"
    with pytest.raises(InputError, match="are not at"):
        load_network("garments", path)
    for broken, message in (
        ({name: value for name, value in state.items() if name != "head.bias"}, "head.bias"),
        (state | {"other.weight": torch.zeros(1)}, "other.weight"),
        (state | {"head.weight": torch.zeros(11, 128)}, "size mismatch"),
    ):
        save_file(broken, path)
        with pytest.raises(InputError, match=message):
            load_network("garments", path)


def test_class_accuracy_is_the_share_of_the_labels_that_are_told() -> None:
    network = replace(toy_network(), classes=("pixels",))
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (203, 4, 4, 3), dtype=np.uint8)
    logits = np.concatenate([batch.logits for batch in taps_of([samples], network)])
    labels = logits.argmax(axis=1)
    labels[:51] = (labels[:51] + 1) % 5  # these alone are wrong
    part = Part(network, no_reference(network), (CLASS_ACCURACY,))
    result = measure(np.array_split(samples, 7), [part], given={"labels": labels}, intervals=True)
    assert result.metrics == {"class_accuracy": 152 / 203}
    assert result.intervals == {"class_accuracy": share_interval(152 / 203, 203)}
    with pytest.raises(InputError, match="labels from 0 to 5: toy knows the classes 0 to 4"):
        measure([samples], [part], given={"labels": np.arange(203) % 6})


def test_without_labels_or_classes_it_is_missing() -> None:
    network = toy_network()
    samples = np.zeros((9, 4, 4, 3), dtype=np.uint8)
    part = Part(network, no_reference(network), (CLASS_ACCURACY,))
    result = measure([samples], [part], given={"labels": np.zeros(9, dtype=int)})
    assert "the logits of the network toy are no classes" in result.missing["class_accuracy"]
    part = replace(part, network=replace(network, classes=("pixels",)))
    assert "it needs labels" in measure([samples], [part]).missing["class_accuracy"]


def test_a_metric_under_another_network_says_so() -> None:
    of_garments = find_metric("is@garments")
    assert (of_garments.network, of_garments.name, of_garments.output) == ("garments", "is@garments", "is")
    assert of_garments.header("effnet-lite0") == "IS(garments) ↑"
    assert not of_garments.standard
    assert find_metric("fid@garments") == find_metric("fd@garments")
    assert find_metric("fid@garments").header("inception") == "FD(garments) ↓"
    assert find_metric("fid@inception").header("effnet-lite0") == "FID(inception) ↓"
    assert find_metric("is@inception").format(215.84, "garments") == IS.format(215.84, "inception")
    assert find_metric("precision@garments").header("effnet-lite0") == "Prec.(garments) ↑"
    asked = chosen(["class_accuracy@garments", "recall", "is@garments", "kid@garments", "is", "fd"])
    assert [metric.name for metric in asked] == [
        "fid",
        "is",
        "is@garments",
        "recall",
        "kid@garments",
        "class_accuracy@garments",
    ]
    for name in askable():
        assert names_metric(name)
        assert find_metric(name).key("garments") in (name, FID.key("garments"), "sfd"), name
        assert metric_files(name) == ()
    assert METRICS.find("is@garments") is None


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("is@garment", UsageError, "unknown feature network 'garment'"),
        ("iss@garments", UsageError, "'iss' is no metric"),
        ("fd-dinov2@garments", InputError, "fd-dinov2 is of the network dinov2 alone"),
        ("is@garments@garments", UsageError, "unknown feature network 'garments@garments'"),
        ("is@no.such:NETWORK", InputError, "cannot be found"),
    ],
)
def test_names_that_are_none(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        find_metric(name)


SUITE = """suite: t
title: t
layout: plain
defaults: {model: dit-mini, nfe: 10, resolution: 32}
runs:
  - variant: base
    eval: {samples: 20, reference: fashion-mnist, network: effnet-lite0, metrics: [METRIC]}
"""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("is@garment", r"'is@garment' \(did you mean 'is@garments'\?\)"),
        ("fd-dinov2@garments", "unknown metric 'fd-dinov2@garments'"),
        ("trajectory@garments", "unknown metric 'trajectory@garments'"),
        ("'my.module:METRIC@garment'", "unknown metric 'my.module:METRIC@garment'"),
    ],
)
def test_a_suites_wrong_names_are_told_where_they_stand(tmp_path: Path, name: str, hint: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(SUITE.replace("METRIC", name))
    with pytest.raises(UsageError, match=rf"t.yaml:7:\d+: .*{hint}"):
        load_suite(path)


@pytest.mark.parametrize("name", ["fid@garments", "'my.module:METRIC@garments'", "'is@my.module:NETWORK'"])
def test_a_suites_names_of_metrics_under_other_networks(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(SUITE.replace("METRIC", name))
    assert load_suite(path).runs[0].eval.metrics == (name.strip("'"),)


def test_networks_beside_each_other_read_the_images_once(garments: FeatureNetwork) -> None:
    images = load_images("fashion-mnist", 32)
    real, samples, labels = images.pixels[:60], images.pixels[60:200], images.labels[60:200]
    read = 0

    def batches() -> Iterator[np.ndarray]:
        nonlocal read
        for batch in np.array_split(samples, 3):
            read += len(batch)
            yield batch

    toy = replace(toy_network(), name="other", forward=lambda x: toy_network().forward(x[:, :, ::8, ::8]))
    parts = [
        Part(toy, make_reference([real], toy, "real"), (FID, PRECISION)),
        Part(garments, no_reference(garments), chosen(["is@garments", "class_accuracy@garments"])),
    ]
    result = measure(batches(), parts, given={"labels": labels}, intervals=True)
    assert read == len(samples)
    assert result.metrics.keys() == {"fd", "precision", "is@garments", "class_accuracy@garments"}
    assert result.metrics["class_accuracy@garments"] > 0.9
    assert 5 < result.metrics["is@garments"] <= 10
    assert result.network == "other"


def test_the_interface_measures_by_both(garments: FeatureNetwork) -> None:
    asked = ["fd", "is@garments", "class_accuracy@garments"]
    scores = ssdbench.evaluate(
        "fashion-mnist", reference="fashion-mnist", network="effnet-lite0", resolution=32, limit=80, metrics=asked
    )  # fmt: skip
    images = load_images("fashion-mnist", 32)
    part = Part(garments, no_reference(garments), chosen(asked[1:]))
    alone = measure([images.pixels[:80]], [part], given={"labels": images.labels[:80]}, intervals=True)
    assert list(scores.metrics) == asked
    assert {name: scores.metrics[name] for name in asked[1:]} == alone.metrics
    assert {name: scores.intervals[name] for name in asked[1:]} == alone.intervals
