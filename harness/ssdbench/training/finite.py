"""Which tensor of a training step was the first that is NaN or infinite; sought only once one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from ssdbench.errors import NotFinite


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
