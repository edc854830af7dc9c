"""The optimisation loop: AdamW, warm-up and decay, EMA, a checkpoint to go on from, and the loss as JSON lines."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from ssdbench.diffusion.finite import check_gradients, check_parameters, explain_loss, gradient_norm
from ssdbench.errors import InputError, Interrupted, NotFinite
from ssdbench.training.objectives import Objective
from ssdbench.training.optimisation import Optimisation
from ssdbench.training.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from ssdbench.models.conditional import Conditional

CHECKPOINT, LOSSES = "checkpoint.pt", "loss.jsonl"
CHECKPOINT_SHARE = 30  # checkpoints are at least so many times apart as writing one takes


class Watch(Protocol):
    """Who is told of the progress, and asks for a stop."""

    def report(self, done: int, total: int, unit: str, **values: float | str) -> None:
        """Tell how far the work is."""
        ...

    def stopping(self) -> bool:
        """Whether to stop at the next step."""
        ...


def optimise(
    model: nn.Module,
    loss_at: Callable[[int], Tensor],
    settings: Optimisation,
    *,
    scratch: Path,
    watch: Watch,
    device: str = "cpu",
    checkpoint_seconds: float = 5.0,
    ranks: Ranks = ALONE,
    objective: Objective | None = None,
) -> None:
    """Minimise ``loss_at(step)`` over the model's parameters, in place; the averaged weights replace them at the end.

    The ``objective``, whose loss it is, may have parameters that are trained along, be told of each step, and keep a
    state, which the checkpoint holds.

    Goes on from ``scratch/checkpoint.pt`` when there is one, bit for bit as if it had never stopped (on the CPU,
    at the same thread count), because all that a step draws depends on the step alone.

    Of several ``ranks`` each gives its addend of the loss, gradients are added up, and all take the same steps; the
    first one writes, and another number of them may go on from its checkpoint.

    Raises:
        InputError: the objective's state holds what a checkpoint cannot.
        SsdbenchError: several ranks ended with objectives in different states.
        NotFinite: the loss, a gradient or in the end a parameter is NaN or infinite; names the step and the tensor.
        Interrupted: ``watch.stopping()``, of any rank; the checkpoint is written first.
    """
    student, objective = model, objective or Objective()
    if extra := [p for p in objective.parameters() if p.requires_grad]:
        model = nn.ModuleDict({"student": student, "objective": nn.ParameterList(extra)})
    trained = [p for p in model.parameters() if p.requires_grad]
    # One kernel instead of one for each operation; None: torch's choice.
    fused = device.startswith("cuda") or None
    optimiser = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused)
    average = [p.detach().clone() for p in trained] if settings.ema else []
    sum(_numbers(objective.state_dict()))  # which refuses, before any work, what no checkpoint can hold
    state = _State(scratch, trained, optimiser, average, objective)
    start = state.load(device, settings.checkpoints)
    ranks.agree(start, f"the processes found different checkpoints: this one goes on from step {start}")
    if ranks.first:
        _cut_log(scratch / LOSSES, start)
    every = max(1, settings.steps // 500)
    due = time.monotonic() + checkpoint_seconds

    def mixed() -> torch.autocast:
        return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=settings.autocast is not None)

    model.train()
    # Buffered by line: a kill cuts at the end of one, or within the last.
    log_file = (scratch / LOSSES).open("a", buffering=1) if ranks.first else contextlib.nullcontext()
    with log_file as log:
        for step in range(start, settings.steps):
            if ranks.any(watch.stopping()):
                if ranks.first:
                    state.save(step)
                raise Interrupted(f"stopped at step {step}; the next run goes on from there")
            if log is not None and (now := time.monotonic()) > due:
                os.fsync(log.fileno())  # no checkpoint may outlive the losses before it
                state.save(step)
                due = time.monotonic() + max(checkpoint_seconds, CHECKPOINT_SHARE * (time.monotonic() - now))
            for group in optimiser.param_groups:
                group["lr"] = settings.rate(step)
            with mixed():
                loss = loss_at(step)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            ranks.add_gradients(trained)
            # Only now, so that a GPU is waited for once a step.
            value, norm = ranks.sum(loss.detach()), gradient_norm(trained).item()
            if not math.isfinite(value):
                with mixed():
                    culprit = explain_loss(model, loss_at, step)
                raise NotFinite(
                    f"the loss is {value} at step {step}: {culprit}; lower the learning rate (lr {settings.lr:g})"
                )
            if not math.isfinite(norm):
                check_gradients(model, step, value)
            if settings.grad_clip is not None:
                torch.nn.utils.clip_grad_norm_(trained, settings.grad_clip)
            optimiser.step()
            if average:
                # Ramped as in ADM's and Karras' codes: early averages must forget the initial weights.
                decay = min(settings.ema, (1 + step) / (10 + step))
                torch._foreach_lerp_(average, [p.detach() for p in trained], 1 - decay)
            objective.after_step(cast("Conditional", student))
            if ranks.first and step + 1 in settings.checkpoints:
                _write(scratch / _kept_name(step + 1), [p.detach() for p in average or trained])
            if log is not None and (step % every == 0 or step == settings.steps - 1):
                log.write(json.dumps({"step": step, "loss": value, "lr": settings.rate(step)}) + "\n")
            watch.report(step + 1, settings.steps, "steps", loss=value)
    check_parameters(model, settings.steps - 1)
    with torch.no_grad():
        for parameter, mean in zip(trained, average, strict=False):
            parameter.copy_(mean)
    check_parameters(model, settings.steps - 1)
    ranks.agree(
        sum(_numbers(objective.state_dict())),
        "the objective's state differs between the processes: it may not depend on a process's own samples",
    )
    model.eval()


@dataclass(frozen=True)
class _State:
    """What the checkpoint of a training holds, and where: all that a step goes on from."""

    scratch: Path
    trained: list[nn.Parameter]
    optimiser: torch.optim.Optimizer
    average: list[Tensor]
    objective: Objective

    def save(self, step: int) -> None:
        """Write the checkpoint before ``step``."""
        content = {
            "step": step,
            "parameters": [p.detach() for p in self.trained],
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "objective": self.objective.state_dict(),
        }
        _write(self.scratch / CHECKPOINT, content)

    def load(self, device: str, kept_at: Sequence[int]) -> int:
        """Load the checkpoint and return the step to go on from; 0 where there is none, or what was kept is gone."""
        path = self.scratch / CHECKPOINT
        for cut_short in self.scratch.glob("*.pt.*"):
            cut_short.unlink(missing_ok=True)
        if not path.is_file():
            return 0
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
            # torch seeks before the start of a file whose end is cut off; other errors are the disk's, not the file's.
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            print(f"{path} cannot be read, training starts anew: {error}", file=sys.stderr)
            path.unlink(missing_ok=True)
            return 0
        step = int(state["step"])
        lost = [k for k in kept_at if k <= step and not (self.scratch / _kept_name(k)).is_file()]
        if lost:  # of several processes all look at the same files, and come to the same answer
            print(
                f"{self.scratch}: the weights after step {lost[0]} are gone, training starts anew",
                file=sys.stderr,
            )
            return 0
        with torch.no_grad():
            for parameter, value in zip(self.trained, state["parameters"], strict=True):
                parameter.copy_(value)
            for mean, value in zip(self.average, state["average"], strict=True):
                mean.copy_(value)
        self.optimiser.load_state_dict(state["optimiser"])
        if kept := state.get("objective"):  # checkpoints of before have none
            self.objective.load_state_dict(kept)
        return step


def _write(path: Path, content: Any) -> None:
    """Save a file, whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)  # a full disk would stay full of it
        raise


