import pytest
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.diffusion.grids import GRIDS, points, timesteps
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


@given(st.sampled_from(sorted(GRIDS)), st.integers(-1, 1001))
def test_a_grid_is_n_increasing_timesteps_or_a_clear_error(name: str, n: int) -> None:
    try:
        grid = timesteps(name, n)
    except InputError:
        # no whole stride; or the offset of 1 leads past the last timestep
        assert name == "leading" or (name, n) == ("sd", 1000) or not 1 <= n <= 1000
        return
    assert len(grid) == n
    assert all(a < b for a, b in zip(grid, grid[1:], strict=False))
    assert grid[0] >= 0
    assert grid[-1] <= 999


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
