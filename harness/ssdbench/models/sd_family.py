"""Stable Diffusion's UNets of texts: the family and the models of it. Free of torch."""

from __future__ import annotations

from ssdbench.models.family import Family, Model
from ssdbench.models.unet_shape import UNetShape

SD = Family(
    name="sd",
    title="Stable Diffusion",
    help="UNets of embedded texts, in diffusers' folders or the published code's files",
    cite="Rombach et al., 2022, High-Resolution Image Synthesis with Latent Diffusion Models",
    body="ssdbench.models.unet:load_unet_denoiser",
    find="ssdbench.models.unet_files:find_unet",
    save="ssdbench.models.unet:save_unet_denoiser",
    shape=UNetShape,
    adapts=True,
    second_time=True,
)

_NAME = "stable-diffusion-v1-5"
_HINT = (
    "get it from the Hugging Face hub:"
    f" `ssdbench convert hub:{_NAME}/{_NAME} -o {{data}}/weights/{_NAME} --to stable-diffusion`; or put your own"
    " pipeline there, as save_pretrained writes it"
)

SD_V15 = Model(
    name="SD v1.5",
    help="Stable Diffusion v1.5 with its own autoencoder and CLIP text encoder",
    cite=SD.cite,
    family=SD,
    shapes={512: UNetShape(channels=(320, 640, 1280, 1280), layers=2, text_width=768)},
    weights={512: f"file:{_NAME}/unet"},
    hint=_HINT,
    vae=f"file:{_NAME}/vae",
    vae_hint=_HINT,
    text=f"file:{_NAME}",
    dataset="coco-2014-train",
)

MODELS = (
    Model(
        name="sd-mini",
        help="text-conditional latent UNet (widths 32 and 64) on Fashion-MNIST with captions",
        cite=SD.cite,
        family=SD,
        shapes={
            32: UNetShape(
                channels=(32, 64), layers=1, text_width=64, text_length=12, heads=4, groups=8, input_size=8
            )
        },
        weights={32: "package:weights/sd-mini-32"},
        hint="`ssdbench run pretrain-mini-text` trains it",
        vae="package:weights/vae-mini",
        text="package:weights/text-mini",
        dataset="fashion-captions",
    ),
    SD_V15,
)
