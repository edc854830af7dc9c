"""A DiT and a DDIM loop as they are commonly written, to compare with: ``nn.Linear``, unfused adaLN, no shortcuts.

Parameters have the published names, so that a state of :class:`ssdbench.models.dit.DiT` loads. The loop does what
DiT's published sampler does at every step: both halves of the batch go all the way, the mean and the variance are
worked out, x_0 is predicted and eps worked out from it again, and noise is drawn though eta is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.models.shapes import DiTShape


class PlainBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def attend(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.attn["qkv"](x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        return self.attn["proj"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))  # type: ignore[no-any-return]

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        parts = [part[:, None] for part in self.adaLN_modulation(c).chunk(6, dim=1)]
        x = x + parts[2] * self.attend(self.norm1(x) * (1 + parts[1]) + parts[0])
        h = self.mlp["fc1"](self.norm2(x) * (1 + parts[4]) + parts[3])
        return x + parts[5] * self.mlp["fc2"](F.gelu(h, approximate="tanh"))  # type: ignore[no-any-return]


class PlainDiT(nn.Module):
    """``model(x, t, y)`` with the values of :class:`ssdbench.models.dit.DiT` at the same state."""

    def __init__(self, shape: DiTShape) -> None:
        super().__init__()
        width, patch = shape.width, shape.patch_size
        self.shape = shape
        self.x_embedder = nn.ModuleDict({"proj": nn.Conv2d(shape.in_channels, width, patch, patch)})
        self.t_embedder = nn.ModuleDict(
            {"mlp": nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))}
        )
        self.y_embedder = nn.ModuleDict({"embedding_table": nn.Embedding(shape.num_classes + 1, width)})
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.tokens, width), requires_grad=False)
        hidden = int(width * shape.mlp_ratio)
        self.blocks = nn.ModuleList(PlainBlock(width, shape.heads, hidden) for _ in range(shape.depth))
        self.final_layer = nn.ModuleDict(
            {
                "norm_final": nn.LayerNorm(width, elementwise_affine=False, eps=1e-6),
                "linear": nn.Linear(width, patch * patch * shape.out_channels),
                "adaLN_modulation": nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width)),
            }
        )

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        rates = torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32, device=x.device) / 128)
        angles = t[:, None].float() * rates
        sinusoids = torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)
        c = self.t_embedder["mlp"](sinusoids.to(x.dtype)) + self.y_embedder["embedding_table"](y)
        h = self.x_embedder["proj"](x).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            h = block(h, c)
        shift, scale = self.final_layer["adaLN_modulation"](c)[:, None].chunk(2, dim=2)
        h = self.final_layer["linear"](self.final_layer["norm_final"](h) * (1 + scale) + shift)
        p, side, channels = self.shape.patch_size, math.isqrt(h.shape[1]), self.shape.out_channels
        h = torch.einsum("nhwpqc->nchpwq", h.reshape(len(x), side, side, p, p, channels))
        return h.reshape(len(x), channels, side * p, side * p)


def plain_guided(model: nn.Module, x: Tensor, t: Tensor, y: Tensor, scale: float, channels: int) -> Tensor:
    """Guidance over a batch whose second half is the first again, for both halves."""
    half = x[: len(x) // 2]
    out = model(torch.cat([half, half]), t, y)
    conditional, null = out[:, :channels].chunk(2)
    guided = null + scale * (conditional - null)
    return torch.cat([torch.cat([guided, guided]), out[:, channels:]], dim=1)


def plain_ddim(
    model: nn.Module,
    z: Tensor,
    labels: Tensor,
    grid: Sequence[int],
    alphas_cumprod: Tensor,
    null: int,
    scale: float,
    channels: int,
) -> Tensor:
    """DDIM from z (B, C, H, W), eta 0, along the grid; returns (B, C, H, W)."""
    c, ones = z.shape[1], (-1, 1, 1, 1)
    x = torch.cat([z, z])
    y = torch.cat([labels, torch.full_like(labels, null)])
    kept = alphas_cumprod[list(grid)]
    before = torch.cat([torch.ones(1, dtype=kept.dtype), kept[:-1]])
    betas = 1 - kept / before
    variance = betas * (1 - before) / (1 - kept)
    tables = [table.float().to(z.device) for table in (kept, before, variance, betas)]
    for i in range(len(grid) - 1, -1, -1):
        at = torch.full((len(x),), i, device=z.device)
        t = torch.full((len(x),), grid[i], device=z.device)
        out = plain_guided(model, x, t, y, scale, channels)
        now, then, low, high = (table[at].view(ones).expand(x.shape) for table in tables)
        if out.shape[1] > c:  # the learned variance, which eta 0 has no use for
            share = (out[:, c:] + 1) / 2
            torch.exp(share * high.log() + (1 - share) * low.clamp(min=1e-20).log())
        x0 = (x - (1 - now).sqrt() * out[:, :c]) / now.sqrt()
        eps = (x - now.sqrt() * x0) / (1 - now).sqrt()
        noise, sigma = torch.randn_like(x), torch.zeros_like(now)
        x = (
            x0 * then.sqrt()
            + (1 - then - sigma**2).sqrt() * eps
            + (at != 0).float().view(ones) * sigma * noise
        )
    return x[: len(z)]
