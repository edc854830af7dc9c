"""Samples that are not finite are named, with the evaluation at which they became so."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ssdbench.diffusion.finite import Finite, check_finite, spans
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import NotFinite
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import timesteps

GRID = timesteps("even", 5)  # 0, 250, 500, 749, 999


def sample(bad_time: int, bad_rows: list[int], value: float, of_x: bool = False, late: bool = False) -> None:
    """Sample with a denoiser that goes bad; the error's note is the times that it was asked for."""
    asked: list[int] = []

    def eps(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        out = 0.1 * x
        asked.append(int(t[0]))
        if int(t[0]) == bad_time:
            (x if of_x else out)[bad_rows, 0, 1, 1] = value
        return out + x if of_x else out

    denoiser = Finite(eps, "eps", range(40, 46), 5, late=late)
    try:
        ddim(denoiser, torch.ones(6, 2, 3, 3), GRID, alphas_cumprod(), torch.zeros(6))
        denoiser.settle()
    except NotFinite as error:
        error.add_note(str(asked))
        raise


@pytest.mark.parametrize(("time", "evaluation"), [(999, 1), (500, 3), (0, 5)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_prediction_its_samples_and_its_step_are_named(time: int, evaluation: int, value: float) -> None:
    with pytest.raises(NotFinite) as error:
        sample(time, [1, 2, 5], value)
    assert str(error.value) == (
        f"the predictions eps of samples 41..42, 45 are not finite at time {time}, evaluation {evaluation} of 5"
    )


@pytest.mark.parametrize(("time", "asked"), [(999, [999, 749]), (500, [999, 749, 500, 250]), (0, GRID[::-1])])
def test_on_a_gpu_it_is_asked_one_evaluation_later_and_the_same_is_told(time: int, asked: list[int]) -> None:
    with pytest.raises(NotFinite) as at_once:
        sample(time, [1, 2, 5], math.nan)
    with pytest.raises(NotFinite) as later:
        sample(time, [1, 2, 5], math.nan, late=True)
    assert str(later.value) == str(at_once.value)
    assert later.value.__notes__ == [str(asked)]


def test_latents_that_were_bad_before_the_denoiser_saw_them_are_told_apart() -> None:
    with pytest.raises(
        NotFinite, match="the latents x of samples 43 are not finite at time 749, evaluation 2"
    ):
        sample(749, [3], math.nan, of_x=True)


def test_finite_samples_pass_unchanged() -> None:
    def eps(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return 0.1 * x

    x = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    plain = ddim(eps, x, GRID, alphas_cumprod(), torch.zeros(6))
    watched = ddim(Finite(eps, "eps", range(6), 5), x, GRID, alphas_cumprod(), torch.zeros(6))
    assert torch.equal(plain, watched)
    check_finite(watched, range(6), "samples")


@given(st.sets(st.integers(0, 60), min_size=1))
def test_spans_say_which_numbers_they_are(numbers: set[int]) -> None:
    text = spans(sorted(numbers))
    shown, _, rest = text.partition(" and ")
    found = []
    for part in shown.split(", "):
        low, _, high = part.partition("..")
        found += range(int(low), int(high or low) + 1)
    counted = int(rest.split()[0]) if rest else 0
    assert found == sorted(numbers)[: len(found)]
    assert len(found) + counted == len(numbers)
