from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.diffusion.schedule import DIT, STABLE_DIFFUSION, Schedule, alphas_cumprod, log_rhos
from ssdbench.errors import InputError
from ssdbench.samplers.grids import GRIDS, Grid
from ssdbench.samplers.walks import (
    far_from_noise,
    flow_times,
    timesteps,
    walked,
)

DISCRETE = [name for name, grid in GRIDS.items() if grid.prediction == "eps"]
FLOWS = [name for name, grid in GRIDS.items() if grid.prediction == "v"]


@pytest.mark.parametrize(
    ("name", "n", "expected"),
    [
        ("even", 10, [0, 111, 222, 333, 444, 555, 666, 777, 888, 999]),
        ("even", 4, [0, 333, 666, 999]),
        ("leading", 10, list(range(0, 1000, 100))),
        ("leading", 16, list(range(0, 1000, 63))),
        ("trailing", 10, list(range(99, 1000, 100))),
        ("sd", 10, list(range(1, 1000, 100))),
    ],
)
def test_known_grids(name: str, n: int, expected: list[int]) -> None:
    assert timesteps(name, n) == expected


@pytest.mark.parametrize(("name", "spacing", "offset"), [("trailing", "trailing", 0), ("sd", "leading", 1)])
@pytest.mark.parametrize("n", [4, 10, 20, 50, 250])
def test_diffusers_agrees(name: str, spacing: str, offset: int, n: int) -> None:
    scheduler = DDIMScheduler(timestep_spacing=spacing, steps_offset=offset)
    scheduler.set_timesteps(n)
    assert timesteps(name, n) == sorted(scheduler.timesteps.tolist())


def test_a_leading_grid_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(InputError, match="64 of 1000"):
        timesteps("leading", 64)


@pytest.mark.parametrize(("name", "only"), [("even", 0), ("leading", 0), ("sd", 1)])
def test_one_timestep_at_the_clean_end_is_no_grid_to_sample_on(name: str, only: int) -> None:
    with pytest.raises(
        InputError,
        match=rf"'{name}' has no timestep above {only} with 1, .* belongs to timestep 999 \(grids that fit: trailing, ",
    ):
        timesteps(name, 1)
    assert timesteps("trailing", 1) == [999]


def test_stable_diffusions_grid_of_1000_says_why_it_cannot_be() -> None:
    with pytest.raises(InputError) as caught:
        timesteps("sd", 1000)
    assert str(caught.value) == (
        "grid 'sd' begins at timestep 1: the last of 1000 would be 1000, beyond the last there is, 999"
        " (grids that fit: even, leading, trailing, quadratic, cubic, logsnr, karras)"
    )
    assert timesteps("sd", 999) == list(range(1, 1000))


@pytest.mark.parametrize(
    ("name", "n", "halvings", "noisiest"),
    [
        ("leading", 2, 0, 500),
        ("sd", 2, 0, 501),
        ("leading", 9, 0, 896),
        ("leading", 10, 0, None),  # 900
        ("sd", 10, 0, None),  # 901
        ("even", 2, 0, None),
        ("trailing", 1, 0, None),
        ("sd", 600, 0, 600),  # stride 1
        # progressive distillation down to one step walks what is left of a finer grid
        ("even", 1, 1, None),
        ("even", 1, 3, None),
        ("leading", 1, 1, 500),
        ("leading", 1, 2, 750),
        ("sd", 1, 1, 501),
        ("trailing", 1, 4, None),
    ],
)
def test_a_start_far_below_the_noise_is_told(name: str, n: int, halvings: int, noisiest: int | None) -> None:
    told = far_from_noise(name, n, halvings)
    if noisiest is None:
        assert told is None
        return
    assert walked(name, n, halvings)[-1] == noisiest
    assert told is not None
    assert told.startswith(f"at timestep {noisiest} of grid '{name}', below 900, ")
    assert "which belongs to timestep 999 (grids that fit: even, trailing" in told


def test_a_sampler_that_ends_at_the_first_timestep_is_offered_no_grid_that_begins_high() -> None:
    told = far_from_noise("leading", 2, to_first=True)
    assert told is not None
    assert told.endswith("(grids that fit: even, quadratic, cubic, logsnr, karras)")


@given(st.sampled_from(DISCRETE), st.integers(1, 1000), st.integers(0, 9))
def test_no_walk_starts_below_half_and_what_starts_below_nine_tenths_is_told(
    name: str, n: int, halvings: int
) -> None:
    try:
        noisiest = walked(name, n, halvings)[-1]
    except InputError:
        return
    assert noisiest >= 500
    assert (far_from_noise(name, n, halvings) is None) == (noisiest >= 900)


@pytest.mark.parametrize(("start", "stop"), [(0.0, 1.0), (1.0, 0.0)])
def test_flows_of_one_step_start_at_the_noise(start: float, stop: float) -> None:
    for name in FLOWS:
        assert flow_times(name, 1, int(start)) == [start, stop]


