"""A Stable Diffusion of a few thousand weights in diffusers' layout, all random."""

import json
from pathlib import Path

import torch
from torch import nn

from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.unet import build_unet
from ssdbench.models.unet_shape import UNetShape
from ssdbench.models.vae import build_vae

prepare_torchvision()

SHAPE = UNetShape(channels=(8, 16), layers=1, text_width=16, text_length=9, heads=2, groups=4, input_size=8)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_pipeline(folder: Path, shape: UNetShape = SHAPE, vae: tuple[int, ...] = (8, 8)) -> Path:
    """A StableDiffusionPipeline: CLIP over single letters, an autoencoder of 3-channel images."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    tokens = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    source = folder.parent / f"{folder.name}-tokenizer"
    source.mkdir(parents=True)
    (source / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (source / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(source, model_max_length=shape.text_length)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=shape.text_width,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=shape.text_length,
            bos_token_id=len(tokens) - 2,
            eos_token_id=len(tokens) - 1,
        )
    )
    for weight in text.parameters():
        nn.init.normal_(weight, std=0.3)
    unet = build_unet(shape)
    for weight in unet.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.15)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon" if shape.prediction == "eps" else "v_prediction",
    )
    pipeline = StableDiffusionPipeline(
        vae=build_vae(vae, image_channels=3),
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder
