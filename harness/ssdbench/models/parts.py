"""Where weights lie: the parts of a pipeline and what is in each, and the sets in a file. Free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

UNET, VAE, TOKENIZER, ENCODER, SCHEDULER = "unet", "vae", "tokenizer", "text_encoder", "scheduler"
PARTS = (UNET, VAE, ENCODER, TOKENIZER, SCHEDULER)
TRANSFORMER = "transformer"  # a DiT pipeline's, where Stable Diffusion has its UNet
INDEX = "model_index.json"

CONFIG = "config.json"
FACTS = "ssdbench.json"
"""Beside weights in diffusers' layout: what a training, or who wrote them, says of them. diffusers does not read it."""
FITTED = "fitted_to"
"""In :data:`FACTS`: the timesteps at which the model is to be sampled by diffusers, and nowhere else."""


class Place(NamedTuple):
    """A folder or file of weights, and which set of a file that holds several; see :mod:`ssdbench.models.choosing`."""

    path: Path
    part: str = ""
