import pytest
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.diffusion.grids import (
    GRIDS,
    far_from_noise,
    points,
    sde_times,
    timesteps,
    uniform_times,
    walked,
)
from ssdbench.errors import InputError


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
        match=rf"'{name}' has no timestep above {only} with 1, .* belongs to timestep 999 \(grids that fit: trailing\)",
    ):
        timesteps(name, 1)
    assert timesteps("trailing", 1) == [999]


def test_stable_diffusions_grid_of_1000_says_why_it_cannot_be() -> None:
    with pytest.raises(InputError) as caught:
        timesteps("sd", 1000)
    assert str(caught.value) == (
        "grid 'sd' begins at timestep 1: the last of 1000 would be 1000, beyond the last there is, 999"
        " (grids that fit: even, leading, trailing)"
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
    assert told.endswith("(grids that fit: even)")


@given(st.sampled_from(sorted(GRIDS)), st.integers(1, 1000), st.integers(0, 9))
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
    assert uniform_times(1, start, stop) == [start, stop]
    assert sde_times(1, start, stop) == [start, stop]


@given(st.sampled_from(sorted(GRIDS)), st.integers(-1, 1001))
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


@pytest.mark.parametrize("n", [3, 10, 25])
@pytest.mark.parametrize(("pairs", "count"), [("all", -1), ("skip_last", -2), ((1, 2), 2)])
def test_the_teacher_takes_one_evaluation_a_timestep_and_one_a_pair(
    n: int, pairs: str | tuple[int, ...], count: int
) -> None:
    evaluations = n + (n + count if count < 0 else count)
    assert points("ssd-teacher", evaluations, pairs) == n
    if isinstance(pairs, str):
        with pytest.raises(InputError, match="fits no grid"):
            points("ssd-teacher", evaluations + 1, pairs)


def test_two_evaluations_a_step() -> None:
    assert points("dpm-solver-2", 10) == 6
    assert points("ddim", 10) == points("ab2", 10) == 10
    with pytest.raises(InputError, match="must be even"):
        points("dpm-solver-2", 7)
