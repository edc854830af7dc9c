"""What each training minimises: the autoencoder, its decoder once more, the classifier, the denoisers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from drawing import Images, Latents, draw
from job import Job
from torch import Tensor, nn

from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.methods.denoising_loss import similarity
from ssdbench.training.fusion import block_points, recording


def reconstruction_loss(images: Tensor, x: Tensor) -> Tensor:
    """Absolute and squared error, and absolute error of pixel differences, as the package's ``reconstruction_loss``."""
    error = images.float() - x
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + error.square().mean() + edges


class Discriminator(nn.Module):
    """Patches of images: real or decoded (Isola et al., 2017)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.GroupNorm(8, 2 * width), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, 1, 1), nn.GroupNorm(8, 4 * width), nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 1, H / 4, W / 4)."""
        return self.layers(x)  # type: ignore[no-any-return]


def mixed(device: torch.device) -> torch.autocast:
    """bfloat16 where the device is fast at it; no cache, which a graph would keep stale."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False)


def decoded(vae: Any, x: Tensor, g: torch.Generator, frozen_encoder: bool) -> tuple[Tensor, Tensor]:
    """Reconstructions through a draw of the posterior, and the mean KL."""
    with torch.set_grad_enabled(not frozen_encoder):
        posterior = vae.encode(x).latent_dist
        z = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=g, device=x.device)
        kl = (
            0.5
            * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar).float().sum((1, 2, 3)).mean()
        )
    return vae.decode(z).sample, kl


def autoencoder_job(vae: Any, data: Images, batch: int, g: torch.Generator, kl_weight: float) -> Job:
    """Both resolutions in every step."""

    def loss() -> Tensor:
        total = torch.zeros((), device=g.device)
        for resolution, count in ((32, batch), (64, batch // 4)):
            x = data.at(draw(count, len(data.pixels), g), resolution).contiguous(
                memory_format=torch.channels_last
            )
            with mixed(g.device):
                out, kl = decoded(vae, x, g, False)
            # 64-pixel latents have four times as many dimensions, and their KL as many addends
            total = total + reconstruction_loss(out, x) + kl_weight * kl * (32 / resolution) ** 2
        return total

    return Job("vae", list(vae.parameters()), loss, g, lr=1e-3, warmup=500, ema=0.9995)


def decoder_job(
    vae: Any, classifier: Any, data: Images, batch: int, g: torch.Generator, share: float, weight: float
) -> Job:
    """The decoder once more, its encoder frozen, with a discriminator (hinge loss; weights as in latent diffusion).

    At 32 pixels the classifier's last feature maps are to agree too: a perceptual loss in the data's own domain.
    """
    parts = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    critic = Discriminator().to(g.device)
    critic_parameters = list(critic.parameters())
    rate = 2e-4
    optimiser = torch.optim.AdamW(
        critic_parameters,
        lr=torch.tensor(rate, device=g.device),
        betas=(0.5, 0.9),
        weight_decay=0.0,
        capturable=g.device.type == "cuda",
    )
    last = vae.decoder.conv_out.weight
    seen: list[tuple[Tensor, Tensor]] = []

    def loss() -> Tensor:
        seen.clear()
        pixels = adversarial = torch.zeros((), device=g.device)
        for resolution, count in ((32, batch), (64, batch // 4)):
            x = data.at(draw(count, len(data.pixels), g), resolution).contiguous(
                memory_format=torch.channels_last
            )
            with mixed(g.device):
                out, _ = decoded(vae, x, g, True)
            out = out.float()
            pixels = pixels + reconstruction_loss(out, x)
            if resolution == 32:
                with mixed(g.device):
                    seen_by, wanted = classifier.features(out), classifier.features(x)
                pixels = pixels + 0.1 * F.mse_loss(seen_by.float(), wanted.float())
            with mixed(g.device):
                adversarial = adversarial - critic(out).float().mean()
            seen.append((x, out.detach()))
        by_pixels = torch.autograd.grad(pixels, last, retain_graph=True)[0]
        by_critic = torch.autograd.grad(adversarial, last, retain_graph=True)[0]
        balance = (by_pixels.norm() / (by_critic.norm() + 1e-4)).clamp(0, 1e3).detach()
        return pixels + weight * balance * adversarial

    def after() -> None:
        total = torch.zeros((), device=g.device)
        for x, out in seen:
            with mixed(g.device):
                real, fake = critic(x).float(), critic(out).float()
            total = total + F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        for p, gradient in zip(critic_parameters, torch.autograd.grad(total, critic_parameters), strict=True):
            p.grad = gradient
        optimiser.step()

    return Job("decoder", parts, loss, g, share=share, lr=2e-4, warmup=500, ema=0.9995, after=after)


def classifier_job(network: nn.Module, data: Images, batch: int, g: torch.Generator, share: float) -> Job:
    """Cross-entropy on images that are shifted by up to two pixels and scaled by up to a tenth."""

    def loss() -> Tensor:
        index = draw(batch, len(data.pixels), g)
        x = data.at(index, 32)
        u = torch.rand((batch, 3), generator=g, device=g.device) * 2 - 1
        theta = torch.zeros(batch, 2, 3, device=g.device)
        theta[:, 0, 0] = theta[:, 1, 1] = 1 + 0.1 * u[:, 0]
        theta[:, :, 2] = u[:, 1:] * (2 / 16)
        moved = (
            F.grid_sample(
                x + 1, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False
            )
            - 1
        )
        with mixed(g.device):
            logits = network(moved)
        return F.cross_entropy(logits.float(), data.labels[index])

    return Job(
        "classifier",
        list(network.parameters()),
        loss,
        g,
        share=share,
        lr=2e-3,
        warmup=500,
        weight_decay=0.05,
        ema=0.0,
    )


def denoiser_job(
    name: str, model: Any, latents: Latents, conditions: Tensor, table: Tensor | None, null: Tensor, batch: int,
    g: torch.Generator, *, flow: int | None, share: float, lr: float, align: tuple[Tensor, nn.Module] | None = None,
) -> Job:  # fmt: skip
    """Eq. 3 (or flow matching) with the condition dropped with probability 0.1, and REPA's alignment if given."""
    levels = alphas_cumprod(model.shape.schedule).float().to(g.device)
    parameters = [p for p in model.parameters() if p.requires_grad]

    def loss() -> Tensor:
        index = draw(batch, len(latents.mean), g)
        x0 = latents.draw(index, g)
        eps = torch.randn(x0.shape, generator=g, device=g.device)
        if flow is None:
            t = draw(batch, len(levels), g)
            a = levels[t].reshape(-1, 1, 1, 1)
            x_t, target = a.sqrt() * x0 + (1 - a).sqrt() * eps, eps
        else:
            t = torch.rand((batch,), generator=g, device=g.device)
            sigma = (t if flow else 1 - t).reshape(-1, 1, 1, 1)
            x_t, target = (1 - sigma) * x0 + sigma * eps, (eps - x0 if flow else x0 - eps)
        cond = conditions[index] if table is None else table[conditions[index]]
        drop = torch.rand((batch,), generator=g, device=g.device) < 0.1
        cond = torch.where(drop.reshape(-1, *[1] * (cond.dim() - 1)), null, cond)
        if align is None:
            return F.mse_loss(model(x_t, t, cond), target)
        with recording(block_points(model, [2])) as states:
            main = F.mse_loss(model(x_t, t, cond), target)
        return main - 0.5 * similarity(align[1](states[0]), align[0][index].float())

    if align is not None:
        parameters = [*parameters, *align[1].parameters()]
    return Job(name, parameters, loss, g, share=share, lr=lr)
