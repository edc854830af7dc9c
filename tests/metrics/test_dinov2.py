"""DINOv2's two ways of reading images, with random weights of the published layout, small in width and depth."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from ssdbench.errors import InputError
from ssdbench.metrics import dinov2, pillow
from ssdbench.metrics.builtin import FD_DINOV2
from ssdbench.metrics.builtin_networks import DINOV2, DINOV2_FIDELITY
from ssdbench.metrics.weights import DINOV2_CODE as CODE
from ssdbench.metrics.weights import DINOV2_TIMM
from ssdbench.metrics.weights import DINOV2_WEIGHTS as WEIGHTS


def published(width: int = 128, depth: int = 2, side: int = 37) -> dict[str, torch.Tensor]:
    """Random tensors with the names and shapes of DINOv2's files, but for width and depth."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + side * side, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for i in range(depth):
        for name, shape in (
            ("norm1.weight", (width,)), ("norm1.bias", (width,)),
            ("attn.qkv.weight", (3 * width, width)), ("attn.qkv.bias", (3 * width,)),
            ("attn.proj.weight", (width, width)), ("attn.proj.bias", (width,)),
            ("ls1.gamma", (width,)), ("norm2.weight", (width,)), ("norm2.bias", (width,)),
            ("mlp.fc1.weight", (4 * width, width)), ("mlp.fc1.bias", (4 * width,)),
            ("mlp.fc2.weight", (width, 4 * width)), ("mlp.fc2.bias", (width,)), ("ls2.gamma", (width,)),
        ):  # fmt: skip
            shapes[f"blocks.{i}.{name}"] = shape
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


def by_hand(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The class token of a pre-norm transformer of heads of 64, written out; positions as they are, no resizing."""
    width = state["cls_token"].shape[-1]

    def affine(name: str, h: torch.Tensor) -> torch.Tensor:
        return h @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, h: torch.Tensor) -> torch.Tensor:
        h = h - h.mean(-1, keepdim=True)
        h = h / (h.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return h * state[f"{name}.weight"] + state[f"{name}.bias"]

    kernel = state["patch_embed.proj.weight"].flatten(1)  # (D, 3 * 14 * 14)
    h = F.unfold(x, 14, stride=14).transpose(1, 2) @ kernel.T + state["patch_embed.proj.bias"]
    h = torch.cat([state["cls_token"].expand(len(x), -1, -1), h], 1) + state["pos_embed"]
    for i in range(2):
        block = f"blocks.{i}"
        q, k, v = affine(f"{block}.attn.qkv", norm(f"{block}.norm1", h)).split(width, -1)
        q, k, v = (part.unflatten(-1, (-1, 64)).transpose(1, 2) for part in (q, k, v))
        mixed = torch.softmax(q @ k.transpose(-1, -2) / 8, -1) @ v
        h = h + state[f"{block}.ls1.gamma"] * affine(f"{block}.attn.proj", mixed.transpose(1, 2).flatten(2))
        inner = affine(f"{block}.mlp.fc1", norm(f"{block}.norm2", h))
        inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
        h = h + state[f"{block}.ls2.gamma"] * affine(f"{block}.mlp.fc2", inner)
    return norm("norm", h)[:, 0]


def test_the_transformer_is_dinov2s() -> None:
    state = published(side=16)
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    found = dinov2.transformer(state, Path("x.pth"))(x)
    torch.testing.assert_close(found, by_hand(state, x), rtol=1e-4, atol=1e-4)


def test_positions_are_resized_with_dinov2s_offset() -> None:
    """By Keys' kernel with a = -3/4 at (i + 1/2) 37 / 16.1 - 1/2: the offset of 0.1 is in the scale."""
    plane = np.random.default_rng(0).normal(size=(37, 37, 3))
    resize = np.zeros((16, 37))
    for i in range(16):
        place = (i + 0.5) * 37 / 16.1 - 0.5
        for j in range(math.floor(place) - 1, math.floor(place) + 3):
            t = abs(place - j)
            near, far = (1.25 * t - 2.25) * t * t + 1, -0.75 * (((t - 5) * t + 8) * t - 4)
            resize[i, min(max(j, 0), 36)] += near if t <= 1 else far
    expected = np.einsum("ia,jb,abd->ijd", resize, resize, plane)
    token = torch.full((1, 1, 3), 7.0)
    found = dinov2.positions(torch.cat([token, torch.from_numpy(plane).float().reshape(1, -1, 3)], 1))
    assert torch.equal(found[:, :1], token)
    np.testing.assert_allclose(found[0, 1:].reshape(16, 16, 3).numpy(), expected, atol=1e-5)


def test_images_are_resized_as_pillow_does() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 300, 260, 3), dtype=np.uint8)
    found = pillow.resized(torch.from_numpy(images).permute(0, 3, 1, 2), 224)
    for own, image in zip(found, images, strict=True):
        expected = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))
        assert np.array_equal(own.permute(1, 2, 0).numpy(), expected)
    grey = torch.full((1, 3, 9, 9), 255.0)
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(dinov2.scaled(grey)[0, :, 0, 0], expected)


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of torch hub and of Hugging Face."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path


