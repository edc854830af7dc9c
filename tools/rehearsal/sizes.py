"""What is smaller than published: widths, depths, numbers of images, and Stable Diffusion's latents.

The catalogue's sizes are replaced in this process alone. All code beyond it takes a model's size from the stage that it
runs, so it does for a stand-in what it does for the published file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from tools.rehearsal.configs import DIT, TEXT, UNET, VAE, Config

from ssdbench.models.shapes import DiTShape, Shape
from ssdbench.models.unet_shape import UNetShape
from ssdbench.suite.catalog import DATASETS, MODELS, REFERENCES

MODELS_HERE = ("DiT-S/2", "DiT-B/2", "DiT-L/2", "DiT-XL/2", "SiT-XL/2", "REPA SiT-XL/2", "SD v1.5")
"""All that Tables 1 to 8 name."""

IMAGES = {"coco-2014-train": 4, "coco-2014": 5, "coco-2017": 4, "imagenet": 6}
REFERENCE_IMAGES = 4  # the fewest that precision and recall can be had of

_CHANNELS, _GROUPS, _TEXT_WIDTH = [8, 8, 16, 16], 8, 16
_LATENT = 32  # Stable Diffusion's: attention over its 64 x 64 positions would take longer than all the rest
_VAE_CHANNELS, _VAE_GROUPS = [4, 4, 8, 8], 4


def shrunken(shape: Shape) -> Shape:
    """A shape with everything that the published one has, but narrower and shallower."""
    if isinstance(shape, UNetShape):
        return replace(
            shape,
            channels=tuple(_CHANNELS),
            layers=1,
            groups=_GROUPS,
            heads=1,
            text_width=_TEXT_WIDTH,
            input_size=_LATENT,
        )
    assert isinstance(shape, DiTShape)
    return replace(shape, width=4 * math.ceil(shape.heads / 4), heads=1, depth=shape.depth // 12)


def shrunken_dit(shape: DiTShape) -> Config:
    """The config of DiT-XL/2 in diffusers, for a narrower and shallower ``shape``."""
    smaller = {"attention_head_dim": shape.width // shape.heads, "num_attention_heads": shape.heads}
    return DIT | smaller | {"num_layers": shape.depth}


def shrunken_unet() -> Config:
    """The UNet's config with all its entries, but for a narrower and shallower one."""
    return UNET | {
        "attention_head_dim": 1,
        "block_out_channels": _CHANNELS,
        "cross_attention_dim": _TEXT_WIDTH,
        "layers_per_block": 1,
        "norm_num_groups": _GROUPS,
        "sample_size": _LATENT,
    }


def shrunken_vae(config: Config) -> Config:
    """An autoencoder's config with all its entries, but for a narrower and shallower one."""
    return config | {
        "block_out_channels": _VAE_CHANNELS,
        "layers_per_block": 1,
        "norm_num_groups": _VAE_GROUPS,
    }


def shrunken_sd_vae() -> Config:
    """Stable Diffusion's, with a level more, for its smaller latents."""
    smaller = shrunken_vae(VAE)
    more = ("block_out_channels", "down_block_types", "up_block_types")
    return smaller | {name: [*smaller[name], smaller[name][-1]] for name in more}


def shrunken_text() -> Config:
    """The text encoder's config, narrower; its vocabulary is the published one's size."""
    smaller = {"hidden_size": _TEXT_WIDTH, "projection_dim": _TEXT_WIDTH, "intermediate_size": 32}
    return TEXT | smaller | {"num_attention_heads": 2, "num_hidden_layers": 2}


@contextmanager
def small_catalogue() -> Iterator[None]:
    """Let the catalogue's names stand for the stand-ins."""
    models: dict[str, Any] = {}
    for name in MODELS_HERE:
        facts = MODELS[name]
        models[name] = replace(facts, shapes={r: shrunken(shape) for r, shape in facts.shapes.items()})
    datasets = {name: replace(DATASETS[name], images=count) for name, count in IMAGES.items()}
    references = {
        name: replace(facts, images=IMAGES.get(name, REFERENCE_IMAGES))
        for name, facts in REFERENCES.items()
        if name.startswith(("coco", "imagenet"))
    }
    with ExitStack() as stack:
        for catalogue, smaller in ((MODELS, models), (DATASETS, datasets), (REFERENCES, references)):
            stack.enter_context(patch.dict(catalogue.builtin, smaller))
        yield
