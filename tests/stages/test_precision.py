"""Sampling in other precisions and with a compiled model: what changes, how much, and that it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from ssdbench.diffusion.denoiser import Guided
from ssdbench.models import compiled, precision
from ssdbench.models.checkpoint import load_dit
from ssdbench.models.precision import computing, round_products
from ssdbench.stages import Runtime, SampleSpec, sample
from ssdbench.stages.sample import Fused, GuidanceSetting, Sampling

from .conftest import SHAPE, Tiny


def sampled(
    tiny: Tiny, output: Path, *, compile: bool = False, **settings: Any
) -> tuple[dict[str, Tensor], dict]:
    output.mkdir()
    fused = settings.pop("fused", None)
    sampling = Sampling(
        shape=SHAPE,
        weights=tiny.weights,
        sampler="ddim",
        grid="even",
        nfe=5,
        guidance=GuidanceSetting(scale=4.0, channels=3),
        fused=fused,
    )
    spec = SampleSpec(sampling=sampling, resolution=32, vae=tiny.vae, seed=5, start=10, count=20, **settings)
    facts = sample.body(spec, {}, output, Runtime(output, sample_batch=20, compile=compile))
    return load_file(output / "samples.safetensors"), facts


@pytest.fixture(params=["AVX512", "AVX2"])
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that multiplies in bfloat16, and as on one where rounded factors are multiplied in float32."""
    monkeypatch.setattr(precision, "capability", lambda: request.param)


def test_tf32_is_float32_without_such_a_gpu_and_leaves_no_switch_behind(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, facts = sampled(tiny, tmp_path / "a")
    other, _ = sampled(tiny, tmp_path / "b", precision="tf32")
    assert facts == {"nfe": 5}
    assert all(torch.equal(exact[name], other[name]) for name in exact)
    for allowed in (True, False):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
        with computing("cpu", "tf32"):
            assert torch.backends.cuda.matmul.allow_tf32
            assert torch.backends.cudnn.allow_tf32
        with computing("cpu", "float32"):
            assert not torch.backends.cuda.matmul.allow_tf32
            assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.allow_tf32 == allowed
        assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("fused", [False, True])
def test_bfloat16_tells_how_far_its_images_are_off(tiny: Tiny, tmp_path: Path, fused: bool) -> None:
    settings = {"fused": Fused(layers=(1,), w=0.3, pairs=(1, 2), frozen=tiny.weights)} if fused else {}
    exact, _ = sampled(tiny, tmp_path / "a", **settings)
    rounded, facts = sampled(tiny, tmp_path / "b", precision="bfloat16", **settings)
    off = (rounded["images"][:8].double() - exact["images"][:8].double()).square().mean().sqrt()
    assert facts["bfloat16_rms"] == pytest.approx(
        float(off), abs=6e-3
    )  # batches of 8 and 20: pixels round apart
    assert 0 < off < 10
    assert rounded["latents"].dtype == torch.float32
    assert torch.equal(rounded["labels"], exact["labels"])


def test_without_avx_512_products_are_those_of_rounded_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "capability", lambda: "AVX2")
    layer, convolution = nn.Linear(7, 5), nn.Conv2d(3, 4, 3)
    x, image = torch.randn(6, 7), torch.randn(2, 3, 8, 8)

    def near(x: Tensor | None) -> Tensor | None:
        return None if x is None else x.to(torch.bfloat16).float()

    expected = (
        nn.functional.linear(near(x), near(layer.weight), near(layer.bias)),
        nn.functional.conv2d(near(image), near(convolution.weight), near(convolution.bias)),
    )
    round_products(nn.ModuleList([layer, convolution]))
    with computing("cpu", "bfloat16"):
        found = layer(x), convolution(image)
        unrounded = x @ x.T
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    torch.testing.assert_close(unrounded, x @ x.T, rtol=0, atol=0)
    found[0].sum().backward()
    torch.testing.assert_close(
        layer.weight.grad.float(), near(near(x).sum(0)).expand(5, 7), rtol=0.01, atol=0
    )
    with torch.no_grad(), computing("cpu", "bfloat16"):  # by another kernel
        torch.testing.assert_close(layer(x), expected[0], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("processor")
def test_in_bfloat16_only_factors_of_products_are_rounded(tiny: Tiny) -> None:
    """Guidance and the residual stream are float32: less is lost than where the whole model is cast."""
    x, t, cond = torch.randn(16, 4, 8, 8), torch.full((16,), 500), torch.arange(16) % 10
    x = x[:, : SHAPE.in_channels]

    def guided(model: Any) -> Tensor:
        return Guided(lambda *given: model(*given).float(), model.null, 4.0)(x, t, cond)

    mixed, cast = load_dit(Path(tiny.weights.path)), load_dit(Path(tiny.weights.path)).to(torch.bfloat16)
    exact = guided(mixed)
    round_products(mixed)
    assert mixed.pos_embed.dtype == mixed.y_embedder.embedding_table.weight.dtype == torch.float32
    assert mixed.blocks[0].attn.qkv.weight.dtype == torch.bfloat16
    with computing("cpu", "bfloat16"):
        found = guided(mixed)
    whole = Guided(lambda x, t, c: cast(x.to(torch.bfloat16), t, c), cast.null, 4.0)(x, t, cond).float()
    scale = exact.square().mean().sqrt()
    off, worse = ((one - exact).square().mean().sqrt() / scale for one in (found, whole))
    assert 1e-5 < off < 0.02
    assert off < worse


def test_a_compiled_model_gives_the_same_to_rounding(tiny: Tiny, tmp_path: Path) -> None:
    exact, _ = sampled(tiny, tmp_path / "a")
    other, facts = sampled(tiny, tmp_path / "b", compile=True)
    assert facts == {"nfe": 5, "compiled": True}
    torch.testing.assert_close(other["latents"], exact["latents"], rtol=1e-4, atol=1e-4)


def test_what_cannot_be_compiled_runs_as_it_is(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: Tensor) -> Tensor:
        raise TorchDynamoException("no compiler here\nmore of it")

    monkeypatch.setattr(compiled.torch, "compile", lambda model, **options: broken)
    exact, _ = sampled(tiny, tmp_path / "a")
    other, facts = sampled(tiny, tmp_path / "b", compile=True)
    assert facts == {"nfe": 5, "compiled": False}
    assert torch.equal(other["images"], exact["images"])
    assert capsys.readouterr().err == "the model cannot be compiled, and runs as it is: no compiler here\n"
