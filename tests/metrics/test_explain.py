"""``explain`` on made sets: the convention that made a figure, each computed here by other means, is named first."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from PIL import Image

import ssdbench
from ssdbench.api.explanation import Explanation
from ssdbench.errors import InputError, UsageError
from ssdbench.metrics import convention_steps as steps
from ssdbench.metrics.conventions import CONVENTIONS, INPUT
from ssdbench.metrics.explain import Reported
from ssdbench.metrics.networks import Dims, FeatureNetwork, Taps
from ssdbench.metrics.taps import Input
from tests.metrics.toy import toy_network

SIDE, OWN, CLASSES = 9, 6, 4
WEIGHTS = np.random.default_rng(5).normal(size=(3 * OWN * OWN, 8)) / 8
HEAD = np.random.default_rng(6).normal(size=(8, 5)) * 2


def images(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Smooth pictures whose brightness and gradient say their class."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(CLASSES, count, p=[0.4, 0.3, 0.2, 0.1])
    ramp = np.linspace(-1, 1, SIDE)
    base = (
        70 + 30 * labels[:, None, None, None] + 25 * ramp[:, None, None] * (labels[:, None, None, None] - 1)
    )
    noise = rng.normal(0, 30, (count, SIDE, SIDE, 3))
    return np.clip(base + noise, 0, 255).astype(np.uint8), labels


def network() -> FeatureNetwork:
    """Reads 6 x 6 pixels by TensorFlow 1's resize and (x - 128) / 128."""
    projection, head = (torch.from_numpy(a).float() for a in (WEIGHTS, HEAD))

    def taps(x: torch.Tensor) -> Taps:
        pooled = torch.relu(x.flatten(1) @ projection)
        return Taps(pooled, logits=pooled @ head)

    how = Input(OWN, steps.tf1, steps.scale_128, taps, torch.arange(5.0))
    return FeatureNetwork(
        "small",
        "0" * 64,
        Dims(8, logits=5),
        lambda pixels: taps(steps.scale_128(steps.tf1(pixels.float(), OWN))),
        batch_size=500,
        input=how,
    )


def tf1(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """TensorFlow 1's bilinear from 9 to 6: every output reads at 1.5 times its index."""
    at = np.arange(OWN) * SIDE / OWN
    low = at.astype(int)
    part = at - low
    x = pixels.astype(np.float64)
    rows = x[:, low] * (1 - part)[:, None, None] + x[:, np.minimum(low + 1, SIDE - 1)] * part[:, None, None]
    high = np.minimum(low + 1, SIDE - 1)
    return rows[:, :, low] * (1 - part)[:, None] + rows[:, :, high] * part[:, None]


def pillow(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pillow's bicubic of each channel in floating point, as clean-fid has it."""
    found = np.empty((len(pixels), OWN, OWN, 3))
    for i, image in enumerate(pixels):
        for c in range(3):
            channel = Image.fromarray(image[..., c].astype(np.float32), mode="F")
            found[i, ..., c] = channel.resize((OWN, OWN), Image.Resampling.BICUBIC)
    return found.clip(0, 255)


def pooled(
    pixels: NDArray[np.uint8], resize: Callable[..., NDArray[np.float64]] = tf1, by: float = 128
) -> NDArray[np.float64]:
    x = (resize(pixels) - by) / by
    return np.maximum(x.transpose(0, 3, 1, 2).reshape(len(x), -1) @ WEIGHTS, 0)


def frechet(a: NDArray[np.float64], b: NDArray[np.float64], ddof: int = 1) -> float:
    c, d = (np.cov(rows, rowvar=False, ddof=ddof) for rows in (a, b))
    shift = a.mean(0) - b.mean(0)
    return float(shift @ shift + np.trace(c + d) - 2 * np.trace(scipy.linalg.sqrtm(c @ d).real))


def score(features: NDArray[np.float64]) -> float:
    p = scipy.special.softmax(features @ HEAD, axis=1)
    return float(np.exp((p * np.log(p / p.mean(0))).sum(1).mean()))


SAMPLES, LABELS = images(400, 1)
REAL, _ = images(300, 2)


def given(pixels: NDArray[np.uint8] = SAMPLES, labels: NDArray[np.int64] = LABELS) -> SimpleNamespace:
    return SimpleNamespace(pixels=pixels, labels=labels)


def explained(reported: dict[str, str] | None, **how: object) -> Explanation:
    return ssdbench.explain(given(), reference=REAL, reported=reported, network=network(), **how)


def balanced(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    least = np.bincount(labels).min()
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:least] for c in range(CLASSES)]))


