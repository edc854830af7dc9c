"""Consistency distillation: closed forms, the boundary, gradients, the published algorithm, resumed trainings."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion import noise as streams
from ssdbench.diffusion.guidance import GuidanceSetting
from ssdbench.diffusion.process import Discrete, LinearFlow, Process
from ssdbench.diffusion.schedule import DISCRETE, SIT, Schedule, alphas_cumprod
from ssdbench.errors import InputError, Interrupted
from ssdbench.methods.consistency import Settings
from ssdbench.methods.consistency_loss import ConsistencyDistillation, prediction
from ssdbench.training.loop import CHECKPOINT, LOSSES, optimise
from ssdbench.training.objectives import Batch, Shared
from ssdbench.training.optimisation import Optimisation
from tests.training.ranks_script import Watch
from tests.training.toy import Formula, batch_of, small_dit

ALPHAS = alphas_cumprod()
PROCESSES: dict[int | None, Process] = {None: Discrete(ALPHAS), 0: LinearFlow(0), 1: LinearFlow(1)}
NO_DROP = Shared(label_dropout=0.0)
VARIANCE = 0.25
FLOWS = pytest.mark.parametrize("flow", [None, 0, 1])


def signal(flow: int | None, t: float) -> tuple[float, float]:
    """(alpha, sigma) of a time; timestep -1 is clean data."""
    if flow is None:
        a = 1.0 if t < 0 else float(ALPHAS[int(t)])
        return math.sqrt(a), math.sqrt(1 - a)
    sigma = t if flow else 1 - t
    return 1 - sigma, sigma


def scaling(flow: int | None, t: float) -> tuple[float, float]:
    """c_skip and c_out, written out."""
    s = 10.0 * (t + 1) if flow is None else 10_000 * signal(flow, t)[1]
    return 0.25 / (s**2 + 0.25), s / math.sqrt(s**2 + 0.25)


def slope(flow: int | None, t: float) -> float:
    """The ideal prediction of N(0, VARIANCE) data is this times x: E[eps | x], or E[dx/dt | x]."""
    alpha, sigma = signal(flow, t)
    variance = alpha**2 * VARIANCE + sigma**2
    if flow is None:
        return sigma / variance
    return (1 if flow else -1) * (sigma - alpha * VARIANCE) / variance


def step(flow: int | None, s: float, t: float) -> float:
    """What one step of the ideal model from s to t multiplies x by."""
    (a, b), (c, d) = signal(flow, s), signal(flow, t)
    if flow is None:
        return c * (1 - b * slope(flow, s)) / a + d * slope(flow, s)
    return 1 + (t - s) * slope(flow, s)


def path_of(flow: int | None, n: int) -> list[float]:
    if flow is None:
        return [-1, *(round(1000 * i / n) - 1 for i in range(1, n + 1))]
    return [i / n if flow else 1 - i / n for i in range(n + 1)]


def consistent(flow: int | None, n: int, skip: int) -> list[float]:
    """f(x, t_i) / x of the frozen model's own steps of length k, which lead from t_i to clean data."""
    path, found = path_of(flow, n), [1.0]
    for i in range(1, n + 1):
        to = max(0, i - skip)
        found.append(found[to] * step(flow, path[i], path[to]))
    return found


def predicting(flow: int | None, t: float, factor: float) -> float:
    """The prediction over x with f(x, t) = factor x."""
    skip, out = scaling(flow, t)
    alpha, sigma = signal(flow, t)
    sample = (factor - skip) / out
    if flow is None:
        return (1 - alpha * sample) / sigma
    return (1 if flow else -1) * (1 - sample) / sigma


class Linear(nn.Module):
    """A student that predicts w_i x at the i-th of some times, and at clean data anything."""

    null = torch.tensor([5])

    def __init__(self, times: list[float], weights: list[float]) -> None:
        super().__init__()
        self.register_buffer("times", torch.tensor(times, dtype=torch.float64))
        self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        at = (t[:, None].double() - self.times).abs().argmin(1)
        return self.weights[at].reshape(-1, 1, 1, 1) * x


def linear(flow: int | None, n: int, factors: list[float]) -> Linear:
    path = path_of(flow, n)
    weights = [predicting(flow, t, factor) for t, factor in zip(path[1:], factors[1:], strict=True)]
    return Linear(path[1:], weights)


