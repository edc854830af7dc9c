"""A tiny latent diffusion model made on the spot: autoencoder, latents, DiT."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from ssdbench.data.datasets import load_images
from ssdbench.models.checkpoint import save_dit
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape
from ssdbench.models.vae import build_vae, latent_scale
from ssdbench.stages import EncodeSpec, Runtime, Source, encode

SHAPE = DiTShape(width=32, depth=2, heads=2, input_size=8, num_classes=10, learn_sigma=False)
IMAGES = 1000
"""Of Fashion-MNIST, the first that are encoded."""
DATA = Source(digest="d" * 64, path="fashion-mnist")


@dataclass(frozen=True)
class Tiny:
    """Folders of the model, the autoencoder and the latents, and the sources that name them."""

    root: Path

    @property
    def weights(self) -> Source:
        return Source(digest="a" * 64, path=str(self.root / "dit"))

    @property
    def vae(self) -> Source:
        return Source(digest="b" * 64, path=str(self.root / "vae"))

    @property
    def latents(self) -> Path:
        return self.root / "latents"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = Tiny(tmp_path_factory.mktemp("tiny"))
    images = load_images("fashion-mnist", 32)
    vae = build_vae((8, 8, 8), image_channels=1)
    vae.register_to_config(scaling_factor=latent_scale(vae, images.pixels[:100]))
    vae.save_pretrained(found.root / "vae")
    model = DiT(SHAPE)
    for p in model.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.05)
    save_dit(model, found.root / "dit")
    found.latents.mkdir()
    spec = EncodeSpec(dataset="fashion-mnist", data=DATA, resolution=32, images=IMAGES, vae=found.vae)
    (found.root / "scratch").mkdir()
    encode.body(spec, {}, found.latents, Runtime(found.root / "scratch"))
    return found
