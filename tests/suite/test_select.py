from __future__ import annotations

import pytest

from ssdbench.errors import SuiteError
from ssdbench.suite import EmptySelection, load_suite, select

from .conftest import Write


@pytest.fixture
def path(rows: Write) -> object:
    return rows(
        "{matrix: {nfe: [5, 10, 20], variant: [base, ssd, issd]}}",
        "{variant: pd 20-10 + issd, train: {lambda: 0.5}}",
        "{variant: base, model: DiT-S/2, label: Small}",
    )


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ("variant=issd", 3),
        ("variant=issd,nfe=10", 1),
        (" variant = issd , nfe = 10|20 ", 2),
        ("variant=*issd", 4),
        ("variant=pd 20-10 + issd", 1),
        ("train.lambda=0.5", 1),
        ("train.lambda=null", 10),
        ("label=Small", 1),
        ("model=DiT-S/2|DiT-XL/2", 11),
        ("seed=0", 11),
        ("eval.reference=imagenet-256", 11),
        ("train.lr=5e-06", 11),
    ],
)
def test_selection(path: str, only: str, count: int) -> None:
    assert len(load_suite(path, only=only).runs) == count


def test_names_before_and_after_the_profile(path: str) -> None:
    suite = load_suite(path, profile="mini")
    assert len(select(suite.runs, "model=DiT-S/2")) == 1
    assert len(select(suite.runs, "model=dit-mini")) >= 1
    assert len(select(suite.runs, "resolution=256")) == len(select(suite.runs, "resolution=32")) == 11
    assert len(select(suite.runs, "eval.reference=imagenet-256")) == 11


def test_an_empty_selection_is_an_error_of_its_own(path: str) -> None:
    with pytest.raises(EmptySelection, match="variant is one of: base, ssd, issd") as caught:
        load_suite(path, only="variant=isd")
    assert caught.value.exit_code == 5
    with pytest.raises(EmptySelection) as caught:
        load_suite(path, only="label=Small,nfe=20")
    assert str(caught.value) == (
        "--only label=Small,nfe=20: no run matches (some have nfe=20, but where label=Small, nfe is one of: 10)"
    )


@pytest.mark.parametrize(
    ("only", "text"),
    [
        ("varaint=ssd", "varaint: unknown key (did you mean 'variant'?)"),
        ("issd", "'issd' must read KEY=VALUE"),
        ("nfe=5,nfe=10", "nfe: given twice; write a choice as KEY=A|B"),
        ("train=5", "train: unknown key"),
    ],
)
def test_conditions_that_cannot_be_understood(path: str, only: str, text: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite(path, only=only)
    assert caught.value.problems[0].startswith(f"--only {only}: {text}")