def test_weights_are_found_by_path_and_in_both_caches(caches: Path) -> None:
    with pytest.raises(InputError, match=rf"FD-DINOv2 needs .*curl .*{WEIGHTS}.*hf download {DINOV2_TIMM}"):
        dinov2.load_dinov2()
    assert DINOV2.locate is not None
    snapshot = caches / "hf" / f"models--{DINOV2_TIMM.replace('/', '--')}"
    (snapshot / "refs").mkdir(parents=True)
    (snapshot / "refs/main").write_text("a" * 40)
    timms = snapshot / "snapshots" / ("a" * 40) / "model.safetensors"
    timms.parent.mkdir(parents=True)
    timms.write_bytes(b"")
    assert DINOV2.locate() == timms
    hubs = caches / "hub/checkpoints" / WEIGHTS
    hubs.parent.mkdir(parents=True)
    torch.save(published(width=64), hubs)
    assert DINOV2.locate() == hubs
    save_file(published(), caches / "small.safetensors")
    network = dinov2.load_dinov2(caches / "small.safetensors")
    assert network.forward(torch.zeros(1, 3, 4, 4, dtype=torch.uint8)).pooled.shape == (1, 128)
    assert network.input is not None
    save_file({"fc.weight": torch.ones(2, 2)}, caches / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors does not hold the weights of DINOv2"):
        dinov2.load_dinov2(caches / "other.safetensors")


def test_the_authors_way_is_the_metric_and_the_other_has_a_name_of_its_own() -> None:
    assert FD_DINOV2.network == DINOV2.name != DINOV2_FIDELITY.name


class Tiny(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(images, (16, 64))[:, 0].flatten(1)  # (B, 1024)


@pytest.fixture
def hub(caches: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "load", lambda repository, name: Tiny())
    return caches / "hub"


def test_fidelitys_images_are_normalised_and_the_class_token_is_pooled(hub: Path) -> None:
    (hub / CODE).mkdir(parents=True)
    (hub / "checkpoints").mkdir()
    (hub / "checkpoints" / WEIGHTS).write_bytes(b"weights")
    network = dinov2.load_fidelity_dinov2()
    images = torch.full((3, 3, 20, 30), 200, dtype=torch.uint8)
    taps = network(images)
    assert [tuple(tap.shape) for tap in taps] == [(3, 1024), (3, 0), (3, 0)]
    # ImageNet's mean and standard deviation of the red channel.
    torch.testing.assert_close(
        taps.pooled, torch.full((3, 1024), (200 / 255 - 0.485) / 0.229), rtol=1e-4, atol=1e-4
    )


def test_without_code_and_weights_fidelitys_way_says_how_to_get_them(hub: Path) -> None:
    with pytest.raises(InputError, match=r"FD-DINOv2 needs .*facebookresearch_dinov2_main.*torch\.hub\.load"):
        dinov2.load_fidelity_dinov2()
    (hub / CODE).mkdir(parents=True)
    with pytest.raises(InputError, match=r"dinov2_vitl14_pretrain\.pth, which is not here"):
        dinov2.load_fidelity_dinov2()
