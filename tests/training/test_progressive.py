"""Progressive distillation: where the student lands, how it is weighted, which steps it has."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion.process import Discrete, LinearFlow
from ssdbench.diffusion.schedule import CLEAN, alphas_cumprod, ddim_step
from ssdbench.errors import InputError
from ssdbench.methods.progressive_loss import ProgressiveDistillation
from ssdbench.samplers.walks import end_of, student_grid, timesteps
from ssdbench.training.objectives import Shared
from tests.training.toy import Formula, Probe, batch_of, small_dit

ALPHAS = alphas_cumprod()
DISCRETE = Discrete(ALPHAS)
NO_DROP = Shared(label_dropout=0.0)
VARIANCE = 0.25  # of the Gaussian data


def exact_eps(x: Tensor, t: Tensor) -> Tensor:
    """E[eps | x_t] = sqrt(1 - a) x / (a VARIANCE + 1 - a)."""
    a = ALPHAS[t].to(x)
    return (1 - a).sqrt() * x / (a * VARIANCE + 1 - a)


def exact_v(noise_at: int) -> Formula:
    """E[dx/dt | x_t]; E[noise - data | x_t] = (sigma - alpha VARIANCE) x / (alpha^2 VARIANCE + sigma^2)."""

    def v(x: Tensor, t: Tensor) -> Tensor:
        sigma = t if noise_at else 1 - t
        alpha = 1 - sigma
        d = (sigma - alpha * VARIANCE) * x / (alpha**2 * VARIANCE + sigma**2)
        return d if noise_at else -d

    return Formula(v)


def level(t: int) -> float:
    return 1.0 if t == CLEAN else float(ALPHAS[t])


def test_student_grids() -> None:
    assert student_grid([0, 111, 222, 333]) == [111, 333]
    twenty = timesteps("even", 20)
    ten = student_grid(twenty)
    five = student_grid(ten)
    assert (len(ten), len(five), ten[-1], five[-1]) == (10, 5, 999, 999)
    assert five == [twenty[3], twenty[7], twenty[11], twenty[15], twenty[19]]
    assert student_grid(LinearFlow(0).times(4), 1.0) == [1.0, 0.5, 0.0]
    assert student_grid(LinearFlow(1).times(4), 0.0) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("grid", "end"), [(five := [0, 1, 2, 3, 4], CLEAN), ([0.0, 0.5], 0.0), ([], CLEAN)])
def test_odd_grids_are_refused(grid: list[int], end: float) -> None:
    with pytest.raises(
        InputError, match=f"halves an even number of steps; the teacher's grid has {len(grid) - (end == 0)}"
    ):
        student_grid(grid, end)


@pytest.mark.parametrize(
    ("name", "n"), [("even", 20), ("even", 10), ("leading", 4), ("trailing", 8), ("sd", 10), ("even", 2)]
)
def test_one_step_of_the_target_lands_where_two_of_the_teacher_land(name: str, n: int) -> None:
    grid, end = timesteps(name, n), end_of(name)
    batch, student, teacher = batch_of(40), Probe(), Formula(exact_eps)
    objective = ProgressiveDistillation(teacher, DISCRETE, grid, NO_DROP, end=end)
    target = student.target(objective.loss(student, batch))
    path, moved = [end, *grid], []
    assert set(student.t.tolist()) == set(student_grid(grid))  # every step is met, the last one too
    for i, s in enumerate(student.t.tolist()):
        m, e = path[path.index(s) - 1], path[path.index(s) - 2]
        x = student.x[i : i + 1].double()
        eps = exact_eps(x, torch.tensor([s]))
        x_m = ddim_step(x, eps, level(s), level(m))
        x_e = ddim_step(x_m, exact_eps(x_m, torch.tensor([m])), level(m), level(e))
        one = ddim_step(x, target[i : i + 1].double(), level(s), level(e))
        # Targets are float32, and the step multiplies their rounding by sqrt(a_e / a_s), up to 157.
        rounding = 1e-6 * max(1.0, (level(e) / level(s)) ** 0.5)
        torch.testing.assert_close(one, x_e, rtol=0, atol=rounding)
        moved.append((one - ddim_step(x, eps, level(s), level(e))).abs().max().item() / rounding)
    assert max(moved) > 100  # the teacher's own eps lands elsewhere


def test_the_chain_20_10_5() -> None:
    ten = student_grid(timesteps("even", 20))
    student = Probe()
    objective = ProgressiveDistillation(Formula(exact_eps), DISCRETE, ten, NO_DROP)
    objective.loss(student, batch_of(40))
    assert set(student.t.tolist()) == {ten[i] for i in (1, 3, 5, 7, 9)}


@pytest.mark.parametrize("noise_at", [0, 1])
def test_flows_take_the_mean_slope(noise_at: int) -> None:
    process, teacher, student = LinearFlow(noise_at), exact_v(noise_at), Probe()
    times = process.times(8)
    objective = ProgressiveDistillation(teacher, process, times, NO_DROP)
    target = student.target(objective.loss(student, batch_of(30)))
    toward = -1 if noise_at else 1
    s = student.t.reshape(-1, 1, 1, 1)
    assert set(student.t.tolist()) == {times[i] for i in (2, 4, 6, 8)}
    half = toward / 8
    x_m = student.x + half * teacher.function(student.x, s)
    x_e = x_m + half * teacher.function(x_m, s + half)
    torch.testing.assert_close(target, (x_e - student.x) / (2 * half), rtol=1e-4, atol=1e-5)


def test_a_teacher_with_straight_steps_is_its_own_student() -> None:
    constant = Formula(lambda x, t: torch.full_like(x, 0.3))
    for process, grid in ((DISCRETE, timesteps("even", 10)), (LinearFlow(0), LinearFlow(0).times(4))):
        for weighting in (None, "none", "truncated"):
            objective = ProgressiveDistillation(constant, process, grid, NO_DROP, weighting)
            assert objective.loss(constant, batch_of(12)).item() == 0.0


def test_the_exact_student_has_no_loss() -> None:
    # Each step of the exact teacher multiplies x; the student's eps that does the work of two follows from the product.
    grid = timesteps("even", 10)
    path = [CLEAN, *grid]

    def factor(s: int, t: int) -> float:
        a, b = level(s), level(t)
        slope = (1 - a) ** 0.5 / (a * VARIANCE + 1 - a)
        return (b / a) ** 0.5 * (1 - (1 - a) ** 0.5 * slope) + (1 - b) ** 0.5 * slope

    slopes = torch.zeros(1000)
    for i in range(2, 11, 2):
        s, m, e = path[i], path[i - 1], path[i - 2]
        a, b = level(s), level(e)
        gain = factor(s, m) * factor(m, e)
        slopes[s] = (gain - (b / a) ** 0.5) / ((1 - b) ** 0.5 - (b / a) ** 0.5 * (1 - a) ** 0.5)
    student = Formula(lambda x, t: slopes[t] * x)
    objective = ProgressiveDistillation(Formula(exact_eps), DISCRETE, grid, NO_DROP)
    loss, scale = (objective.loss(net, batch_of(40)).item() for net in (student, Formula(exact_eps)))
    assert loss < 1e-9 < 1e-5 < scale


def landing_x0(x: Tensor, x_e: Tensor, levels_s: Sequence[float], levels_e: Sequence[float]) -> Tensor:
    """Salimans and Ho's target of x_0: the one of which a step from s, of levels (alpha, sigma), lands on x_e."""
    (a, sigma), (a_e, sigma_e) = levels_s, levels_e
    return (x_e - sigma_e / sigma * x) / (a_e - sigma_e / sigma * a)