FIGURES = {
    "resize-clean": lambda: frechet(pooled(SAMPLES, pillow), pooled(REAL, pillow)),
    "scale-127.5": lambda: frechet(pooled(SAMPLES, by=127.5), pooled(REAL, by=127.5)),
    "biased-covariance": lambda: frechet(pooled(SAMPLES), pooled(REAL), ddof=0),
    "half": lambda: frechet(pooled(SAMPLES[:200]), pooled(REAL)),
    "balanced-labels": lambda: frechet(pooled(SAMPLES[balanced(LABELS)]), pooled(REAL)),
    "biased-covariance, scale-127.5": lambda: frechet(
        pooled(SAMPLES, by=127.5), pooled(REAL, by=127.5), ddof=0
    ),
    "half, resize-clean": lambda: frechet(pooled(SAMPLES[:200], pillow), pooled(REAL, pillow)),
    "resize-clean, scale-127.5": lambda: frechet(pooled(SAMPLES, pillow, 127.5), pooled(REAL, pillow, 127.5)),
}


@pytest.mark.parametrize("cause", FIGURES)
def test_the_cause_of_a_figure_is_named_first(cause: str) -> None:
    found = explained({"fd": f"{FIGURES[cause]():.5f}"})
    assert ", ".join(sorted(found.cause)) == cause
    first = found.rows()[1] if "," not in cause else next(r for r in found.rows() if len(r.conventions) > 1)
    assert {one.name for one in first.conventions} == set(found.cause)
    assert first.fits == "digits"
    assert first.values["fd"] == pytest.approx(FIGURES[cause](), rel=1e-5)
    assert all(name in found.verdict for name in found.cause)
    assert "to the last digit" in found.verdict


def test_class_order_is_the_cause_of_a_low_score() -> None:
    """Chunks of 5,000 of 6,000 samples in the order of their classes: the second has few of them."""
    pixels, labels = images(6000, 3)
    features = pooled(pixels)[np.argsort(labels, kind="stable")]
    low = np.mean([score(features[:5000]), score(features[5000:])])
    found = ssdbench.explain(
        given(pixels, labels),
        reference=REAL,
        reported={"is": f"{low:.4f}"},
        network=network(),
        conventions=["shuffled", "ten-parts", "one-part", "half", "balanced-labels", "class-order"],
    )
    assert found.cause == ("class-order",)
    assert found.found.rows[0].values["is"] > low + 0.05


def test_what_is_as_it_is_here_needs_no_explanation() -> None:
    found = explained({"fd": f"{frechet(pooled(SAMPLES), pooled(REAL)):.4f}"})
    assert found.cause == ()
    assert found.verdict.startswith("Nothing to explain")
    assert found.found.pairs_tried == 0


def test_several_figures_are_explained_together() -> None:
    """Half of the samples alone gives FD; IS of the same half agrees."""
    figures = {"fd": f"{FIGURES['half']():.5f}", "is": f"{score(pooled(SAMPLES[:200])):.5f}"}
    found = explained(figures)
    assert found.cause == ("half",)
    wrong = explained(figures | {"is": "4.0"}, pairs=False)
    assert wrong.verdict.startswith("No convention explains it")
    assert all(row.fits == "no" for row in wrong.found.rows)


