"""DiT (Peebles and Xie, 2023) with adaLN-Zero, in the parameter names of the published checkpoints."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.errors import InputError
from ssdbench.models.conditional import Conditional
from ssdbench.models.linear import Linear
from ssdbench.models.shapes import DiTShape
from ssdbench.models.times import SecondTime, TimestepEmbedder


class LabelEmbedder(nn.Module):
    """A table of class embeddings; the row after the last class is the null label of guidance."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, width)

    def forward(self, y: Tensor) -> Tensor:
        """(B,) int64 -> (B, D)."""
        return self.embedding_table(y)  # type: ignore[no-any-return]


class PatchEmbed(nn.Module):
    """Non-overlapping patches, each projected to a token."""

    def __init__(self, patch: int, channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, D), tokens in row-major order."""
        # Contiguous, since the blocks keep the layout that they are given, and in this one every norm copies.
        return self.proj(x).flatten(2).transpose(1, 2).contiguous()  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Multi-head self-attention with a joint qkv projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v)
        return self.proj(h.transpose(1, 2).reshape(b, n, d))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two linear layers with a tanh-approximated GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.fc2(self.fc1.gelu(x))  # type: ignore[no-any-return]


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale and shift tokens (B, N, D) by (B, D)."""
    return torch.addcmul(shift.unsqueeze(1), x, 1 + scale.unsqueeze(1))


class DiTBlock(nn.Module):
    """A transformer block whose norms and residual gates come from the conditioning (adaLN-Zero)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = Mlp(width, int(width * mlp_ratio))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Tokens (B, N, D), conditioning (B, D) -> tokens (B, N, D)."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c).chunk(6, dim=1)
        x = torch.addcmul(x, gate_a.unsqueeze(1), self.attn(modulate(self.norm1(x), shift_a, scale_a)))
        return torch.addcmul(x, gate_m.unsqueeze(1), self.mlp(modulate(self.norm2(x), shift_m, scale_m)))


class FinalLayer(nn.Module):
    """Modulated norm, then a projection back to patches."""

    def __init__(self, width: int, patch: int, out_channels: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = Linear(width, patch * patch * out_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), Linear(width, 2 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """(B, N, D), (B, D) -> (B, N, p * p * C')."""
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))  # type: ignore[no-any-return]


class DiT(Conditional):
    """The diffusion transformer: ``model(x, t, y)``, or with a second time ``model(x, t, y, r=r)``, is a denoiser.

    Args:
        shape: width, depth and the rest; see :class:`ssdbench.models.shapes.DiTShape`.
    """

    shape: DiTShape

    def __init__(self, shape: DiTShape) -> None:
        super().__init__(torch.tensor([shape.num_classes]))
        self.shape = shape
        self.x_embedder = PatchEmbed(shape.patch_size, shape.in_channels, shape.width)
        self.t_embedder = TimestepEmbedder(shape.width)
        self.y_embedder = LabelEmbedder(shape.num_classes, shape.width)
        side = shape.input_size // shape.patch_size
        # A parameter, though never trained, because the published checkpoints carry it.
        self.pos_embed = nn.Parameter(sincos_2d(shape.width, side), requires_grad=False)
        self.blocks = nn.ModuleList(
            DiTBlock(shape.width, shape.heads, shape.mlp_ratio) for _ in range(shape.depth)
        )
        self.final_layer = FinalLayer(shape.width, shape.patch_size, shape.out_channels)
        self._initialise()
        self.r_embedder = SecondTime(shape.width) if shape.second_time else None

    def forward(self, x: Tensor, t: Tensor, cond: Tensor, r: Tensor | None = None) -> Tensor:
        """Latents (B, C, H, W), timesteps (B,), labels (B,) -> (B, C', H, W), C' = 2C with learned sigma.

        Of a network with a second time, the mean slope from t to ``r`` (B,); without r, the slope at t.

        Raises:
            InputError: r is given to a network without a second time.
        """
        return self.as_eps(lambda h: self._network(h, t, cond, r), x, t)

    def _network(self, x: Tensor, t: Tensor, cond: Tensor, r: Tensor | None) -> Tensor:
        c = self.t_embedder(t) + self.y_embedder(cond)  # (B, D)
        if self.r_embedder is not None:
            c = c + self.r_embedder(t, r)
        elif r is not None:
            raise InputError("the model has no second time, and was given one")
        h = self.x_embedder(x) + self.pos_embed  # (B, N, D)
        for block in self.blocks:
            h = block(h, c)
        return self._unpatchify(self.final_layer(h, c))

    def _unpatchify(self, h: Tensor) -> Tensor:
        p, channels = self.shape.patch_size, self.shape.out_channels
        side = math.isqrt(h.shape[1])
        h = h.reshape(-1, side, side, p, p, channels)
        return h.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, side * p, side * p)

    def _initialise(self) -> None:
        # The published initialisation: Xavier everywhere, adaLN-Zero gates and the output at zero.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        patch = self.x_embedder.proj
        nn.init.xavier_uniform_(patch.weight.data.flatten(1))
        nn.init.zeros_(patch.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.y_embedder.embedding_table.weight, std=0.02)
        for module in self.t_embedder.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if "adaLN_modulation" in name or name.startswith("final_layer.linear"):
                nn.init.zeros_(parameter)


def sincos_2d(width: int, side: int) -> Tensor:
    """Fixed 2-D sine-cosine position embedding of MAE and DiT, (1, side * side, width) float32.

    The first half of the width encodes the column, the second the row.
    """
    if width % 4:
        raise InputError(f"a 2-D position embedding needs a width divisible by 4, not {width}")
    rows, columns = np.mgrid[:side, :side].astype(np.float64)

    def encode(position: np.ndarray) -> np.ndarray:
        rates = 1.0 / 10000 ** (np.arange(width // 4, dtype=np.float64) / (width / 4.0))
        angles = position.reshape(-1, 1) * rates
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    table = np.concatenate([encode(columns), encode(rows)], axis=1)
    return torch.from_numpy(table).float().unsqueeze(0)