@pytest.mark.parametrize("weighting", [None, "snr", "none", "truncated"])
def test_weights_are_those_of_the_x0_space(weighting: str | None) -> None:
    grid, batch, student = timesteps("even", 4), batch_of(24), small_dit(7)
    seen: list[tuple[Tensor, Tensor]] = []
    student.register_forward_hook(lambda _m, inputs, out: seen.append((inputs[0], inputs[1])))
    objective = ProgressiveDistillation(Formula(exact_eps), DISCRETE, grid, NO_DROP, weighting)
    found = objective.loss(student, batch)
    x, s = seen[0]
    path, total = [CLEAN, *grid], 0.0
    with torch.no_grad():
        output = student(x, s, batch.cond)[:, :4].double()
    for i, at in enumerate(s.tolist()):
        m, e = path[path.index(at) - 1], path[path.index(at) - 2]
        x_s = x[i : i + 1].double()
        x_m = ddim_step(x_s, exact_eps(x_s, torch.tensor([at])), level(at), level(m))
        x_e = ddim_step(x_m, exact_eps(x_m, torch.tensor([m])), level(m), level(e))
        (a, sigma), (a_e, sigma_e) = ((level(v) ** 0.5, (1 - level(v)) ** 0.5) for v in (at, e))
        wanted = landing_x0(x_s, x_e, (a, sigma), (a_e, sigma_e))
        implied = (x_s - sigma * output[i : i + 1]) / a
        snr = a**2 / sigma**2
        weight = {"none": 1.0, "truncated": max(snr, 1.0)}.get(weighting or "snr", snr)
        total += weight * (wanted - implied).square().mean().item() / len(s)
    assert found.item() == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("weighting", ["none", "truncated"])
def test_weights_of_flows(weighting: str) -> None:
    process, teacher = LinearFlow(1), exact_v(1)
    student = Formula(lambda x, t: 0.5 * x)
    seen: list[tuple[Tensor, Tensor]] = []
    student.register_forward_hook(lambda _m, inputs, out: seen.append((inputs[0], inputs[1])))
    found = ProgressiveDistillation(teacher, process, process.times(4), NO_DROP, weighting).loss(
        student, batch_of(9)
    )
    x, s = seen[0][0], seen[0][1].reshape(-1, 1, 1, 1)
    x_m = x - 0.25 * teacher.function(x, s)
    x_e = x_m - 0.25 * teacher.function(x_m, s - 0.25)
    wanted = landing_x0(x, x_e, (1 - s, s), (1.5 - s, s - 0.5))
    error = (wanted - (x - s * 0.5 * x)).square()
    if weighting == "truncated":
        error = error * ((1 - s) / s).square().clamp(min=1)
    torch.testing.assert_close(found, error.mean(), rtol=1e-4, atol=1e-6)


def test_snr_would_leave_pure_noise_untrained() -> None:
    process = LinearFlow(0)
    with pytest.raises(InputError, match="never trains the step from pure noise"):
        ProgressiveDistillation(exact_v(0), process, process.times(4), NO_DROP, "snr")


def test_two_frozen_passes_and_one_of_the_student() -> None:
    teacher, student = small_dit(0), small_dit(7)
    passes: list[tuple[str, bool, int]] = []
    for name, net in (("frozen", teacher), ("student", student)):
        net.register_forward_hook(
            lambda _m, inputs, _o, name=name: passes.append((name, torch.is_grad_enabled(), len(inputs[0])))
        )
    objective = ProgressiveDistillation(
        teacher, DISCRETE, timesteps("even", 4), NO_DROP, teacher_guidance=2.0
    )
    objective.loss(student, batch_of(6)).backward()
    assert passes == [("frozen", False, 12), ("frozen", False, 12), ("student", True, 6)]
    assert all(p.grad is None for p in teacher.parameters())
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())
