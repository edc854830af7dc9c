"""Where memory is short, batches are halved; where a number is not finite, sampling stops and says where."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from ssdbench.errors import NotFinite, StageFailed
from ssdbench.models.dit import DiT
from ssdbench.stages import EncodeSpec, Runtime, SampleSpec, encode, sample
from ssdbench.stages.denoising import halving
from ssdbench.stages.sample import Copying, Fused, GuidanceSetting, Sampling

from .conftest import DATA, IMAGES, SHAPE, Tiny


@settings(deadline=None)
@given(count=st.integers(1, 200), size=st.integers(1, 120), fits=st.integers(1, 130), start=st.integers(0, 9))
def test_every_index_comes_once_in_order_and_few_tries_are_lost(
    count: int, size: int, fits: int, start: int
) -> None:
    lost: list[int] = []

    def produce(batch: range) -> list[int]:
        if len(batch) > fits:
            lost.append(len(batch))
            raise torch.cuda.OutOfMemoryError
        return list(batch)

    found = list(halving(produce, range(start, start + count), size))
    assert [index for _, part in found for index in part] == list(range(start, start + count))
    assert all(list(batch) == part for batch, part in found)
    assert lost == sorted(set(lost), reverse=True)  # no size is tried again
    largest = max(len(part) for _, part in found)
    assert min(size, count, fits) / 2 < largest <= fits


def test_one_that_does_not_fit_is_an_error() -> None:
    def produce(batch: range) -> None:
        raise torch.cuda.OutOfMemoryError("tried to allocate 2 GiB")

    with pytest.raises(StageFailed, match="out of memory with one sample at a time: tried to allocate 2 GiB"):
        list(halving(produce, range(3), 3))


def test_another_error_is_not_taken_for_it() -> None:
    def produce(batch: range) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        list(halving(produce, range(3), 3))


def sampled(tiny: Tiny, output: Path, **settings: object) -> dict[str, Tensor]:
    output.mkdir()
    spec = SampleSpec(
        sampling=Sampling(
            shape=SHAPE,
            weights=tiny.weights,
            sampler="ddim",
            grid="even",
            nfe=3,
            guidance=GuidanceSetting(scale=1.5, channels=3),
            **settings,
        ),
        resolution=32,
        vae=tiny.vae,
        seed=5,
        start=7,
        count=21,
    )
    sample.body(spec, {}, output, Runtime(output))
    return load_file(output / "samples.safetensors")


@pytest.mark.parametrize("fused", [False, True])
def test_samples_do_not_change_where_memory_is_short(
    tiny: Tiny,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fused: bool,
) -> None:
    frozen = Fused(layers=(0, 1), w=0.3, pairs=(1, 2), frozen=tiny.weights) if fused else None
    whole = sampled(tiny, tmp_path / "whole", fused=frozen)
    assert capsys.readouterr().err == ""
    plain, calls = DiT.forward, []

    def forward(self: DiT, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        if len(x) > 12 and len(calls) >= 1:  # guidance doubles a batch; the first call of all still fits
            raise torch.cuda.OutOfMemoryError
        calls.append(len(x))
        return plain(self, x, t, y)

    monkeypatch.setattr(DiT, "forward", forward)
    short = sampled(tiny, tmp_path / "short", fused=frozen)
    assert max(calls[1:]) <= 12
    assert capsys.readouterr().err == "out of memory with 21 samples at a time: going on with 6\n"
    assert torch.equal(short["labels"], whole["labels"])
    torch.testing.assert_close(short["latents"], whole["latents"], rtol=1e-4, atol=1e-4)
    assert (short["images"].int() - whole["images"].int()).abs().max() <= 1


def test_a_prediction_that_is_not_finite_stops_at_its_evaluation(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, times = DiT.forward, []

    def forward(self: DiT, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        out = plain(self, x, t, y)
        times.append(int(t[0]))
        if times[-1] == 500:
            out[[2, 20], 1] = torch.inf
        return out

    monkeypatch.setattr(DiT, "forward", forward)
    with pytest.raises(
        NotFinite,
        match=r"predictions eps of samples 9, 27 are not finite at time 500, evaluation 2 of 3",
    ):
        sampled(tiny, tmp_path / "out")
    assert times == [999, 500]


@pytest.fixture
def broken_vae(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import AutoencoderKL

    decode, encode_ = AutoencoderKL.decode, AutoencoderKL.encode

    def overflowing(self: AutoencoderKL, z: Tensor, **rest: object) -> object:
        found = decode(self, z, **rest)
        found.sample[3, 0, 5, 5] = torch.nan
        return found

    def encoding(self: AutoencoderKL, x: Tensor, **rest: object) -> object:
        found = encode_(self, x, **rest)
        found.latent_dist.mean[7] = torch.inf
        return found

    monkeypatch.setattr(AutoencoderKL, "decode", overflowing)
    monkeypatch.setattr(AutoencoderKL, "encode", encoding)


@pytest.mark.usefixtures("broken_vae")
def test_pixels_that_are_not_finite_are_not_written_as_black(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(NotFinite, match="the decoded pixels of samples 10 are not finite"):
        sampled(tiny, tmp_path / "out")


@pytest.mark.usefixtures("broken_vae")
def test_latents_of_images_that_are_not_finite_are_not_trained_on(tiny: Tiny, tmp_path: Path) -> None:
    spec = EncodeSpec(dataset="fashion-mnist", data=DATA, resolution=32, images=IMAGES, vae=tiny.vae)
    with pytest.raises(NotFinite, match="the means of the latents of images 7, 32, 57, 82 are not finite"):
        encode.body(spec, {}, tmp_path, Runtime(tmp_path))
    assert not list(tmp_path.iterdir())


def test_samples_do_not_depend_on_the_batch(tiny: Tiny, tmp_path: Path) -> None:
    """Bit for bit on a CPU, a lone sample included: the autoencoder's batches are filled up."""
    for scale in (1.0, 1.5):
        how = Sampling(
            shape=SHAPE,
            weights=tiny.weights,
            sampler="ddim",
            grid="even",
            nfe=3,
            guidance=GuidanceSetting(scale=scale),
        )
        spec = SampleSpec(sampling=how, resolution=32, vae=tiny.vae, seed=5, start=0, count=15)
        found = []
        for batch in (None, 1, 2, 7):
            output = tmp_path / f"{scale} {batch}"
            output.mkdir()
            sample.body(spec, {}, output, Runtime(output, sample_batch=batch))
            found.append(load_file(output / "samples.safetensors"))
        for other in found[1:]:
            assert torch.equal(other["latents"], found[0]["latents"])
            assert torch.equal(other["images"], found[0]["images"])


def test_reconstructions_do_not_depend_on_the_batch(tiny: Tiny, tmp_path: Path) -> None:
    copying = Copying(dataset="fashion-mnist", data=DATA, reconstruct=True)
    spec = SampleSpec(copying=copying, resolution=32, vae=tiny.vae, seed=5, start=0, count=9)
    found = []
    for batch in (None, 1, 4):
        output = tmp_path / str(batch)
        output.mkdir()
        sample.body(spec, {}, output, Runtime(output, sample_batch=batch))
        found.append(load_file(output / "samples.safetensors")["images"])
    assert torch.equal(found[1], found[0])
    assert torch.equal(found[2], found[0])