def ideal(flow: int | None) -> Formula:
    def predict(x: Tensor, t: Tensor) -> Tensor:
        slopes = [slope(flow, one) for one in t.flatten().tolist()]
        return torch.tensor(slopes, dtype=torch.float64).reshape(t.shape).to(x) * x

    return Formula(predict)


def doubled(batch: Batch) -> Batch:
    """In float64, so that zero is zero to 1e-20 even where the signal is a hundredth of the noise."""
    return Batch(batch.x0.double(), batch.cond, batch.seed, batch.positions)


def objective(
    student: nn.Module, teacher: Any, flow: int | None, shared: Shared = NO_DROP, **settings: Any
) -> ConsistencyDistillation:
    return built(teacher, PROCESSES[flow], student, shared, Settings(**settings))


def built(
    teacher: Any, process: Process, student: nn.Module, shared: Shared, settings: Settings
) -> ConsistencyDistillation:
    given = {
        "teacher": teacher,
        "process": process,
        "student": student,
        "shared": shared,
        "settings": settings,
    }
    return ConsistencyDistillation(SimpleNamespace(**given))  # type: ignore[arg-type]


@FLOWS
@pytest.mark.parametrize("distance", ["huber", "l2"])
@pytest.mark.parametrize(("n", "skip"), [(8, 1), (10, 4), (50, 5), (3, 3)])
def test_the_exact_consistency_function_has_no_loss(
    flow: int | None, distance: Any, n: int, skip: int
) -> None:
    student = linear(flow, n, consistent(flow, n, skip))
    given = {"grid_steps": n, "skip": skip, "distance": distance}
    loss = objective(student, ideal(flow), flow, **given).loss(student, doubled(batch_of(60)))
    loss.backward()
    assert loss.item() < 1e-8
    assert student.weights.grad.abs().max() < 1e-3
    other = linear(flow, n, [1.1 * factor for factor in consistent(flow, n, skip)])
    assert objective(other, ideal(flow), flow, **given).loss(other, doubled(batch_of(60))).item() > 1e-3


@FLOWS
@pytest.mark.parametrize("distance", ["huber", "l2"])
def test_a_distance_is_weighted_by_the_capped_signal_to_noise_ratio(flow: int | None, distance: str) -> None:
    n, met = 8, set()
    student = linear(flow, n, [1.2**i for i in range(n + 1)])
    given = {"grid_steps": n, "skip": 1, "distance": distance}
    plain = objective(student, ideal(flow), flow, **given)
    weighted = objective(student, ideal(flow), flow, weighting="snr", **given)
    for position in range(40):
        batch = doubled(batch_of(1, position))
        index = int(streams.integers(n, 3, "train/consistency", [position])[0])
        alpha, sigma = signal(flow, path_of(flow, n)[index + 1])
        ratio = 1.0 if flow is not None else min(1.0, alpha / sigma)
        expected = ratio**2 if distance == "l2" else ratio
        met.add(expected < 1)
        found = weighted.loss(student, batch) / plain.loss(student, batch)
        assert found.item() == pytest.approx(expected, rel=1e-4)
    assert met == ({True, False} if flow is None else {False})


@FLOWS
def test_with_many_steps_it_is_the_flow_s(flow: int | None) -> None:
    """The probability flow of N(0, VARIANCE) data keeps x / (standard deviation at t) constant."""
    errors = []
    for n in (100, 200):
        exact = [
            math.sqrt(VARIANCE / (alpha**2 * VARIANCE + sigma**2))
            for alpha, sigma in (signal(flow, t) for t in path_of(flow, n))
        ]
        errors.append(max(abs(a - b) for a, b in zip(exact, consistent(flow, n, 1), strict=True)))
    assert errors[1] < 0.6 * errors[0] < 0.02


