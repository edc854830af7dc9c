"""Trajectory distillation: closed forms, the published order of steps, and where gradients stop."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.process import Discrete, LinearFlow, Process
from ssdbench.diffusion.schedule import CLEAN, alphas_cumprod
from ssdbench.errors import Interrupted
from ssdbench.methods import METHODS, Plain
from ssdbench.methods.setup import Setup
from ssdbench.methods.trajectory import Settings, teacher_times
from ssdbench.methods.trajectory_loss import TrajectoryDistillation
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.walks import timesteps, walked
from ssdbench.stages import Runtime, TrainSpec, train
from ssdbench.training.objectives import Batch, Shared
from tests.stages.conftest import SHAPE, Tiny
from tests.stages.conftest import tiny as tiny
from tests.training.toy import Formula, batch_of, small_dit

ALPHAS = alphas_cumprod()
NO_DROP = Shared(label_dropout=0.0)


def objective_of(
    frozen: nn.Module,
    nfe: int,
    *,
    process: Process | None = None,
    grid: str = "even",
    shared: Shared = NO_DROP,
    guidance: float = 1.0,
    **settings: object,
) -> TrajectoryDistillation:
    spec = Plain(kind="method", method="trajectory", grid=grid, nfe=nfe, teacher_guidance=guidance)
    if not hasattr(frozen, "shape"):
        frozen.shape = small_dit(0).shape
    setup = Setup(
        spec=spec,
        settings=Settings.model_validate(settings),
        student=frozen,  # whose shape it reads, and no more
        process=process or Discrete(ALPHAS),
        shared=shared,
        device="cpu",
        load=lambda: frozen,
    )
    return TrajectoryDistillation(setup)


class Line(nn.Module):
    """eps = k x, with the slope k to learn."""

    null = torch.tensor([5])

    def __init__(self, k: float) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return self.k * x


def double(batch: Batch) -> Batch:
    return Batch(batch.x0.double(), batch.cond, batch.seed, batch.positions)


def factor(k: float, s: int, t: int) -> float:
    """What a DDIM step from s to t multiplies x by, where eps = k x."""
    a, b = float(ALPHAS[s]), 1.0 if t == CLEAN else float(ALPHAS[t])
    return math.sqrt(b / a) * (1 - math.sqrt(1 - a) * k) + math.sqrt(1 - b) * k


@pytest.mark.parametrize(("distance", "moment"), [("l1", lambda x: np.abs(x)), ("l2", lambda x: x**2)])
@pytest.mark.parametrize("substeps", [1, 3])
def test_of_linear_models_the_loss_is_a_sum_of_products(distance: str, moment: object, substeps: int) -> None:
    """Both walks multiply the noise by a factor a step: x_n - y_n is the noise times a difference of products."""
    student, teacher, grid = 0.3, 0.7, timesteps("even", 4)
    batch = double(batch_of(6))
    x = batch.noise().double().numpy()
    expected, mine, its = 0.0, 1.0, 1.0
    for s, t in zip(grid[::-1], [*grid[-2::-1], CLEAN], strict=True):
        stops = [round(s + (t - s) * i / substeps) for i in range(substeps + 1)]
        for here, there in zip(stops[:-1], stops[1:], strict=True):
            if here != there:
                its *= factor(teacher, here, there)
        mine *= factor(student, s, t)
        expected += moment((mine - its) * x).mean()  # type: ignore[operator]
    objective = objective_of(Line(teacher), 4, substeps=substeps, distance=distance)
    assert objective.loss(Line(student), batch).item() == pytest.approx(expected, rel=1e-9)


def test_the_gradient_stops_between_steps() -> None:
    """d/dk of each term holds its start fixed: d factor / dk alone, not through the steps before."""
    student, teacher, grid = 0.3, 0.7, timesteps("even", 3)
    batch = double(batch_of(6))
    power = float(batch.noise().double().square().mean())
    stopped, whole, mine, its = 0.0, 0.0, 1.0, 1.0
    slope_of_mine = 0.0
    for s, t in zip(grid[::-1], [*grid[-2::-1], CLEAN], strict=True):
        its *= factor(teacher, s, t)
        slope = (factor(student + 1e-6, s, t) - factor(student - 1e-6, s, t)) / 2e-6
        step = factor(student, s, t)
        slope_of_mine = slope_of_mine * step + mine * slope
        before, mine = mine, mine * step
        stopped += 2 * (mine - its) * before * slope * power
        whole += 2 * (mine - its) * slope_of_mine * power
    model = Line(student)
    objective_of(Line(teacher), 3, substeps=1, distance="l2").loss(model, batch).backward()
    assert model.k.grad is not None
    assert model.k.grad.item() == pytest.approx(stopped, rel=1e-6)
    assert abs(stopped - whole) > 0.1 * abs(stopped)  # a gradient through all steps is another


def test_nothing_is_left_to_learn_of_a_teacher_that_goes_straight() -> None:
    """A flow whose velocity is constant along its way is walked exactly by any number of steps."""
    for noise_at in (0, 1):
        flow = LinearFlow(noise_at)

        def v(x: Tensor, t: Tensor, sign: float = 1.0 if noise_at else -1.0) -> Tensor:
            sigma = t if sign > 0 else 1 - t
            return sign * (x - 2.0) / sigma  # all data at 2

        exact = objective_of(Formula(v), 4, process=flow, grid="uniform", substeps=5)
        batch = double(batch_of(5))
        student = Formula(lambda x, t, v=v: v(x, t))
        assert exact.loss(student, batch).item() < 1e-12


@pytest.mark.parametrize("flow", [None, 0, 1])
def test_it_walks_as_the_sampler_does(flow: int | None) -> None:
    """With one substep and no guidance, the teacher's points are DDIM's, and the last one its sample."""
    seen: list[Tensor] = []

    def predict(x: Tensor, t: Tensor) -> Tensor:
        seen.append(x)
        return torch.sin(3 * x) + t / 1000.0

    process = Discrete(ALPHAS) if flow is None else LinearFlow(flow)
    grid = "even" if flow is None else "uniform"
    objective = objective_of(Formula(predict), 5, process=process, grid=grid, substeps=1)
    batch = double(batch_of(3))
    ends = []
    objective.distance = lambda x, y: ends.append(y) or x.sum() * 0  # type: ignore[assignment, func-returns-value]
    objective.loss(Formula(predict), batch)
    walked_points = seen[::2]
    noise = batch.noise().double()
    seen.clear()
    sample = SAMPLERS.named("ddim").function("eps" if flow is None else "v")
    denoiser = Formula(predict)
    if flow is None:
        last = sample(denoiser, noise, timesteps("even", 5), ALPHAS, batch.cond, CLEAN)
    else:
        times = LinearFlow(flow).times(5)[::-1]
        last = sample(denoiser, noise, times, batch.cond)
    for mine, theirs in zip(walked_points, seen, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)
    torch.testing.assert_close(ends[-1], last, rtol=0, atol=1e-9)


def pseudo_code(student: nn.Module, teacher: nn.Module, batch: Batch, substeps: int) -> Tensor:
    """The algorithm as it is published, written down once more in the variance-exploding coordinates it is given in.

    With sigma = sqrt((1 - a) / a) and z = x / sqrt(a), a DDIM step is Euler's: z += (sigma_t - sigma_s) eps.
    """
    grid = timesteps("even", 4)
    level = {t: float(ALPHAS[t]) for t in range(1000)} | {CLEAN: 1.0}

    def sigma(t: int) -> float:
        return math.sqrt((1 - level[t]) / level[t])

    def step(net: nn.Module, z: Tensor, s: int, t: int) -> Tensor:
        eps = net(z * math.sqrt(level[s]), torch.full((len(z),), s), batch.cond)[:, :4]
        return z + (sigma(t) - sigma(s)) * eps

    latents = batch.noise().double() / math.sqrt(level[grid[-1]])
    trajectory, z = [], latents
    with torch.no_grad():
        for s, t in zip(grid[::-1], [*grid[-2::-1], CLEAN], strict=True):
            stops = sorted({round(s + (t - s) * i / substeps) for i in range(substeps + 1)}, reverse=True)
            for here, there in zip(stops[:-1], stops[1:], strict=True):
                z = step(teacher, z, here, there)
            trajectory.append(z)
    total = torch.zeros((), dtype=torch.float64)
    for y, s, t in zip(trajectory, grid[::-1], [*grid[-2::-1], CLEAN], strict=True):
        out = step(student, latents, s, t)
        total = total + math.sqrt(level[t]) * (out - y).abs().mean()
        latents = out.detach()
    return total


def test_it_is_the_published_algorithm_with_its_gradients() -> None:
    student, teacher = small_dit(1).double(), small_dit(0).double()
    batch = double(batch_of(4))
    expected = pseudo_code(student, teacher, batch, 3)
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    loss = objective_of(teacher, 4, substeps=3).loss(student, batch)
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for name, p in student.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, gradients[name], rtol=1e-4, atol=1e-7)
    assert all(p.grad is None for p in teacher.parameters())


def test_guidance_and_dropped_labels_are_those_of_both_walks() -> None:
    conds: dict[bool, list[Tensor]] = {True: [], False: []}

    class Watch(Line):
        def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
            conds[torch.is_grad_enabled()].append(cond)
            return super().forward(x, t, cond)

    batch = batch_of(40)
    shared = Shared(label_dropout=0.5)
    objective_of(Watch(0.7), 2, shared=shared, guidance=2.0, substeps=2).loss(Watch(0.3), batch)
    dropped = batch.dropped(0.5, torch.tensor([5]))
    assert 0 < int((dropped == 5).sum()) < 40
    assert all(torch.equal(cond, dropped) for cond in conds[True])
    assert all(torch.equal(cond, torch.cat([dropped, torch.full_like(dropped, 5)])) for cond in conds[False])
    assert (len(conds[True]), len(conds[False])) == (2, 2 + 1)


@pytest.mark.parametrize(
    ("times", "end", "substeps", "expected"),
    [
        ([0, 4, 8], -1, 2, [[8, 6, 4], [4, 2, 0], [0, -1]]),
        ([3, 9], -1, 4, [[9, 8, 6, 4, 3], [3, 2, 1, 0, -1]]),
        ([0, 2], -1, 8, [[2, 1, 0], [0, -1]]),
        ([1, 501], 0, 1, [[501, 1], [1, 0]]),  # Stable Diffusion's grid ends at timestep 0
        ([0.5, 0.0], 1.0, 2, [[0.0, 0.25, 0.5], [0.5, 0.75, 1.0]]),
    ],
)
def test_the_teachers_stops(
    times: list[float], end: float, substeps: int, expected: list[list[float]]
) -> None:
    assert teacher_times(times, end, substeps) == expected


def test_stops_are_distinct_and_lead_from_the_noise_to_the_end() -> None:
    for name in ("even", "trailing", "karras", "logsnr"):
        for n in (2, 5, 10):
            for substeps in (1, 4, 7):
                ways = teacher_times(walked(name, n), CLEAN, substeps)
                path = [t for way in ways for t in way[:-1]] + [ways[-1][-1]]
                assert path == sorted(set(path), reverse=True)
                assert (path[0], path[-1]) == (walked(name, n)[-1], CLEAN)
                assert {way[0] for way in ways} == set(walked(name, n))


@pytest.mark.parametrize("shape_of_flow", [None, 0])
def test_the_declared_passes_are_those_of_its_stops(shape_of_flow: int | None) -> None:
    method = METHODS.builtin["trajectory"]
    grid = "even" if shape_of_flow is None else "uniform"
    spec = Plain(kind="method", method="trajectory", grid=grid, nfe=10, settings={"substeps": 3})
    expected = 9 * 3 + 1 if shape_of_flow is None else 10 * 3
    assert tuple(method.passes(spec)) == (expected, 10, 0)


def spec_of(tiny: Tiny) -> TrainSpec:
    objective = Plain(kind="method", method="trajectory", grid="even", nfe=3, settings={"substeps": 2})
    settings = {"steps": 6, "batch_size": 4, "lr": 1e-3, "ema": 0.5, "seed": 4}
    return TrainSpec(objective=objective, shape=SHAPE, weights=tiny.weights, **settings)


def test_an_interrupted_training_ends_bit_for_bit_as_an_undisturbed_one(tiny: Tiny, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    found = {}
    for name, stops in (("whole", [None]), ("cut", [2, 4, None])):
        for folder in (name, f"{name}-scratch"):
            (tmp_path / folder).mkdir()
        for stop in stops:
            done: list[int] = []

            def report(step: int, *rest: object, done: list[int] = done, **values: object) -> None:
                done.append(step)

            def stopping(done: list[int] = done, stop: int | None = stop) -> bool:
                return stop is not None and bool(done) and done[-1] >= stop

            runtime = Runtime(tmp_path / f"{name}-scratch", report=report, stopping=stopping)
            try:
                facts = train.body(spec_of(tiny), {"data": tiny.latents}, tmp_path / name, runtime)
            except Interrupted:
                assert stop is not None
        [path] = (tmp_path / name).rglob("*.safetensors")
        found[name] = load_file(path), (tmp_path / name / "loss.jsonl").read_text(), facts
    whole, cut = found["whole"], found["cut"]
    assert all(torch.equal(whole[0][name], cut[0][name]) for name in whole[0])
    assert whole[1:] == cut[1:]
    assert (facts["frozen_forwards"], facts["student_forwards"]) == (6 * 4 * (2 * 2 + 1), 6 * 4 * 3)
