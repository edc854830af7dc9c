"""Paths, their slopes and steps, for discrete time and for flows in both directions."""

import math

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion.process import Discrete, LinearFlow, Process, model_time, time_tensor
from ssdbench.diffusion.schedule import CLEAN, alphas_cumprod, midpoint
from ssdbench.errors import InputError

ALPHAS = alphas_cumprod()
DISCRETE, SIT, REPA = Discrete(ALPHAS), LinearFlow(0), LinearFlow(1)
# From noisy to clean, the last step to clean data.
WALKS: list[tuple[Process, list[float]]] = [
    (DISCRETE, [999, 640, 37, 0, CLEAN]),
    (DISCRETE, [999.0, 700.25, 12.5, 0.0]),
    (SIT, [0.0, 0.3, 0.9, 1.0]),
    (REPA, [1.0, 0.8, 0.35, 0.0]),
]
each_walk = pytest.mark.parametrize(("process", "walk"), WALKS)


def rows(n: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, 5, dtype=torch.float64), torch.randn(n, 5, dtype=torch.float64)


@each_walk
def test_a_step_with_the_target_stays_on_the_path(process: Process, walk: list[float]) -> None:
    s, t = time_tensor(walk[:-1]), time_tensor(walk[1:])
    x0, noise = rows(len(s))
    x_t = process.step(process.noised(x0, noise, s), process.target(x0, noise), s, t)
    torch.testing.assert_close(x_t, process.noised(x0, noise, t))
    assert (process.snr(s) < process.snr(t)).all()


def test_the_clean_end_is_the_data() -> None:
    x0, noise = rows(3)
    for process in (DISCRETE, SIT, REPA):
        clean = time_tensor([process.clean] * 3)
        assert torch.equal(process.noised(x0, noise, clean), x0)
        assert process.snr(clean).isinf().all()
        assert not process.x0_error(clean).any()


def test_flows_by_hand() -> None:
    x0, noise = torch.tensor([[2.0]]), torch.tensor([[-6.0]])
    quarter = torch.tensor([0.25], dtype=torch.float64)
    assert SIT.noised(x0, noise, quarter).item() == -4.0  # a quarter of data
    assert REPA.noised(x0, noise, quarter).item() == 0.0  # a quarter of noise
    assert SIT.target(x0, noise).item() == 8.0
    assert REPA.target(x0, noise).item() == -8.0
    assert SIT.snr(quarter).item() == pytest.approx(1 / 9)
    assert REPA.snr(quarter).item() == pytest.approx(9)
    assert SIT.times(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert REPA.times(4) == [0.0, 0.25, 0.5, 0.75, 1.0]
    with pytest.raises(InputError, match="time 0 or 1, not 2"):
        LinearFlow(2)


@each_walk
def test_the_clock_measures_steps(process: Process, walk: list[float]) -> None:
    # Two steps in a row with one prediction, however the way is cut, are one step with it.
    x, prediction = rows(1)
    for s, m, t in zip(walk, walk[1:], walk[2:], strict=False):
        at_s, at_m, at_t = (time_tensor([v]) for v in (s, m, t))
        two = process.step(process.step(x, prediction, at_s, at_m), prediction, at_m, at_t)
        torch.testing.assert_close(two, process.step(x, prediction, at_s, at_t))
        # Only the first step is taken with twice the prediction: as if the way of that part were twice as long.
        mixed = process.step(process.step(x, 2 * prediction, at_s, at_m), prediction, at_m, at_t)
        c_s, c_m, c_t = (process.clock(v).item() for v in (at_s, at_m, at_t))
        mean = ((c_m - c_s) * 2 * prediction + (c_t - c_m) * prediction) / (c_t - c_s)
        torch.testing.assert_close(mixed, process.step(x, mean, at_s, at_t))


@each_walk
def test_the_error_of_x0_by_stepping_to_clean_data(process: Process, walk: list[float]) -> None:
    s = time_tensor(walk[:-1])
    x, _ = rows(len(s))
    first, second = rows(len(s))
    end = time_tensor([process.clean] * len(s))
    error = (process.step(x, first, s, end) - process.step(x, second, s, end)).square().mean(1)
    torch.testing.assert_close(error, process.x0_error(s) * (first - second).square().mean(1))


def test_fractional_timesteps_lie_between_whole_ones() -> None:
    for s, t in ((999, 888), (111, 0), (1, 0)):
        u, level = midpoint(ALPHAS, s, t)
        assert DISCRETE.midpoint(s, t) == u
        assert DISCRETE.level(torch.tensor([u], dtype=torch.float64)).item() == pytest.approx(
            level, rel=1e-12
        )
    whole = torch.tensor([0, 500, 999])
    torch.testing.assert_close(DISCRETE.level(whole.double()), ALPHAS[whole], rtol=1e-12, atol=0)


def test_midpoints_of_flows() -> None:
    # alpha / sigma is 1/4 at s and 1 at t; their geometric mean 1/2 is at a third.
    assert SIT.midpoint(0.2, 0.5) == pytest.approx(1 / 3)
    assert REPA.midpoint(0.8, 0.5) == pytest.approx(2 / 3)
    assert SIT.midpoint(0.1, 0.9) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("process", "s", "t"),
    [(SIT, 0.0, 0.1), (SIT, 0.9, 1.0), (REPA, 1.0, 0.9), (REPA, 0.1, 0.0), (DISCRETE, 0, CLEAN)],
)
def test_ends_have_no_midpoint(process: Process, s: float, t: float) -> None:
    with pytest.raises(InputError, match=r"no middle in log\(alpha / sigma\)"):
        process.midpoint(s, t)


def test_training_times() -> None:
    whole = DISCRETE.draw(3, "train/timestep", range(4000))
    assert whole.dtype == torch.int64
    assert (whole.min() < 5, whole.max() > 994) == (True, True)
    sit, repa = (process.draw(3, "train/timestep", range(4000)) for process in (SIT, REPA))
    assert torch.equal(sit, 1 - repa)  # the same noise in both
    assert (sit.min() >= 0, sit.max() <= 1) == (True, True)
    for q in (0.1, 0.5, 0.9):
        assert math.isclose(sit.quantile(q), q, abs_tol=0.03)
    assert torch.equal(SIT.draw(3, "train/timestep", [17]), sit[17:18])


def test_models_get_times_that_they_can_resolve() -> None:
    x = torch.zeros(1, dtype=torch.bfloat16)
    assert model_time(torch.tensor([999]), x).dtype == torch.int64
    assert model_time(torch.tensor([0.999], dtype=torch.float64), x).dtype == torch.float32
    assert time_tensor([0, 111]).dtype == torch.int64
    assert time_tensor([0.0, 0.1]).dtype == torch.float64
