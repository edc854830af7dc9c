"""The grammar of variants: ``issd``, ``pd 20-10-5``, and chains such as ``pd 20-10 + issd``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args

from ssdbench.suite.problems import did_you_mean

VariantKind = Literal[
    "base",
    "ssd",
    "issd",
    "ssd-eq10",
    "ssd-eq12",
    "ssd-half-step",
    "continual",
    "pretrain",
    "real",
    "reconstruction",
    "pd",
]
KINDS: tuple[VariantKind, ...] = get_args(VariantKind)

UNSAMPLED: frozenset[str] = frozenset({"real", "reconstruction"})
DISTILLED: frozenset[str] = frozenset({"ssd", "issd", "ssd-eq10", "ssd-eq12", "ssd-half-step"})
# Whole variants of their own: nothing to put before them, and (except for `pretrain`) nothing after.
_ALONE: frozenset[str] = frozenset({"base", *UNSAMPLED})

_PD = r"pd\s+\d+(?:\s*-\s*\d+)+"
_STEP = rf"(?:{'|'.join(kind for kind in KINDS if kind != 'pd')}|{_PD})"
VARIANT_PATTERN = rf"^\s*{_STEP}(?:\s*\+\s*{_STEP})*\s*$"


@dataclass(frozen=True)
class VariantStep:
    """One step of a variant; ``steps`` are the step counts of progressive distillation, teacher first."""

    kind: VariantKind
    steps: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"pd {'-'.join(map(str, self.steps))}" if self.kind == "pd" else self.kind


def parse_variant(text: str) -> list[VariantStep]:
    """The steps of a variant in the order in which they are trained.

    Raises:
        ValueError: the text is no variant; the message says what is wrong with it.
    """
    steps = [_parse_step(part.strip()) for part in text.split("+")]
    for position, step in enumerate(steps):
        if step.kind in _ALONE and len(steps) > 1:
            raise ValueError(f"{step.kind!r} stands alone: it cannot be part of a chain")
        if step.kind == "pretrain" and position > 0:
            raise ValueError("'pretrain' starts from nothing: it can only be the first of a chain")
    return steps


@lru_cache(maxsize=1024)
def canonical_variant(text: str) -> str:
    """The one spelling of a variant: ``pd 20 - 10+issd`` becomes ``pd 20-10 + issd``.

    Raises:
        ValueError: as :func:`parse_variant`.
    """
    return " + ".join(str(step) for step in parse_variant(text))


def _parse_step(text: str) -> VariantStep:
    if text == "pd" or text.startswith("pd "):
        return _parse_pd(text)
    for kind in KINDS:
        if text == kind:
            return VariantStep(kind)
    if not text:
        raise ValueError("a variant is missing: neither the text nor a side of '+' may be empty")
    known = [kind if kind != "pd" else "pd A-B" for kind in KINDS]
    raise ValueError(f"unknown variant {text!r}{did_you_mean(text, known)}")


def _parse_pd(text: str) -> VariantStep:
    match = re.fullmatch(_PD, text)
    if match is None:
        raise ValueError(f"{text!r} must read 'pd A-B[-C...]', such as 'pd 20-10-5'")
    counts = tuple(int(number) for number in re.findall(r"\d+", text))
    for teacher, student in pairwise(counts):
        if student < 1 or teacher != 2 * student:
            raise ValueError(
                f"{text!r}: progressive distillation halves the steps, but {teacher} to {student} does not"
            )
    return VariantStep("pd", counts)
