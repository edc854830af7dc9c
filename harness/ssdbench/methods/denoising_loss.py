"""The pretraining loss, and with it representation alignment (REPA; Yu et al., 2025).

Alignment draws hidden states of an early block to given features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.diffusion.process import Discrete, Process, model_time
from ssdbench.diffusion.schedule import per_sample
from ssdbench.errors import InputError
from ssdbench.methods import denoising
from ssdbench.methods.denoising import Align
from ssdbench.methods.setup import Setup
from ssdbench.models.conditional import Conditional
from ssdbench.models.linear import Linear
from ssdbench.models.shapes import DiTShape
from ssdbench.training.fusion import block_points, recording
from ssdbench.training.objectives import Batch, Objective, Shared


def build(setup: Setup) -> Objective:
    """The objective of a :class:`ssdbench.methods.denoising.Denoise` or an ``Align``."""
    spec = setup.spec
    assert isinstance(spec, denoising.Denoise | Align)
    denoise = Denoise(setup.process, setup.shared, spec.vb_loss)
    if not isinstance(spec, Align):
        return denoise
    assert isinstance(setup.shape, DiTShape)
    head = projector(setup.shape.width, setup.features, spec.width).to(setup.device)
    return Aligned(denoise, spec.layer, head, spec.coeff)


def projector(width: int, features: int, hidden: int = 2048) -> nn.Module:
    """The MLP from hidden states (..., width) to features (..., features): three layers, SiLU between them."""
    return nn.Sequential(
        Linear(width, hidden), nn.SiLU(), Linear(hidden, hidden), nn.SiLU(), Linear(hidden, features)
    )


class Denoise(Objective):
    """Eq. 3: predict the forward noise (or v) at a time drawn from all. Pretraining and continual training.

    A learned sigma is left as it is, since its loss is not part of Eq. 3, unless ``vb_loss`` adds it:
    :func:`variational_bound`, which trains the sigma alone (Nichol and Dhariwal, 2021, Sec. 3.1).

    Raises:
        InputError: a flow, which has no sigma to learn, is given a ``vb_loss``.
    """

    def __init__(self, process: Process, shared: Shared, vb_loss: bool = False) -> None:
        self.process, self.shared = process, shared
        self.bounded = process if vb_loss and isinstance(process, Discrete) else None
        if vb_loss and self.bounded is None:
            raise InputError("vb_loss trains the learned sigma of an eps model, which a flow does not have")

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """Mean squared error of eps, and the bound where it is asked for.

        Raises:
            InputError: it is, and the student learns no sigma.
        """
        t, noised_by = batch.times(self.process, self.shared.per_batch), batch.noise()
        x_t = self.process.noised(batch.x0, noised_by, t)
        cond = batch.dropped(self.shared.label_dropout, student.null)
        prediction = student(x_t, model_time(t, x_t), cond)
        c = batch.x0.shape[1]
        loss = F.mse_loss(prediction[:, :c].float(), self.process.target(batch.x0, noised_by).float())
        if self.bounded is None:
            return loss
        if prediction.shape[1] != 2 * c:
            raise InputError(
                f"vb_loss takes a model of {2 * c} channels (eps and sigma), this one returned {prediction.shape[1]}"
            )
        return loss + variational_bound(self.bounded, batch.x0, x_t, t, prediction.float()).mean()


def variational_bound(process: Discrete, x0: Tensor, x_t: Tensor, t: Tensor, prediction: Tensor) -> Tensor:
    """A term of the variational bound of each sample, in bits a dimension, float32 (B,); its gradient is the sigma's.

    The Kullback-Leibler divergence of the model's step from t to t - 1 from the true posterior's, both normal (Ho et
    al., 2020, Eq. 6 and 7), and at t = 0 the negative log-likelihood of x_0 in bins of 2 / 255, whose outermost reach
    to infinity. That is what DiT's own code adds to its loss, and how it computes a normal's distribution function.

    Args:
        process: with the levels a_t = alphas_cumprod.
        x0: clean samples (B, C, H, W).
        x_t: the same, noised to t.
        t: whole timesteps (B,), int64 on the CPU.
        prediction: (B, 2 C, H, W): eps, and v of -1 for the posterior's variance to 1 for beta_t, between them on the
            logarithmic scale (Nichol and Dhariwal, 2021, Eq. 15).
    """
    eps, v = prediction.detach()[:, : x0.shape[1]], prediction[:, x0.shape[1] :]
    a, b = process.level(t), process.level(t - 1)  # b is 1 before t = 0
    beta = 1.0 - a / b
    # The posterior has no variance at t = 0: that of t = 1 stands in, as in the published code.
    a_1, b_1 = process.level(t.clamp(min=1)), process.level(t.clamp(min=1) - 1)
    low = per_sample(((1.0 - a_1 / b_1) * (1.0 - b_1) / (1.0 - a_1)).log(), x0)
    share = (v + 1.0) / 2.0
    log_variance = share * per_sample(beta.log(), x0) + (1.0 - share) * low
    implied = (x_t - per_sample((1.0 - a).sqrt(), x0) * eps) / per_sample(a.sqrt(), x0)
    apart = per_sample(beta * b.sqrt() / (1.0 - a), x0) * (x0 - implied)  # of the two means
    divergence = 0.5 * (
        log_variance - low - 1.0 + (low - log_variance).exp() + apart.square() * (-log_variance).exp()
    )
    first = (t == 0).to(x0.device).reshape(-1, 1, 1, 1)
    bits = torch.where(first, -_log_likelihood(x0, implied, 0.5 * log_variance), divergence)
    return bits.flatten(1).mean(1) / math.log(2.0)


def _log_likelihood(x: Tensor, mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Of the bin of 2 / 255 around ``x``, under a normal distribution; natural logarithm, elementwise."""

    def below(edge: Tensor) -> Tensor:
        z = edge * (-log_sigma).exp()
        return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))

    lower, upper = below(x - mean - 1.0 / 255.0), below(x - mean + 1.0 / 255.0)
    inside = torch.where(x > 0.999, 1.0 - lower, upper - lower)
    return torch.where(x < -0.999, upper, inside).clamp(min=1e-12).log()


