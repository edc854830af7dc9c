"""The tables of tensors against the models themselves, built by torch, diffusers and transformers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.described import CLIPConfig, VAEConfig
from ssdbench.models.dit import DiT
from ssdbench.models.headers import Header
from ssdbench.models.shapes import DiTShape, dit_shape
from ssdbench.models.unet import build_unet
from ssdbench.models.unet_shape import UNetShape
from ssdbench.suite.catalog import MODELS

from .sd_toy import SHAPE
from .toy import SHAPES

prepare_torchvision()


def sides(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def told(found: dict[str, Header]) -> dict[str, tuple[int, ...]]:
    return {name: header.shape for name, header in found.items()}


@pytest.mark.parametrize("shape", [*SHAPES, dit_shape("XL", 2), DiTShape(64, 1, 4, mlp_ratio=2.7)])
def test_of_a_dit(shape: DiTShape) -> None:
    with torch.device("meta"):
        model = DiT(shape)
    assert told(shape.tensors()) == sides(model)
    assert list(shape.tensors()) == list(model.state_dict())


SD = MODELS["SD v1.5"].shapes[512]


@pytest.mark.parametrize(
    "shape", [SHAPE, SD, replace(SHAPE, channels=(8, 16, 24), layers=3), MODELS["sd-mini"].shapes[32]]
)
def test_of_a_unet(shape: UNetShape) -> None:
    with torch.device("meta"):
        model = build_unet(shape)
    assert told(shape.tensors()) == sides(model)


# Of the first, published config: what it leaves out is the class's default.
PUBLISHED = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
}


@pytest.mark.parametrize(
    "config",
    [
        {},
        PUBLISHED,
        PUBLISHED | {"block_out_channels": [32, 64, 64, 96], "layers_per_block": 1, "in_channels": 1},
        {"use_quant_conv": False, "use_post_quant_conv": False, "latent_channels": 16},
        {"mid_block_add_attention": False, "block_out_channels": [32]},
    ],
)
def test_of_an_autoencoder(config: dict[str, object]) -> None:
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        model = AutoencoderKL.from_config(config)
    assert told(VAEConfig.model_validate(config).tensors()) == sides(model)


def test_other_blocks_of_an_autoencoder_are_not_known() -> None:
    assert VAEConfig.model_validate(PUBLISHED).plain
    assert not VAEConfig.model_validate(
        PUBLISHED | {"down_block_types": ["AttnDownEncoderBlock2D"] * 4}
    ).plain


@pytest.mark.parametrize(
    "config",
    [
        {},
        {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 3,
            "vocab_size": 9,
            "num_attention_heads": 2,
        },
    ],
)
def test_of_a_text_encoder(config: dict[str, int]) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        model = CLIPTextModel(CLIPTextConfig(**config))
    found = {name.removeprefix("text_model."): shape for name, shape in sides(model).items()}
    assert told(CLIPConfig.model_validate(config).tensors()) == {
        k: v for k, v in found.items() if not k.endswith("position_ids")
    }
