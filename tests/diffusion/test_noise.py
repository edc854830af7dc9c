import torch
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.diffusion import noise


@given(st.integers(0, 2**31), st.lists(st.integers(0, 10**6), min_size=1, max_size=8), st.integers(1, 8))
def test_a_draw_depends_on_seed_and_index_alone(seed: int, indices: list[int], cut: int) -> None:
    whole = noise.normal((2, 3), seed, "s", indices)
    parts = [noise.normal((2, 3), seed, "s", indices[i : i + cut]) for i in range(0, len(indices), cut)]
    assert torch.equal(whole, torch.cat(parts))


def test_streams_seeds_and_indices_are_independent() -> None:
    base = noise.normal((4096,), 0, "a", [0])
    for other in (
        noise.normal((4096,), 0, "b", [0]),
        noise.normal((4096,), 1, "a", [0]),
        noise.normal((4096,), 0, "a", [1]),
    ):
        correlation = torch.corrcoef(torch.cat([base, other]))[0, 1]
        assert abs(correlation) < 0.08  # five standard errors


def test_the_noise_is_standard_normal() -> None:
    draws = noise.normal((100,), 3, "n", range(1000)).double()
    assert abs(draws.mean()) < 0.016
    assert abs(draws.std() - 1) < 0.012
    assert abs((draws**4).mean() - 3) < 0.16


def test_labels_cover_all_classes_evenly() -> None:
    labels = noise.integers(10, 0, "label", range(10_000))
    assert labels.bincount(minlength=10).min() > 850
    assert labels.max() == 9


def test_data_order_is_a_permutation_every_epoch() -> None:
    order = noise.shuffled(50, 7, range(150))
    epochs = [order[:50], order[50:100], order[100:]]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert noise.shuffled(50, 7, range(70, 90)) == order[70:90]
    assert noise.shuffled(50, 8, range(50)) != epochs[0]


def test_drawn_numbers_are_those_of_earlier_versions() -> None:
    # Whoever changes these changes every result: raise the stages' VERSION with it.
    assert noise.integers(1000, 0, "sample/label", range(5)).tolist() == [977, 612, 192, 984, 106]
    torch.testing.assert_close(
        noise.normal((3,), 0, "sample/noise", [0])[0],
        torch.tensor([0.3795467019081116, -0.2633395195007324, -0.7211417555809021]),
    )
