"""The parts of a pipeline, folders as ``save_pretrained`` names them, and what lies in each. Free of torch."""

from __future__ import annotations

UNET, VAE, TOKENIZER, ENCODER, SCHEDULER = "unet", "vae", "tokenizer", "text_encoder", "scheduler"
PARTS = (UNET, VAE, ENCODER, TOKENIZER, SCHEDULER)
TRANSFORMER = "transformer"  # a DiT pipeline's, where Stable Diffusion has its UNet
INDEX = "model_index.json"

CONFIG = "config.json"
FACTS = "ssdbench.json"
"""Beside a UNet's weights: what a training says of its model. diffusers does not read it."""
