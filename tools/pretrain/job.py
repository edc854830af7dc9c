"""One training, a whole step of it in one CUDA graph; and many trainings side by side, each on a stream of its own."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Job:
    """A training: ``loss()`` on freshly drawn data, the parameters it concerns, and how they are optimised."""

    name: str
    parameters: list[nn.Parameter]
    loss: Callable[[], Tensor]
    generator: torch.Generator
    share: float = 1.0
    lr: float = 1e-3
    warmup: int = 1000
    weight_decay: float = 0.0
    ema: float = 0.9998
    steps: int = 0
    done: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    after: Callable[[], None] | None = None  # within the step: a discriminator's own update

    def __post_init__(self) -> None:
        device = self.parameters[0].device
        self.cuda = device.type == "cuda"
        self.rate = torch.zeros((), device=device)
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=self.rate,
            weight_decay=self.weight_decay,
            betas=(0.9, 0.99),
            capturable=self.cuda,
        )
        self.average = [p.detach().clone() for p in self.parameters]
        self.kept = torch.zeros(
            (), device=device
        )  # the average's decay; it rises, so that the start is forgotten
        self.value = torch.zeros((), device=device)
        self.stream = torch.cuda.Stream() if self.cuda else None
        self.graph: Any = None

    def step(self) -> None:
        """One step of AdamW at ``rate``, gradients clipped at norm 1, and of the moving average."""
        loss = self.loss()
        for p, gradient in zip(self.parameters, torch.autograd.grad(loss, self.parameters), strict=True):
            p.grad = gradient
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        if self.after is not None:
            self.after()
        with torch.no_grad():
            torch._foreach_mul_(self.average, self.kept)
            torch._foreach_add_(
                self.average, torch._foreach_mul([p.detach() for p in self.parameters], 1 - self.kept)
            )
            self.value.copy_(loss.detach())

    def capture(self) -> None:
        """Warm up at rate 0 and lay the step into a graph."""
        if not self.cuda:
            return
        assert self.stream is not None
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(4):
                self.step()
        torch.cuda.synchronize()
        for p in self.parameters:
            p.grad = None
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(self.generator)
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.step()
        torch.cuda.synchronize()

    def advance(self) -> None:
        """Take one step at the rate of the schedule: linear warm-up, then a cosine to a hundredth."""
        if self.done % 10 == 0 or self.done < self.warmup:
            rise = min(1.0, (self.done + 1) / self.warmup)
            fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.done / max(1, self.steps))))
            with torch.cuda.stream(self.stream) if self.graph is not None else nullcontext():
                self.rate.fill_(self.lr * rise * fall)
                self.kept.fill_(min(self.ema, (1 + self.done) / (10 + self.done)))
        if self.graph is None:
            self.step()
        else:
            with torch.cuda.stream(self.stream):
                self.graph.replay()
        self.done += 1

    def finish(self) -> None:
        """Put the averaged weights into the model."""
        with torch.no_grad():
            for p, mean in zip(self.parameters, self.average, strict=True):
                p.copy_(mean)


def run(jobs: list[Job], seconds: float, log: Path, label: str, probe: int = 20) -> dict[str, float]:
    """Train all jobs for ``seconds``; how many steps that is, is measured first and then fixed."""
    for job in jobs:
        job.capture()
    cuda = jobs[0].cuda

    def wait() -> None:
        if cuda:
            torch.cuda.synchronize()

    def round_of(r: int, rounds: int) -> None:
        for job in jobs:
            while job.done < (r + 1) * job.steps // rounds:
                job.advance()

    for job in jobs:  # measure at the shares, at rate 0 times warm-up: the first steps hardly move anything
        job.steps = max(1, int(probe * job.share))
    wait()
    began = time.monotonic()
    for r in range(probe):
        round_of(r, probe)
    wait()
    rounds = max(2 * probe, int(seconds / ((time.monotonic() - began) / probe)))
    for job in jobs:
        job.done, job.steps = 0, max(2, int(rounds * job.share))
    print(
        f"{label}: {rounds} rounds in about {seconds:.0f} s; steps { ({j.name: j.steps for j in jobs}) }",
        flush=True,
    )
    began = time.monotonic()
    every = max(1, rounds // 60)
    for r in range(rounds):
        round_of(r, rounds)
        if r % 25 == 24:
            wait()  # bounds the queue
        if r % every == every - 1:
            wait()
            for job in jobs:
                job.curve.append((job.done, float(job.value)))
            if r % (10 * every) == 10 * every - 1:
                spent = time.monotonic() - began
                print(
                    f"{label} {r + 1}/{rounds} {spent:.0f} s "
                    + " ".join(f"{j.name} {float(j.value):.4f}" for j in jobs),
                    flush=True,
                )
    wait()
    spent = time.monotonic() - began
    for job in jobs:
        job.finish()
    times = {"seconds": spent, "rounds": rounds}
    log.write_text(
        json.dumps(
            {
                "times": times,
                "jobs": {j.name: {"steps": j.steps, "lr": j.lr, "ema": j.ema, "loss": j.curve} for j in jobs},
            }
        )
    )
    print(f"{label}: done in {spent:.0f} s", flush=True)
    return times
