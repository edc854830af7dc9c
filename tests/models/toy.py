"""Small DiTs with random weights everywhere: a fresh one's gates are zero, and hide most of it."""

from __future__ import annotations

import torch

from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape

SMALL = DiTShape(width=48, depth=3, heads=4, input_size=8, num_classes=10)
SHAPES = [
    SMALL,
    DiTShape(
        width=32,
        depth=2,
        heads=2,
        patch_size=4,
        input_size=16,
        in_channels=3,
        num_classes=5,
        learn_sigma=False,
    ),
]


def random_dit(shape: DiTShape = SMALL, seed: int = 0) -> DiT:
    """Every tensor but the position embedding is normal, scaled as a layer of its width needs."""
    generator = torch.Generator().manual_seed(seed)
    model = DiT(shape)
    for name, parameter in model.named_parameters():
        if name != "pos_embed":
            scale = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.1
            parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def inputs(shape: DiTShape, n: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noised latents, timesteps over the whole range, and labels that include the null label."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, shape.in_channels, shape.input_size, shape.input_size, generator=generator)
    t = torch.linspace(0, 999, n).round().long()
    y = torch.randint(0, shape.num_classes, (n,), generator=generator)
    y[::3] = shape.num_classes
    return x, t, y


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of tensors are equal, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