@FLOWS
def test_training_reaches_it(flow: int | None) -> None:
    n = 4
    exact = consistent(flow, n, 1)
    student = Linear(path_of(flow, n)[1:], [slope(flow, t) for t in path_of(flow, n)[1:]])
    found = objective(student, ideal(flow), flow, grid_steps=n, skip=1, decay=0.5, distance="l2")
    start = found.loss(student, doubled(batch_of(60))).item()
    optimiser = torch.optim.Adam(student.parameters(), lr=0.05, betas=(0.5, 0.9))
    for i in range(300):
        optimiser.param_groups[0]["lr"] = 0.05 * 0.96**i
        loss = found.loss(student, doubled(batch_of(16, 16 * i)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.after_step(student)
    assert found.loss(student, doubled(batch_of(60))).item() < 1e-3 * start
    reached = torch.tensor(
        [predicting(flow, t, g) for t, g in zip(path_of(flow, n)[1:], exact[1:], strict=True)]
    )
    torch.testing.assert_close(student.weights.float(), reached, rtol=0, atol=2e-3)


@FLOWS
def test_at_clean_data_the_function_is_its_input_whatever_the_network(flow: int | None) -> None:
    model, process = small_dit(3), PROCESSES[flow]
    x, cond = torch.randn(5, 4, 4, 4), torch.arange(5)
    clean = torch.full((5,), process.clean)
    assert prediction(model, process, x, clean, cond).equal(x)
    assert not prediction(model, process, x, torch.full((5,), path_of(flow, 2)[1]), cond).equal(x)


@FLOWS
@pytest.mark.parametrize("distance", ["huber", "l2"])
def test_it_follows_the_published_algorithm(flow: int | None, distance: str) -> None:
    """Three steps of Algorithm 2 with guidance (Luo et al., 2023, Algorithm 1), written from the papers."""
    n, k, mu, scale, lr = 20, 6, 0.7, 1.5, 1e-3
    frozen, student = small_dit(0).requires_grad_(False), small_dit(1)
    theta, theta_minus = copy.deepcopy(student), copy.deepcopy(student)
    guided = GuidanceSetting(scale=scale, channels=3).of(frozen, frozen.null, DISCRETE)
    found = objective(student, guided, flow, Shared(0.1), grid_steps=n, skip=k, decay=mu, distance=distance)
    ours, theirs = (torch.optim.SGD(model.parameters(), lr=lr) for model in (student, theta))
    path = path_of(flow, n)

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values).reshape(-1, 1, 1, 1)

    def f(model: nn.Module, x: Tensor, times: list[float], cond: Tensor) -> Tensor:
        at = torch.tensor([max(t, 0) for t in times])
        out = model(x, at, cond)[:, :4]
        alpha, sigma = (column([signal(flow, t)[i] for t in times]) for i in (0, 1))
        x_0 = {None: (x - sigma * out) / alpha, 0: x + sigma * out, 1: x - sigma * out}[flow]
        skip, out_ = (column([scaling(flow, t)[i] for t in times]) for i in (0, 1))
        return skip * x + out_ * x_0

    for i in range(3):
        batch = batch_of(6, 6 * i)
        loss = found.loss(student, batch)

        positions = range(6 * i, 6 * i + 6)
        index = streams.integers(n, 3, "train/consistency", positions).tolist()  # n + k - 1 of the paper
        s, t = [path[j + 1] for j in index], [path[max(0, j + 1 - k)] for j in index]
        eps = streams.normal((4, 4, 4), 3, "train/noise", positions)
        dropped = streams.uniform(3, "train/drop", positions) < 0.1
        cond = torch.where(dropped, torch.tensor(5), torch.tensor([j % 5 for j in range(6)]))
        alpha_s, sigma_s = (column([signal(flow, one)[j] for one in s]) for j in (0, 1))
        alpha_t, sigma_t = (column([signal(flow, one)[j] for one in t]) for j in (0, 1))
        x_s = alpha_s * batch.x0 + sigma_s * eps
        with torch.no_grad():
            given, none = (frozen(x_s, torch.tensor(s), c)[:, :4] for c in (cond, torch.full_like(cond, 5)))
            slope = given.clone()
            slope[:, :3] = (none + scale * (given - none))[:, :3]
            if flow is None:
                x_t = alpha_t * (x_s - sigma_s * slope) / alpha_s + sigma_t * slope
            else:
                x_t = x_s + (column(t) - column(s)) * slope
            target = f(theta_minus, x_t, t, cond)
        norm = (f(theta, x_s, s, cond) - target).pow(2).sum((1, 2, 3))
        c = 0.00054 * math.sqrt(64)
        expected = ((norm + c**2).sqrt() - c if distance == "huber" else norm).mean()
        torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-3)

        for optimiser, one in ((ours, loss), (theirs, expected)):
            optimiser.zero_grad()
            one.backward()
            torch.nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], 1.0)
            optimiser.step()
        found.after_step(student)
        with torch.no_grad():
            for slow, fast in zip(theta_minus.parameters(), theta.parameters(), strict=True):
                slow.copy_(mu * slow + (1 - mu) * fast)
    for mine, other in ((student, theta), (found.target, theta_minus)):
        for p, q in zip(mine.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-3, atol=2e-6)


