"""How checks of combined settings are written down, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from ssdbench.diffusion.grids import points
from ssdbench.errors import InputError
from ssdbench.suite import catalog
from ssdbench.suite.variant import VariantStep, parse_variant

Check = Callable[..., str | None]
Pairs = str | tuple[int, ...]


class Checks(list[tuple[tuple[str, ...], Check]]):
    """A list of checks, each with the keys whose values it is given."""

    def of(self, *keys: str) -> Callable[[Check], Check]:
        """Add a check of ``keys``: given their values, it returns what is wrong with the first, or None."""

        def register(function: Check) -> Check:
            self.append((keys, lru_cache(maxsize=4096)(function)))
            return function

        return register


@lru_cache(maxsize=4096)
def steps_of(variant: str) -> tuple[VariantStep, ...]:
    """The steps of a variant."""
    return tuple(parse_variant(variant))


def kinds_of(variant: str) -> set[str]:
    """The kinds of its steps."""
    return {step.kind for step in steps_of(variant)}


def halved(variant: str) -> VariantStep | None:
    """The last progressive distillation of a variant."""
    return next((step for step in reversed(steps_of(variant)) if step.kind == "pd"), None)


def halvings(variant: str, visited: int) -> int:
    """How often a grid of ``visited`` timesteps was halved by the whole variant; 0 for one it was not distilled to."""
    last = halved(variant)
    if last is None or last.steps[-1] != visited:
        return 0
    return sum(len(step.steps) - 1 for step in steps_of(variant) if step.kind == "pd")


def visited_by(nfe: int, sampler: str, pairs: Pairs) -> int:
    """Timesteps that a sampler visits with so many evaluations; 0 where that is impossible."""
    try:
        return points(sampler, nfe, pairs)
    except InputError:
        return 0


def prediction(model: str) -> str:
    """What a model predicts: eps or v; one of the user's own predicts eps."""
    facts = catalog.MODELS.get(model)
    return "eps" if facts is None else facts.prediction


def takes_texts(model: str) -> bool:
    """Whether a model takes captions and no classes."""
    facts = catalog.MODELS.get(model)
    return facts is not None and facts.text is not None
