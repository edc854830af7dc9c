import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.diffusion import noise
from ssdbench.errors import InputError

GOLDEN = {
    0: [1.5409960746765137, -0.2934288978576660, -2.1787893772125244],
    7: [-0.1467950940132141, 0.7861412763595581, 0.9468216300010681],
    2**31: [-0.3617691695690155, 1.0699520111083984, 0.0914620906114578],
    2**32 - 1: [1.2197630405426025, -0.3929794728755951, 1.0230751037597656],
}


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


SEEDS = st.integers(0, 2**63 - 1)


@given(st.integers(0, 2**32 - 1))
def test_torchs_own_seeding_holds_below_two_to_the_32(seed: int) -> None:
    torch.manual_seed(seed)
    expected = torch.get_rng_state()
    noise.seed_torch(seed)
    assert torch.equal(torch.get_rng_state(), expected)


def test_initial_weights_are_those_of_earlier_versions() -> None:
    # As torch.manual_seed gave them: whoever changes these changes what is trained from scratch.
    for seed, expected in GOLDEN.items():
        noise.seed_torch(seed)
        torch.testing.assert_close(torch.randn(3), torch.tensor(expected), rtol=0, atol=1e-6)


@given(SEEDS, SEEDS)
def test_distinct_seeds_give_distinct_streams_everywhere(one: int, other: int) -> None:
    assert _drawn(one) == _drawn(one)
    if one != other:
        assert all(a != b for a, b in zip(_drawn(one), _drawn(other), strict=True))


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**31 - 1))
def test_the_upper_bits_of_a_seed_count(low: int, high: int) -> None:
    small, large, other = (_drawn(seed) for seed in (low, low + (high << 32), low + ((high ^ 1) << 32)))
    assert all(a != b != c for a, b, c in zip(small, large, other, strict=True))


def _drawn(seed: int) -> tuple[tuple[float, ...], ...]:
    """What all generators of a seed draw first: torch's own, each sample's noise and label, and the order of data."""
    noise.seed_torch(seed)
    initial = torch.randn(4).tolist()
    return (
        tuple(initial),
        tuple(noise.normal((4,), seed, "sample/noise", [0])[0].tolist()),
        tuple(noise.integers(10**6, seed, "sample/label", range(4)).tolist()),
        tuple(noise.shuffled(1000, seed, range(4))),
    )


def test_large_seeds_start_the_twister_as_numpy_does() -> None:
    # numpy's RandomState is the reference of init_by_array; torch.randint takes a word's remainder.
    noise.seed_torch(2**40 + 7)
    twister = np.random.RandomState([7, 2**8])
    words = twister.randint(0, 2**32, 1000, dtype=np.uint32)
    assert torch.randint(0, 2**16, (1000,)).tolist() == (words % 2**16).tolist()


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64])
def test_other_seeds_are_refused(seed: int) -> None:
    with pytest.raises(InputError, match="from 0 to 2\\^63 - 1"):
        noise.seed_torch(seed)
