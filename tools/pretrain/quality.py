"""How good the models are: Frechet distances at several numbers of evaluations, pictures, and the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.metrics.frechet import Gaussian
from ssdbench.models.vae import to_uint8
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import end_of, walked


class Scale:
    """Frechet distances of EfficientNet-Lite0's features; images as uint8 NHWC on the device."""

    def __init__(self, device: torch.device) -> None:
        from ssdbench.metrics.networks import load_network

        self.network, self.device = load_network("effnet-lite0", None, device), device

    def gaussian(self, pixels: Tensor) -> Gaussian:
        """Moments of the features of all images."""
        rows = [self.network(part.permute(0, 3, 1, 2)).pooled.double() for part in pixels.split(1000)]
        features = torch.cat(rows)
        return Gaussian(features.mean(0).cpu().numpy(), torch.cov(features.T).cpu().numpy())


@torch.no_grad()
def decode(vae: Any, latents: Tensor, scale: float) -> Tensor:
    """uint8 NHWC."""
    return torch.cat([to_uint8(vae.decode(part / scale).sample) for part in latents.split(500)])


@torch.no_grad()
def samples(
    model: Any,
    nfe: int,
    conditions: Tensor,
    guidance: float,
    channels: int | None,
    flow: int | None,
    noise: Tensor,
) -> Tensor:
    """Latents by DDIM on the grid even (sd of a text model), or Euler of a flow."""
    denoiser = Guided(model, model.null.to(noise.device), guidance, channels)
    out = []
    for x, cond in zip(noise.split(2500), conditions.split(2500), strict=True):
        if flow is None:
            name = "even" if model.shape.schedule.betas == "linear" else "sd"
            grid = walked(name, nfe, pipeline=model.shape.pipeline)
            out.append(
                ddim(
                    denoiser,
                    x,
                    grid,
                    alphas_cumprod(model.shape.schedule),
                    cond,
                    end_of(name, model.shape.pipeline),
                )
            )
            continue
        for i in range(nfe):
            now, then = (i / nfe, (i + 1) / nfe) if flow == 0 else (1 - i / nfe, 1 - (i + 1) / nfe)
            x = x + (then - now) * denoiser(x, torch.full((len(x),), now, device=x.device), cond)
        out.append(x)
    return torch.cat(out)


def card(folder: Path) -> str:
    """The tables of ``folder/quality.json`` as Markdown."""
    from tabulate import tabulate

    found = json.loads((folder / "quality.json").read_text())
    images = [
        [f"{side} px", found["real images, raw reference"][side], rows["raw"], rows["through"]]
        for side, rows in found["reconstructions"].items()
    ]
    heads = ["", "real images, raw", "reconstructions, raw", "reconstructions, through"]
    guided = {
        name: {k.split()[1]: v for k, v in rows.items() if not k.startswith("1.0 ")}
        for name, rows in found["models"].items()
    }
    nfes = list(next(iter(guided.values())))
    parts = [tabulate(images, heads, tablefmt="github")]
    for which in ("through", "raw"):
        table = [[f"`{name}`", *(rows[n][which] for n in nfes)] for name, rows in guided.items()]
        parts.append(f"Against the reference {which if which == 'raw' else 'through the autoencoder'}:")
        parts.append(tabulate(table, ["FD, guided", *nfes], tablefmt="github"))
    return "\n\n".join(parts)


def grid(images: Tensor, path: Path) -> None:
    """A picture of 40 images."""
    from PIL import Image

    rows = images[..., 0].cpu().numpy().reshape(4, 10, *images.shape[1:3])
    Image.fromarray(rows.transpose(0, 2, 1, 3).reshape(4 * images.shape[1], -1)).save(path)