def test_gradients_go_into_the_student_alone_and_not_through_the_target() -> None:
    frozen, student = small_dit(0).requires_grad_(False), small_dit(1)
    found = objective(student, frozen, None, grid_steps=10, skip=2)
    found.loss(student, batch_of(4)).backward()
    assert all(p.grad is not None for p in student.parameters() if p.requires_grad)
    for other in (frozen, found.target):
        assert all(p.grad is None and not p.requires_grad for p in other.parameters())


def test_the_target_of_updates_of_low_rank_follows_what_is_trained() -> None:
    student = small_dit(1)
    for name, p in student.named_parameters():
        p.requires_grad_("blocks.0" in name)
    found = objective(student, small_dit(0), None)
    before = {name: p.clone() for name, p in found.target.named_parameters()}
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    found.after_step(student)
    for name, p in found.target.named_parameters():
        torch.testing.assert_close(p, before[name] + (0.05 if "blocks.0" in name else 0.0))
    assert len(found.state_dict()["target"]) == sum(p.requires_grad for p in student.parameters()) > 5


def test_the_target_learns_texts_guided_away_from_the_empty_text() -> None:
    class Texts(nn.Module):
        null = torch.zeros(1, 3, 2)

        def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
            return cond.mean((1, 2)).reshape(-1, 1, 1, 1) * x

    batch = Batch(torch.randn(3, 4, 4, 4), torch.randn(3, 3, 2), 0, range(3))
    model = Texts()
    guided = GuidanceSetting(scale=2.0).of(model, model.null, SIT)
    settings = {"grid_steps": 1, "skip": 1, "distance": "l2"}  # one step to clean data
    loss = objective(model, guided, 0, **settings).loss(model, batch)
    mean = batch.cond.mean((1, 2)).reshape(-1, 1, 1, 1)
    x = batch.noise()
    torch.testing.assert_close(loss, (mean * x).square().sum((1, 2, 3)).mean())  # of v, (2 - 1) mean x


def test_pure_noise_says_nothing_of_eps() -> None:
    process = Discrete(alphas_cumprod(Schedule(zero_snr=True)))
    with pytest.raises(InputError, match="ends at pure noise: eps implies no x_0"):
        built(small_dit(0), process, small_dit(1), NO_DROP, Settings())


LONG = Optimisation(steps=12, lr=1e-3, warmup=3)


def trained(scratch: Path, stops: tuple[int | None, ...], forget: bool = False) -> tuple[list[Tensor], str]:
    """Train, stopped and gone on with in new objects; the student's and the target's weights, and the log."""
    scratch.mkdir()
    for stop in stops:
        student = small_dit(1)
        found = objective(student, small_dit(0).requires_grad_(False), None, grid_steps=10, skip=2)
        loss_at: Callable[[int], Tensor] = lambda i, s=student, o=found: o.loss(s, batch_of(4, 4 * i))  # type: ignore[misc]  # noqa: E731
        try:
            optimise(student, loss_at, LONG, scratch=scratch, watch=Watch(stop), objective=found)
        except Interrupted:
            assert stop is not None
        if forget and stop is not None:
            checkpoint = torch.load(scratch / CHECKPOINT, weights_only=True)
            checkpoint["objective"] = {}
            torch.save(checkpoint, scratch / CHECKPOINT)
    weights = [p.detach().clone() for model in (student, found.target) for p in model.parameters()]
    return weights, (scratch / LOSSES).read_text()


def test_a_resumed_training_is_the_same_bit_for_bit_and_hangs_on_the_target(tmp_path: Path) -> None:
    whole, log = trained(tmp_path / "whole", (None,))
    cut, cut_log = trained(tmp_path / "cut", (4, 9, None))
    assert all(a.equal(b) for a, b in zip(whole, cut, strict=True))
    assert log == cut_log
    forgetful, _ = trained(tmp_path / "forgetful", (4, None), forget=True)
    assert not all(a.equal(b) for a, b in zip(whole, forgetful, strict=True))


def test_a_step_over_more_than_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="skip 20 is more than the 10 steps of the grid"):
        Settings(grid_steps=10)