def _kept_name(step: int) -> str:
    return f"step-{step}.pt"


def kept(scratch: Path, model: nn.Module, step: int) -> None:
    """Put into a trained model what it was after one of its ``checkpoints``, in place.

    Of the averaged weights, where there are any. ``model`` is what :func:`optimise` trained.
    """
    values = torch.load(scratch / _kept_name(step), map_location="cpu", weights_only=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        # Behind the student's are the objective's own parameters, if any.
        for parameter, value in zip(trained, values, strict=False):
            parameter.copy_(value)


def _numbers(state: Any) -> Iterator[float]:
    """What an objective's state holds, a number for each value; the sum over a tensor, in float64.

    Raises:
        InputError: a checkpoint cannot hold it.
    """
    if isinstance(state, Tensor):
        yield float(state.detach().double().sum())
    elif isinstance(state, dict | list | tuple):
        for value in state.values() if isinstance(state, dict) else state:
            yield from _numbers(value)
    elif state is None or type(state) in (bool, int, float, str):
        yield float(state) if type(state) in (bool, int, float) else 0.0
    else:
        raise InputError(
            f"the objective's state holds {type(state).__name__}: expected tensors, numbers, text, and lists and dicts"
        )


def _cut_log(log: Path, step: int) -> None:
    """Cut the loss log back to what was before ``step``."""
    lines = log.read_text().splitlines(keepends=True) if log.is_file() else []
    # A kill can cut the last line short; whatever is not a whole record of an earlier step goes. The file is replaced:
    # whoever was suspended while this process took the stage over, and writes on, does not write into it.
    kept = log.with_name(f"{LOSSES}.{os.getpid()}")
    kept.write_text("".join(line for line in lines if _step_of(line) < step))
    kept.replace(log)


def _step_of(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
