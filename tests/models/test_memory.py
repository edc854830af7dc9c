"""What plans say of a model's memory is what its forward pass takes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tools.rehearsal.configs import vae_ft_ema
from torch.profiler import ProfilerActivity, profile

from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape, dit_shape
from ssdbench.models.unet import build_unet
from ssdbench.models.unet_shape import UNetShape
from ssdbench.stages.sample import DECODED

prepare_torchvision()


def peak(run: Callable[[], object]) -> int:
    """Bytes that torch holds at once at most while ``run`` runs, beyond what it held before."""
    with torch.inference_mode():
        run()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
            run()
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.parametrize(
    "shape", [replace(dit_shape("S", 2, 64), depth=2), replace(dit_shape("B", 4, 32), depth=1)]
)
def test_a_dit_holds_what_is_told(shape: DiTShape) -> None:
    model = DiT(shape).eval()
    assert shape.weights() == pytest.approx(sum(p.numel() for p in model.parameters()), rel=0.01)
    x = torch.randn(2, 4, shape.input_size, shape.input_size)
    found = peak(lambda: model(x, torch.full((2,), 5), torch.zeros(2, dtype=torch.int64)))
    assert 4 * 2 * shape.held() == pytest.approx(found, rel=0.3)


@pytest.mark.parametrize("channels", [(64, 128, 256, 256), (64, 64, 64)])
def test_a_unet_holds_what_is_told(channels: tuple[int, ...]) -> None:
    shape = UNetShape(channels=channels, layers=2, text_width=64, input_size=32)
    model = build_unet(shape).eval()
    x, texts = torch.randn(1, 4, 32, 32), torch.randn(1, 77, 64)
    found = peak(lambda: model(x, torch.tensor([5]), texts))
    assert 4 * shape.held() == pytest.approx(found, rel=0.3)


def test_the_published_autoencoder_holds_what_is_told() -> None:
    from diffusers import AutoencoderKL

    model = AutoencoderKL.from_config(vae_ft_ema()).eval()
    latents = torch.randn(1, 4, 16, 16)
    found = peak(lambda: model.decode(latents))
    assert pytest.approx(found, rel=0.3) == 128**2 * DECODED


def test_the_published_sizes_have_the_published_numbers_of_weights() -> None:
    # Table 4 of 'Scalable Diffusion Models with Transformers' (Peebles and Xie, 2023): patch 2, millions of parameters.
    for size, millions in {"S": 33, "B": 130, "L": 458, "XL": 675}.items():
        assert dit_shape(size, 2).weights() == pytest.approx(millions * 1e6, rel=0.02)