def test_without_a_figure_rows_come_by_how_far_they_move_a_value() -> None:
    found = explained(None)
    assert found.cause == ()
    assert {*found.found.base.metrics} == {"fd", "is", "precision", "recall"}
    single = found.rows()[1:]
    assert [row.furthest for row in single] == sorted((row.furthest for row in single), reverse=True)
    by = {row.conventions[0].name: row for row in single}
    base = found.found.base
    width = base.intervals["fd"].high - base.intervals["fd"].low
    moved = frechet(pooled(SAMPLES), pooled(REAL), ddof=0) - base.metrics["fd"]
    assert by["biased-covariance"].distances["fd"] == pytest.approx(moved / width, rel=1e-4)
    assert by["biased-covariance"].values["is"] == base.metrics["is"]
    assert by["sides-swapped"].values["precision"] == base.metrics["recall"]
    assert by["sides-swapped"].values["recall"] == base.metrics["precision"]
    assert by["logits-with-bias"].values["is"] != base.metrics["is"]
    assert "resize-tf1" in str(found).partition("moved by nothing here: ")[2].partition("\n")[0]


def test_what_cannot_be_tried_is_said() -> None:
    found = ssdbench.explain(SAMPLES[:, :4, :4], reference=REAL[:, :4, :4], network=toy_network())
    assert found.found.cannot["scale-127.5"] == "the network toy does not say how images become its input"
    assert found.found.cannot["class-order"] == "the classes of the samples are not known"
    assert {one.name for one in CONVENTIONS if {p.step for p in one.parts} & {*INPUT}} <= {
        *found.found.cannot
    }
    assert "not tried: " in str(found)
    data = found.as_dict()
    assert data["not_tried"] == found.found.cannot
    assert data["conventions"][0]["metrics"] == data["metrics"]
    assert next(iter(found.table().index)) == "as here"


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ({"reported": {"fd": "four"}}, UsageError, "'four' is no number"),
        ({"reported": {"fd": "nan"}}, UsageError, "is no number"),
        ({"reported": {"is": "3"}, "metrics": ["fd"]}, UsageError, "it is not measured; measured are fd"),
        ({"conventions": ["halv"]}, UsageError, "unknown convention 'halv'.*did you mean 'half'"),
        ({"metrics": ["fd", "is@garments"]}, UsageError, "is of the network garments"),
        ({"reference": iter([REAL])}, InputError, "reads the images several times"),
    ],
)
def test_requests_that_are_refused(how: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        ssdbench.explain(SAMPLES, **{"reference": REAL, "network": network()} | how)


@pytest.mark.parametrize(
    ("text", "value", "rounding"),
    [
        ("3.39", 3.39, 0.005),
        ("3.390", 3.39, 0.0005),
        ("250", 250, 0.5),
        ("1.5e-3", 0.0015, 5e-5),
        (2.5, 2.5, 0.05),
    ],
)
def test_a_figure_is_as_sharp_as_its_last_digit(text: str | float, value: float, rounding: float) -> None:
    found = Reported.parse(text)
    assert found == (value, pytest.approx(rounding))
    assert found.agrees(value + 0.99 * rounding)
    assert not found.agrees(value + 1.01 * rounding)


def test_every_convention_says_what_it_is() -> None:
    assert len({one.name for one in CONVENTIONS}) == len(CONVENTIONS)
    for one in CONVENTIONS:
        assert one.help
        assert one.cite
        assert one.of or one.step == "reference" or callable(one.load())
        assert bool(one.replaces) == (one.step == "estimator" and not one.of)


def test_float16_distances_are_exact_where_float16_is() -> None:
    """Small whole numbers and their distances are float16: then ADM's rounding changes nothing."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 8, (1200, 6)).astype(np.float32) for _ in range(2))
    from ssdbench.metrics.precision_recall import precision_recall

    setup = SimpleNamespace(
        metric=SimpleNamespace(taps=("pooled",)),
        rows=lambda tap: SimpleNamespace(all=lambda: a),
        reference=SimpleNamespace(features=b),
    )
    found = steps.in_float16(setup).compute()
    assert (found["precision"].value, found["recall"].value) == precision_recall(a, b)[:2]


def test_random_labels_are_drawn_of_balanced_ones() -> None:
    labels = np.arange(1000) % 10
    counts = np.bincount(labels[steps.random_labels(1000, labels)], minlength=10)
    assert counts.max() == 100  # no class has more samples than there are
    assert counts.min() < 100
    uneven = np.repeat([0, 1], [10, 30])
    assert len(steps.random_labels(40, uneven)) == 40
