"""Configs of published models, as the files have them; the autoencoder's is the published file itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Config = dict[str, Any]

VAE_FILE = Path(__file__).parents[2] / "tests/golden/sd-vae-ft-ema.config.json"
"""``config.json`` of stabilityai/sd-vae-ft-ema and -mse, to the byte."""

_DIFFUSERS = "0.6.0"  # what Stable Diffusion v1.5 was written by


def vae_ft_ema() -> Config:
    """The parsed config of stabilityai/sd-vae-ft-ema: it has no ``scaling_factor``."""
    found: Config = json.loads(VAE_FILE.read_bytes())
    return found


VAE: Config = {**vae_ft_ema(), "_diffusers_version": _DIFFUSERS, "sample_size": 512}
"""``vae/config.json`` of Stable Diffusion v1.5 in its early revisions."""

UNET: Config = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": _DIFFUSERS,
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
}

TEXT: Config = {
    "_name_or_path": "openai/clip-vit-large-patch14",
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "projection_dim": 768,
    "torch_dtype": "float32",
    "transformers_version": "4.22.0.dev0",
    "vocab_size": 49408,
}

SCHEDULER: Config = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": _DIFFUSERS,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}

PIPELINE: Config = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": _DIFFUSERS,
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

DIT: Config = {
    "_class_name": "Transformer2DModel",
    "_diffusers_version": "0.12.0.dev0",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 72,
    "cross_attention_dim": None,
    "dropout": 0.0,
    "in_channels": 4,
    "norm_elementwise_affine": False,
    "norm_num_groups": 32,
    "norm_type": "ada_norm_zero",
    "num_attention_heads": 16,
    "num_embeds_ada_norm": 1000,
    "num_layers": 28,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "out_channels": 8,
    "patch_size": 2,
    "sample_size": 32,
    "upcast_attention": False,
    "use_linear_projection": False,
}
"""``transformer/config.json`` of facebook/DiT-XL-2-256, from before diffusers had a class for it."""

DIT_SCHEDULER: Config = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.12.0.dev0",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "trained_betas": None,
}

DIT_PIPELINE: Config = {
    "_class_name": "DiTPipeline",
    "_diffusers_version": "0.12.0.dev0",
    "id2label": {str(i): f"class {i}" for i in range(1000)},
    "scheduler": ["diffusers", "DDIMScheduler"],
    "transformer": ["diffusers", "Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

_START, _END = "<|startoftext|>", "<|endoftext|>"


def _token(content: str) -> Config:
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}


SPECIAL_TOKENS: Config = {
    "bos_token": _token(_START),
    "eos_token": _token(_END),
    "pad_token": _END,
    "unk_token": _token(_END),
}

TOKENIZER: Config = {
    "add_prefix_space": False,
    "bos_token": {"__type": "AddedToken", **_token(_START)},
    "do_lower_case": True,
    "eos_token": {"__type": "AddedToken", **_token(_END)},
    "errors": "replace",
    "model_max_length": 77,
    "name_or_path": "openai/clip-vit-large-patch14",
    "pad_token": _END,
    "special_tokens_map_file": "./special_tokens_map.json",
    "tokenizer_class": "CLIPTokenizer",
    "unk_token": {"__type": "AddedToken", **_token(_END)},
}


def write(config: Config, path: Path) -> None:
    """Write a config as ``save_pretrained`` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
