"""Things by name, for any denoiser and any images."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ssdbench
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.metrics.reference import make_reference
from tests.metrics.toy import evaluate, toy_network

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (60, 4, 4, 3), dtype=np.uint8)
REAL = RNG.integers(20, 236, (80, 4, 4, 3), dtype=np.uint8)
SIGMA = 0.5


class Gaussian:
    """The optimal eps of data with mean 0 and variance SIGMA^2, whose probability flow only scales."""

    def __init__(self) -> None:
        self.alphas = alphas_cumprod("linear")
        self.seen: list[int] = []

    def __call__(self, x: torch.Tensor, t: torch.Tensor, cond: object) -> torch.Tensor:
        self.seen.append(int(t[0]))
        a = float(self.alphas[int(t[0])])
        return (1 - a) ** 0.5 * x / (a * SIGMA**2 + 1 - a)


@pytest.mark.parametrize(("name", "within"), [("ddim", 2e-2), ("ab2", 2e-3), ("plms", 2e-3)])
def test_samplers_follow_the_flow_of_a_gaussian(name: str, within: float) -> None:
    denoiser, x = Gaussian(), torch.randn(2, 3, 2, 2, dtype=torch.float64)
    found = ssdbench.sampler(name)(denoiser, x, nfe=200)
    a = float(denoiser.alphas[999])
    expected = x * SIGMA / (a * SIGMA**2 + 1 - a) ** 0.5
    torch.testing.assert_close(found, expected, rtol=within, atol=0)
    assert denoiser.seen == ssdbench.grid("even")(200)[::-1]


def test_flows_walk_from_the_time_of_noise() -> None:
    times: list[float] = []

    def towards_three(x: torch.Tensor, t: torch.Tensor, cond: object) -> torch.Tensor:
        times.append(float(t[0]))  # REPA's direction: 1 is noise, and v = noise - data is (x - 3) / t
        return (x - 3) / t.reshape(-1, 1, 1, 1)

    found = ssdbench.sampler("ddim")(towards_three, torch.randn(2, 1, 2, 2), nfe=5, noise_at=1)
    torch.testing.assert_close(found, torch.full_like(found, 3.0), rtol=0, atol=1e-5)
    assert times == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_wrong_names_and_numbers_are_told() -> None:
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ssdbench.UsageError, match=r"unknown sampler 'dimm'.*ddim"):
        ssdbench.sampler("dimm")
    with pytest.raises(ssdbench.UsageError, match=r"unknown grid 'evn'.*even"):
        ssdbench.grid("evn")
    with pytest.raises(ssdbench.UsageError, match=r"unknown grid 'evn'.*even"):
        ssdbench.sampler("ddim")(Gaussian(), x, nfe=4, grid="evn")
    with pytest.raises(ssdbench.UsageError, match="'ab2' is not for models that predict v"):
        ssdbench.sampler("ab2")(Gaussian(), x, nfe=4, noise_at=0)
    with pytest.raises(
        ssdbench.InputError,
        match=r"must be 4 or 6 for sampler .dpm-solver-2., which takes two evaluations a step, not 5",
    ):
        ssdbench.sampler("dpm-solver-2")(Gaussian(), x, nfe=5)
    with pytest.raises(ssdbench.UsageError, match="unknown schedule 'cosine'"):
        ssdbench.sampler("ddim")(Gaussian(), x, nfe=4, schedule="cosine")  # type: ignore[arg-type]
    with pytest.raises(ssdbench.UsageError, match="'nosuch'"):
        ssdbench.network("nosuch")
    with pytest.raises(ssdbench.InputError, match="'nosuch'"):
        ssdbench.dataset("nosuch", 32)


def test_a_sampler_and_a_data_set_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "api_own.py").write_text(
        "def once(denoiser, x, grid, alphas, cond, end):\n    return denoiser(x, grid[-1], cond)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    x = torch.ones(1, 1, 2, 2)
    sampler = ssdbench.sampler("api_own:once")
    assert torch.equal(sampler(lambda x, t, cond: 2 * x, x, nfe=1, grid="trailing"), 2 * x)
    with pytest.raises(ssdbench.SsdbenchError, match="1 function evaluations where 2 were declared"):
        sampler(lambda x, t, cond: 2 * x, x, nfe=2)
    sys.modules.pop("api_own")
    for index in range(3):
        Image.fromarray(IMAGES[index]).save(tmp_path / f"{index}.png")
    data = ssdbench.dataset(tmp_path, 4)
    np.testing.assert_array_equal(data.pixels[:], IMAGES[:3])
    network = toy_network()
    for given in (data, data.pixels):
        scores = ssdbench.evaluate(given, reference=REAL, network=network)
        assert scores.metrics == ssdbench.evaluate(IMAGES[:3], reference=REAL, network=network).metrics


def tensors() -> torch.Tensor:
    return torch.from_numpy(IMAGES)


@pytest.mark.parametrize(
    "given",
    [
        IMAGES,
        tensors(),
        list(IMAGES),
        [Image.fromarray(image) for image in IMAGES],
        [IMAGES[:7], IMAGES[7:]],
        (torch.from_numpy(batch) for batch in (IMAGES[:50], IMAGES[50:])),
        [*IMAGES[:3], IMAGES[3:30], *IMAGES[30:]],
    ],
    ids=["array", "tensor", "images", "pictures", "batches", "generator", "mixed"],
)
def test_images_in_any_form_give_the_same_metrics(given: object) -> None:
    network = toy_network()
    expected = evaluate([IMAGES], network, make_reference([REAL], network, "real"), intervals=True)
    scores = ssdbench.evaluate(given, reference=REAL, network=network)  # type: ignore[arg-type]
    assert scores.metrics == expected.metrics
    assert scores.intervals == expected.intervals
    assert (scores.samples, scores.reference_samples, scores.network) == (60, 80, "toy")
    assert set(expected.stamps) <= set(scores.notes)
    table = scores.table()
    assert table["value"].to_dict() == {**scores.metrics}
    assert table.loc["fd", "low"] == scores.intervals["fd"].low
    assert f"{scores['fd']:.3f}" in str(scores)


def test_images_from_files_and_only_some_of_them(tmp_path: Path) -> None:
    network = toy_network()
    (tmp_path / "folder").mkdir()
    for index, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"folder/{index:02}.png")
    np.savez(tmp_path / "images.npz", arr_0=IMAGES)
    expected = ssdbench.evaluate(IMAGES[:33], reference=REAL, network=network, metrics=["recall", "fd"])
    assert list(expected.metrics) == ["fd", "recall"]  # in table order
    for place in (tmp_path / "folder", str(tmp_path / "images.npz")):
        found = ssdbench.evaluate(place, reference=REAL, network=network, limit=33, metrics=["fd", "recall"])
        assert found.metrics == expected.metrics
    assert ssdbench.evaluate(iter([IMAGES]), reference=REAL, network=network, limit=33).samples == 33


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype(np.float32), "float32 of shape .*: expected uint8 .*not guessed"),
        (IMAGES.transpose(0, 3, 1, 2), "channels come first"),
        ([IMAGES[0], IMAGES[1][:3]], r"images\[1\]: is \(3, 4, 3\), and those before are \(4, 4, 3\)"),
        ([Image.fromarray(IMAGES[0]).convert("RGBA")], "mode RGBA: expected RGB or L"),
        ([IMAGES[0] / 255.0], r"images\[0\]: float64"),
        ([], "no images"),
        ("no/such/folder", "there is no such file or folder"),
    ],
)
def test_what_is_no_images_is_refused(images: object, message: str) -> None:
    with pytest.raises(ssdbench.InputError, match=message):
        ssdbench.evaluate(images, reference=REAL, network=toy_network())  # type: ignore[arg-type]


def test_a_seed_changes_what_is_drawn_and_nothing_else() -> None:
    network = toy_network()
    many, real = (np.random.default_rng(i).integers(0, 256, (1200, 4, 4, 3), dtype=np.uint8) for i in (3, 4))

    def measured(seed: int | None) -> ssdbench.Scores:
        metrics = ["kid", "fd", "is", "precision", "recall"]
        return ssdbench.evaluate(many, reference=real, network=network, metrics=metrics, seed=seed)

    usual, one, again, other = (measured(seed) for seed in (None, 1, 1, 2))
    assert one == again
    assert one["kid"] != other["kid"]
    for name in ("fd", "is", "precision", "recall"):
        assert one[name] == other[name] == usual[name]
    assert one.intervals["precision"] == other.intervals["precision"]  # of Wilson's formula
    for name in ("is", "recall"):
        assert one.intervals[name] != other.intervals[name]
        assert abs(one.intervals[name].low - other.intervals[name].low) < 0.05
    assert measured(2020)["kid"] == usual["kid"]  # torch-fidelity's
    with pytest.raises(ssdbench.UsageError, match="seed: expected a whole number"):
        measured(-1)


def test_wrong_metrics_and_options_are_refused() -> None:
    network = toy_network()
    for arguments, message in (
        ({"metrics": ["fid"]}, "'fid' is no metric of toy: .*it is called fd"),
        ({"metrics": ["fdd"]}, "'fdd' is no metric"),
        ({"limit": 0}, "limit"),
        ({"resolution": 8}, "arrays are measured as they are"),
    ):
        with pytest.raises(ssdbench.UsageError, match=message):
            ssdbench.evaluate(IMAGES, reference=REAL, network=network, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ssdbench.UsageError, match="unknown device 'tpu'"):
        ssdbench.evaluate(IMAGES, reference=REAL, network="effnet-lite0", device="tpu")
    scores = ssdbench.evaluate(IMAGES[:3], reference=REAL, network=network)
    with pytest.raises(ssdbench.UsageError, match="precision: there is no value: 3 samples"):
        scores["precision"]
    with pytest.raises(ssdbench.UsageError, match="'kid' was not measured"):
        scores["kid"]
    with pytest.raises(ssdbench.InputError, match="at least 1,000"):
        ssdbench.evaluate(IMAGES, reference=REAL, network=network, metrics="kid")