@given(st.sampled_from(FLOWS), st.integers(1, 1000), st.sampled_from([0, 1]))
def test_a_flow_s_times_run_from_the_noise_to_the_data(name: str, n: int, noise_at: int) -> None:
    times = flow_times(name, n, noise_at)
    assert (len(times), times[0], times[-1]) == (n + 1, noise_at, 1 - noise_at)
    lengths = [b - a if noise_at == 0 else a - b for a, b in pairwise(times)]
    assert min(lengths) > 0
    assert lengths[:-1] == pytest.approx([lengths[0]] * (n - 1), rel=1e-9)
    assert n == 1 or lengths[-1] == pytest.approx({"uniform": 1 / n, "sde": 0.04}[name], rel=1e-9)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda n, total: [0, 500.5, 999], r"'x' gave \[0, 500.5, 999\] for 3 timesteps: expected whole"),
        (lambda n, total: [999, 500, 0], "expected whole, increasing"),
        (lambda n, total: [], "expected whole, increasing"),
        (lambda n, total: [0, 999], "has no 3 distinct timesteps within 0..999"),
        (lambda n, total: [0, 1, 1000], "has no 3 distinct timesteps"),
        (lambda n, total: [0, 1, 2], "has no timestep above 2"),
        (lambda n, total: 1 / 0, "grid 'x' failed for 3: ZeroDivisionError"),
        (lambda n: [0, 1, 2], "grid 'x' failed for 3: TypeError"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(monkeypatch: pytest.MonkeyPatch, rule: Any, message: str) -> None:
    monkeypatch.setitem(GRIDS.builtin, "x", Grid(name="x", help="x", rule=rule))
    with pytest.raises(InputError, match=message):
        timesteps("x", 3)


@pytest.mark.parametrize(
    "rule", [lambda n: [0.0, 1.0], lambda n: [0.0, 0.6, 0.6, 1.0], lambda n: [0.1, 0.2, 0.3, 1.0]]
)
def test_what_is_wrong_with_a_flow_s_rule_is_said(monkeypatch: pytest.MonkeyPatch, rule: Any) -> None:
    monkeypatch.setitem(GRIDS.builtin, "x", Grid(name="x", help="x", prediction="v", rule=rule))
    with pytest.raises(InputError, match="expected 4 increasing shares from 0 to 1"):
        flow_times("x", 3, 0)


def test_grids_of_the_other_kind_of_model() -> None:
    with pytest.raises(InputError, match="'uniform' is one of times, for models that predict v"):
        timesteps("uniform", 4)
    with pytest.raises(InputError, match="'even' is one of timesteps, for models that predict eps"):
        flow_times("even", 4, 0)
    with pytest.raises(InputError, match="unknown grid 'odd'; known: even, leading"):
        timesteps("odd", 4)


@given(st.sampled_from(DISCRETE), st.integers(-1, 1001))
def test_a_grid_is_n_increasing_timesteps_or_a_clear_error(name: str, n: int) -> None:
    try:
        grid = timesteps(name, n)
    except InputError:
        # no whole stride; or the offset of 1 leads past the last timestep
        assert (
            name == "leading"
            or (name, n) == ("sd", 1000)
            or (n == 1 and name != "trailing")
            or not 1 <= n <= 1000
        )
        return
    assert len(grid) == n
    assert all(a < b for a, b in zip(grid, grid[1:], strict=False))
    assert grid[0] >= 0
    assert 500 <= grid[-1] <= 999


def test_the_schedule_without_torch_is_that_with_it() -> None:
    for schedule in (DIT, STABLE_DIFFUSION, replace(STABLE_DIFFUSION, zero_snr=True)):
        a = alphas_cumprod(schedule)
        expected = (((1 - a) / a).log() / 2).tolist()
        assert log_rhos(schedule) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_steps_that_grow_with_a_power() -> None:
    assert timesteps("quadratic", 4) == [0, 111, 444, 999]
    assert timesteps("cubic", 4) == [0, 37, 296, 999]


@pytest.mark.parametrize("n", [2, 5, 10])
@pytest.mark.parametrize("pipeline", [None, STABLE_DIFFUSION])
def test_steps_that_are_equal_in_what_they_are_named_for(n: int, pipeline: Schedule | None) -> None:
    log_rho = torch.tensor(log_rhos(pipeline or DIT))
    for name, of in (("logsnr", lambda v: v), ("karras", lambda v: (v / 7).exp())):
        # The nearest timesteps: no other is closer to where equal steps would lead.
        wanted = torch.linspace(float(of(log_rho)[0]), float(of(log_rho)[-1]), n)
        found = timesteps(name, n, pipeline=pipeline)
        places = of(log_rho) if name == "logsnr" else 7 * of(log_rho).log()
        wanted = wanted if name == "logsnr" else 7 * wanted.log()
        nearest = (places[None] - wanted[:, None]).abs().argmin(dim=1)
        assert found == nearest.tolist()


@pytest.mark.parametrize("name", ["quadratic", "cubic", "logsnr", "karras"])
@given(n=st.integers(2, 1000))
def test_crowded_timesteps_are_moved_apart(name: str, n: int) -> None:
    found = timesteps(name, n)
    assert (found[0], found[-1], len(set(found))) == (0, 999, n)


def test_karras_sigmas_are_diffusers() -> None:
    scheduler = EulerDiscreteScheduler(beta_start=1e-4, beta_end=2e-2, use_karras_sigmas=True)
    scheduler.set_timesteps(10)
    expected = [round(t) for t in scheduler.timesteps.tolist()][::-1]
    assert timesteps("karras", 10) == pytest.approx(expected, abs=1)
