"""Guidance: which channels, and at which noise levels."""

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Counted, Guided
from ssdbench.diffusion.schedule import DISCRETE, REPA, SIT
from ssdbench.errors import InputError

LABELS = torch.tensor([3, 5])
NULL = torch.tensor([1])


def by_label(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    return cond.to(x.dtype).reshape(-1, 1, 1, 1).expand_as(x)


def test_guidance_mixes_the_named_channels_alone() -> None:
    x, t = torch.zeros(2, 4, 2, 2), torch.zeros(2, dtype=torch.int64)
    found = Guided(by_label, NULL, scale=2.0, channels=3)(x, t, LABELS)
    assert found[:, :3].unique().tolist() == [5.0, 9.0]  # null + 2 (label - null)
    assert found[:, 3].unique().tolist() == [3.0, 5.0]
    everywhere = Guided(by_label, NULL, scale=2.0)(x, t, LABELS)
    assert everywhere[:, 3].unique().tolist() == [5.0, 9.0]


def test_the_learned_sigma_stays_the_conditional_prediction_s() -> None:
    def doubled(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return torch.cat([by_label(x, t, cond), by_label(x, t, cond)], dim=1)

    x, t = torch.zeros(2, 4, 2, 2), torch.zeros(2, dtype=torch.int64)
    found = Guided(doubled, NULL, scale=2.0)(x, t, LABELS)
    assert found[:, :4].unique().tolist() == [5.0, 9.0]
    assert found[:, 4:].unique().tolist() == [3.0, 5.0]


@pytest.mark.parametrize(
    ("axis", "inside", "outside"),
    [
        (DISCRETE, [0, 400, 699], [700, 999]),
        (DISCRETE, [0.0, 399.5, 699.29], [699.31]),  # DPM-Solver-2's fractional timesteps
        (REPA, [0.0, 0.04, 0.7], [0.71, 1.0]),
        (SIT, [1.0, 0.96, 0.3], [0.29, 0.0]),
    ],
)
def test_guidance_within_an_interval_of_noise_levels(
    axis: tuple[float, float], inside: list[float], outside: list[float]
) -> None:
    rows: list[int] = []

    def watched(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        rows.append(len(x))
        return by_label(x, t, cond)

    guided = Counted(Guided(watched, NULL, scale=2.0, interval=(0.0, 0.7), axis=axis))
    x = torch.zeros(2, 4, 2, 2)
    for times, label, branches in ((inside, 9.0, 2), (outside, 5.0, 1)):
        for t in times:
            found = guided(x, torch.tensor([t, t]), LABELS)
            assert (found[1] == label).all(), t
            assert rows.pop() == 2 * branches
    assert guided.nfe == len(inside) + len(outside)
    # A batch with both: the outer sample alone goes without its second branch.
    found = guided(x, torch.tensor([outside[0], inside[0]]), LABELS)
    assert found[:, 0, 0, 0].tolist() == [3.0, 9.0]
    assert rows == [3]


def test_an_interval_leaves_the_noisiest_steps_unguided_from_below_too() -> None:
    guided = Guided(by_label, NULL, scale=2.0, interval=(0.2, 0.7), axis=REPA)
    x = torch.zeros(2, 4, 2, 2)
    assert guided(x, torch.tensor([0.1, 0.2]), LABELS)[:, 0, 0, 0].tolist() == [3.0, 9.0]


@pytest.mark.parametrize("interval", [(0.7, 0.2), (-0.1, 0.5), (0.0, 700.0)])
def test_an_interval_that_is_none(interval: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=r"0 <= low <= high <= 1, not \("):
        Guided(by_label, NULL, scale=2.0, interval=interval)
