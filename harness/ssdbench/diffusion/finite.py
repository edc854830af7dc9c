"""What is NaN or infinite: which samples, at which evaluation; and of a training step the first tensor, once one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Denoiser
from ssdbench.errors import NotFinite


def check_finite(values: Tensor, indices: Sequence[int], what: str, where: str = "") -> None:
    """Look at a batch (B, ...), whose rows ``indices`` number; of a batch of other samples they are not told.

    Raises:
        NotFinite: some are not finite; says ``what`` they are, which, and ``where``.
    """
    if torch.isfinite(values).all():
        return
    if len(values) != len(indices):  # an adaptive sampler left out those that have arrived
        raise NotFinite(f"{what} are not finite{where}")
    finite = torch.isfinite(values).flatten(1).all(1).tolist()
    bad = [index for index, good in zip(indices, finite, strict=True) if not good]
    raise NotFinite(f"{what} {spans(bad)} are not finite{where}")


def spans(numbers: Iterable[int]) -> str:
    """Rising whole numbers as text, runs of them shortened: ``0..3, 7``; after some the rest is counted."""
    found = list(numbers)
    starts = [i for i in range(len(found)) if i == 0 or found[i] != found[i - 1] + 1]
    runs = [(found[a], found[b - 1]) for a, b in pairwise([*starts, len(found)])]
    shown = ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs[:_SHOWN])
    rest = len(found) - sum(b - a + 1 for a, b in runs[:_SHOWN])
    return f"{shown} and {rest} more" if rest else shown


_SHOWN = 8


@dataclass(eq=False)
class Finite:
    """Stops at the first evaluation whose prediction is not finite.

    A GPU would idle while it is asked, so there it is asked of an evaluation once the next one is on its way, and of
    the last one by ``settle``.

    Args:
        denoiser: predicts eps or v of x's shape, (B, C, H, W).
        prediction: what to call it.
        indices: of the samples, B.
        nfe: how many evaluations there are to be; 0: as many as the sampler takes.
        late: ask after the next evaluation; None: on whatever is not the CPU.

    Raises:
        NotFinite: names the samples, the evaluation and its time, and whether x, which the denoiser was given, was
            already not finite.
    """

    denoiser: Denoiser
    prediction: str
    indices: Sequence[int]
    nfe: int
    late: bool | None = field(default=None, kw_only=True)
    done: int = field(default=0, init=False)
    _pending: Callable[[], None] | None = field(default=None, init=False)

    def __call__(self, x: Tensor, t: Tensor, cond: Tensor, **further: Tensor) -> Tensor:
        """Predict, and look at the prediction, or at the one before."""
        found = self.denoiser(x, t, cond, **further)
        self.done += 1
        finite, copied = torch.isfinite(found).all(), None
        if found.is_cuda:
            # Reading a value off a GPU waits for all that was started before, this copy for what made the value.
            finite = finite.to("cpu", non_blocking=True)
            copied = torch.cuda.current_stream(found.device).record_event()
        look = partial(self._look, self.done, finite, copied, x, found, t)
        late = found.device.type != "cpu" if self.late is None else self.late
        if late:
            self.settle()
            self._pending = look
        else:
            look()
        return found

    def settle(self) -> None:
        """Look at the evaluation that was not looked at yet."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending()

    def _look(
        self,
        number: int,
        finite: Tensor,
        copied: torch.cuda.Event | None,
        x: Tensor,
        found: Tensor,
        t: Tensor,
    ) -> None:
        """Look at an evaluation; ``finite`` is one truth value, in main memory once it is ``copied``."""
        if copied is not None:
            copied.synchronize()
        if not finite:
            where = f" at time {float(t.flatten()[0]):g}, evaluation {number}"
            where += f" of {self.nfe}" if self.nfe else ""
            check_finite(x, self.indices, "the latents x of samples", where)
            check_finite(found, self.indices, f"the predictions {self.prediction} of samples", where)


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The norm of all gradients together, a scalar: finite unless one of them is not, or their squares overflow."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch._foreach_norm(gradients)
    whole: Tensor = torch.stack([norm.float() for norm in norms]).norm()
    return whole


def check_gradients(model: nn.Module, step: int, loss: float) -> None:
    """Look at each gradient.

    Raises:
        NotFinite: one is not finite. Names the last such parameter in the model's order, which the backward pass
            reached first.
    """
    found = [
        (name, p.grad)
        for name, p in model.named_parameters()
        if p.grad is not None and not torch.isfinite(p.grad).all()
    ]
    if found:
        name, gradient = found[-1]
        others = f", and those of {len(found) - 1} other parameters" if len(found) > 1 else ""
        raise NotFinite(
            f"the gradient of {name} is not finite at step {step} ({_counted(gradient)}){others}; the loss is {loss:g}"
        )


def check_parameters(model: nn.Module, step: int) -> None:
    """Look at each trained parameter.

    Raises:
        NotFinite: one is not finite; names the first and the step that wrote it.
    """
    found = _bad_parameter(model)
    if found is not None:
        raise NotFinite(f"{found} after step {step}")


def explain_loss(model: nn.Module, loss_at: Callable[[int], Tensor], step: int) -> str:
    """Say what made the loss of ``step`` NaN or infinite: a parameter, or what the model was given or put out.

    The step is computed once more, which gives the same numbers, since all that it draws depends on the step alone.
    """
    return _bad_parameter(model) or _bad_activation(model, loss_at, step)


def _bad_parameter(model: nn.Module) -> str | None:
    for name, p in model.named_parameters():
        if not torch.isfinite(p).all():
            return f"the parameter {name} is not finite ({_counted(p)})"
    return None


def _bad_activation(model: nn.Module, loss_at: Callable[[int], Tensor], step: int) -> str:
    found: list[str] = []

    def watch(name: str, module: nn.Module) -> None:
        def before(_module: nn.Module, inputs: Any, named: Any) -> None:
            look(f"an input of {name}", (inputs, named))

        def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
            look(f"the output of {name}", output)

        stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(module.register_forward_hook(after).remove)

    def look(what: str, values: Any) -> None:
        bad = None if found else next((t for t in _tensors(values) if not torch.isfinite(t).all()), None)
        if bad is not None:
            found.append(f"{what} is the first tensor that is not finite ({_counted(bad)})")

    with ExitStack() as stack, torch.no_grad():
        for name, module in model.named_modules():
            watch(name or "the model", module)
        loss_at(step)
    return found[0] if found else "every tensor in the trained model is finite: the target is not"


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        if values.is_floating_point():
            yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _tensors(value)
    elif isinstance(values, dict):
        yield from _tensors(tuple(values.values()))


def _counted(tensor: Tensor) -> str:
    """How many values of a tensor are NaN and infinite, and of how many."""
    nan, inf = int(torch.isnan(tensor).sum()), int(torch.isinf(tensor).sum())
    parts = [f"{count:,} {kind}" for count, kind in ((nan, "NaN"), (inf, "infinite")) if count]
    return f"{' and '.join(parts)} of {tensor.numel():,} values"
