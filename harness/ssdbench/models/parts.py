"""The parts of a Stable Diffusion pipeline, folders as ``save_pretrained`` names them. Free of torch."""

from __future__ import annotations

UNET, VAE, TOKENIZER, ENCODER, SCHEDULER = "unet", "vae", "tokenizer", "text_encoder", "scheduler"
PARTS = (UNET, VAE, ENCODER, TOKENIZER, SCHEDULER)
INDEX = "model_index.json"
