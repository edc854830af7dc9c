from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.methods import METHODS
from ssdbench.suite.variant import VARIANT_PATTERN, VariantStep, canonical_variant, parse_variant, variant_of


def test_every_kind_alone() -> None:
    for kind, method in METHODS.builtin.items():
        if not method.halves:
            assert parse_variant(kind) == [VariantStep(kind)]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("pd 20-10", [VariantStep("pd", (20, 10))]),
        ("pd 16-8-4", [VariantStep("pd", (16, 8, 4))]),
        ("pd 20-10 + issd", [VariantStep("pd", (20, 10)), VariantStep("issd")]),
        ("pretrain+ssd + issd", [VariantStep("pretrain"), VariantStep("ssd"), VariantStep("issd")]),
    ],
)
def test_chains(text: str, steps: list[VariantStep]) -> None:
    assert parse_variant(text) == steps


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("isd", "did you mean 'issd'"),
        ("", "missing"),
        ("ssd +", "missing"),
        ("pd", "must read"),
        ("pd 20", "must read"),
        ("pd 20-", "must read"),
        ("pd 20-11", "halves"),
        ("pd 10-20", "halves"),
        ("pd 1-0", "halves"),
        ("base + issd", "stands alone"),
        ("issd + real", "stands alone"),
        ("ssd + pretrain", "first of a chain"),
    ],
)
def test_what_is_no_variant(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_variant(text)


steps = st.one_of(
    st.sampled_from(["ssd", "issd", "continual", "ssd-eq10", "ssd-eq12"]),
    st.integers(1, 50).map(lambda n: f"pd {4 * n}-{2 * n}-{n}"),
)


@given(st.lists(steps, min_size=1, max_size=4), st.sampled_from(["+", " + ", "  +"]))
def test_one_spelling(parts: list[str], plus: str) -> None:
    text = canonical_variant(plus.join(parts))
    assert text == " + ".join(parts)
    assert canonical_variant(text) == text
    assert re.match(VARIANT_PATTERN, text)


@given(st.text(alphabet="pdis-+0123456789 ", max_size=12))
def test_the_editors_pattern_accepts_all_that_parses(text: str) -> None:
    try:
        parse_variant(text)
    except ValueError:
        return
    assert re.match(VARIANT_PATTERN, text)


def test_a_record_of_a_method_that_is_no_longer_installed_can_still_be_named() -> None:
    variant = variant_of("gone 8-4 + issd")
    assert str(variant) == "gone 8-4 + issd"
    assert [step.label for step in variant.added] == ["gone 8-4", "iSSD"]
    assert variant.trains
    with pytest.raises(ValueError, match="unknown variant 'gone 8-4'"):
        parse_variant("gone 8-4 + issd")