class Aligned(Objective):
    """The denoising loss, less ``coeff`` times the cosine similarity of projected hidden states and features.

    Features (B, N, K) are compared token by token, features (B, K) of whole images with the mean of the projected
    tokens. The projector is trained along and dropped afterwards.

    Args:
        denoise: the denoising loss.
        layer: the block whose output is aligned, 0-based (REPA's encoder depth 8 is block 7).
        projector: from (B, N, D) to (B, N, K).
        coeff: weight of the similarity.
    """

    def __init__(self, denoise: Denoise, layer: int, projector: nn.Module, coeff: float = 0.5) -> None:
        self.denoise = denoise
        self.layer, self.projector, self.coeff = layer, projector, coeff

    def parameters(self) -> Iterable[nn.Parameter]:
        """The projector's."""
        return self.projector.parameters()

    def loss(self, student: Conditional, batch: Batch) -> Tensor:
        """The denoising loss minus ``coeff`` times the mean similarity, from one pass.

        Raises:
            InputError: the batch has no features, or their shape does not fit the projected states.
        """
        with recording(block_points(student, [self.layer])) as states:
            loss = self.denoise.loss(student, batch)
        return loss - self.coeff * similarity(self.projector(states[0]), batch.features)


def similarity(projected: Tensor, features: Tensor | None) -> Tensor:
    """Mean cosine similarity of (B, N, K) with (B, N, K), or of the mean over N with (B, K)."""
    if features is None:
        raise InputError("alignment needs the features of each image, and the batch carries none")
    if features.dim() == 2:
        projected = projected.mean(dim=1)
    if projected.shape != features.shape:
        raise InputError(
            f"features of shape {tuple(features.shape)}, expected {tuple(projected.shape)}, the projected states'"
        )
    return F.cosine_similarity(projected.float(), features.float(), dim=-1).mean()
