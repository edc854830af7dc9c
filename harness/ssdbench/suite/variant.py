"""The grammar of variants: ``issd``, ``pd 20-10-5``, methods of the user's own, chains such as ``pd 20-10 + issd``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from itertools import pairwise

from ssdbench.errors import InputError
from ssdbench.methods import METHODS, Method
from ssdbench.own import PATTERN as OWN
from ssdbench.own import is_own
from ssdbench.suite.document import did_you_mean

_COUNTS = r"\d+(?:\s*-\s*\d+)+"
_STEP = "|".join(
    [
        *(rf"{name}\s+{_COUNTS}" if method.halves else name for name, method in METHODS.builtin.items()),
        rf"{OWN.strip('^$')}(?:\s+{_COUNTS})?",
    ]
)
VARIANT_PATTERN = rf"^\s*(?:{_STEP})(?:\s*\+\s*(?:{_STEP}))*\s*$"


@dataclass(frozen=True)
class VariantStep:
    """One step of a variant: a method's name, and the step counts of one that halves them, teacher first."""

    kind: str
    steps: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.named(self.kind)

    def named(self, name: str) -> str:
        """Return the step's text with ``name`` for its method."""
        return f"{name} {'-'.join(map(str, self.steps))}" if self.steps else name

    @property
    def label(self) -> str:
        """What a table prints."""
        return self.named(self.method.label)

    @cached_property
    def method(self) -> Method:
        """The method. Where only its results are on this machine, no more than its name is known."""
        return METHODS.known(self.kind) or Method(name=self.kind, help="", body=self.kind)

    @property
    def teachers(self) -> tuple[int, ...]:
        """The steps of the teacher of each halving."""
        return self.steps[:-1]

    @property
    def trainings(self) -> int:
        """How many trainings the step takes."""
        return len(self.teachers) if self.steps else int(self.method.trains)


@dataclass(frozen=True)
class Halved:
    """Progressive distillation so far: the model takes ``steps`` steps after ``halvings``; both are 0 at first."""

    steps: int = 0
    halvings: int = 0

    def on(self, visited: int) -> int:
        """Return the halvings behind a grid of ``visited`` timesteps; 0 if the model was not distilled to that grid."""
        return self.halvings if visited == self.steps else 0

    def then(self, teacher: int) -> Halved:
        """Return the state after one more halving; its teacher takes ``teacher`` steps."""
        return Halved(teacher // 2, self.on(teacher) + 1)


def _any(fact: Callable[[Method], bool]) -> cached_property[bool]:
    """A property of a variant: whether a fact holds of one of its methods."""
    return cached_property(lambda variant: any(map(fact, variant.methods)))


@dataclass(frozen=True)
class Variant:
    """The steps of a variant in the order in which they are trained, and what their methods say together."""

    steps: tuple[VariantStep, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.steps))

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """The method of each step."""
        return tuple(step.method for step in self.steps)

    @cached_property
    def sampled(self) -> bool:
        """Whether a model is sampled; if not, images of a data set are scored."""
        return all(method.sampled for method in self.methods)

    given = _any(lambda method: method.given)
    """Whether the images are of another program, and the run's NFE is as its user states it."""
    trains = _any(lambda method: method.trains)
    """Whether anything is trained."""
    on_pairs = _any(lambda method: method.trained_on == "pairs")
    """Whether pairs of a grid are trained."""
    on_grid = _any(lambda method: method.trained_on in ("grid", "pairs"))
    """Whether the timesteps that are sampled, or pairs of them, are trained."""
    fuses = _any(lambda method: method.fusion)
    """Whether hidden states are fused in any training."""
    distils_guidance = _any(lambda method: method.distils_guidance)
    """Whether the run's guidance is inside the result, which is then sampled without a second branch."""
    second_time = _any(lambda method: method.second_time == "needs")
    """Whether its result is a network with a second time, which a sampler tells where each step leads."""
    trains_autoencoder = _any(lambda method: method.autoencoder)
    """Whether it works on the autoencoder itself."""

    @property
    def evaluated(self) -> bool:
        """Whether there is a number of evaluations to tell, counted or stated."""
        return self.sampled or self.given

    @cached_property
    def from_nothing(self) -> bool:
        """Whether the base model itself is trained."""
        return self.methods[0].starts == "nothing"

    @cached_property
    def pretrains_alone(self) -> bool:
        """Whether the base model is trained, and nothing on top of it."""
        return self.from_nothing and len(self.steps) == 1

    @cached_property
    def added(self) -> tuple[VariantStep, ...]:
        """The trainings on top of the base model."""
        return tuple(step for step in self.steps if step.method.trains and step.method.starts == "model")

    @cached_property
    def samplers(self) -> tuple[str, ...]:
        """Names of the only samplers that fit its result; none: all of its prediction."""
        last = self.methods[-1]
        if not self.second_time or last.samplers:
            return last.samplers
        return next((method.samplers for method in reversed(self.methods) if method.samplers), ())

    def reads(self, key: str) -> bool:
        """Whether one of its methods heeds a key of a run that is not for every training."""
        return any(key in method.reads for method in self.methods)

    def predicts(self, prediction: str) -> str:
        """Return what the result predicts if the base model predicts ``prediction``."""
        for method in self.methods:
            prediction = method.predicts or prediction
        return prediction

    @cached_property
    def halved(self) -> VariantStep | None:
        """The last step that halves the grid."""
        return next((step for step in reversed(self.steps) if step.steps), None)

    @cached_property
    def distilled(self) -> Halved:
        """Progressive distillation after the whole variant."""
        return reduce(Halved.then, (teacher for step in self.steps for teacher in step.teachers), Halved())

    def before(self) -> str | None:
        """The variant without its last step; None for one that trains nothing on top of a model."""
        if len(self.steps) > 1:
            return str(Variant(self.steps[:-1]))
        return UNTOUCHED if self.added else None

    def without_counts(self) -> str:
        """The variant without the step counts of halvings: one text for all models of a chain of them."""
        return " + ".join(step.kind for step in self.steps)


UNTOUCHED = next(name for name, method in METHODS.builtin.items() if method.sampled and not method.trains)
"""The variant that samples a model as it is."""

GIVEN = next(name for name, method in METHODS.builtin.items() if method.given)
"""The variant that scores images of another program."""


def parse_variant(text: str, *, known: bool = True) -> list[VariantStep]:
    """The steps of a variant in the order in which they are trained.

    Unless names must be ``known``, one that is not is taken for a method that is not on this machine.

    Raises:
        ValueError: the text is no variant; the message says what is wrong with it.
    """
    steps = [_parse_step(part.strip(), known) for part in text.split("+")]
    for position, step in enumerate(steps if len(steps) > 1 else []):
        if not step.method.trains:
            raise ValueError(f"{step.kind!r} stands alone: it cannot be part of a chain")
        if step.method.starts == "nothing" and position > 0:
            raise ValueError(f"{step.kind!r} starts from nothing: it can only be the first of a chain")
    return steps


def variant_of(text: str) -> Variant:
    """A variant by its text; the names were checked when its suite was.

    Raises:
        ValueError: as :func:`parse_variant`.
    """
    try:
        return _known_variant(text)
    except (ValueError, InputError):  # which is not kept: a method may be found later that is not there now
        return Variant(tuple(parse_variant(text, known=False)))


@lru_cache(maxsize=4096)
def _known_variant(text: str) -> Variant:
    """A variant whose methods are all on this machine.

    Raises:
        ValueError, InputError: one is not, or the text is no variant.
    """
    steps = parse_variant(text)
    for step in steps:
        METHODS.named(step.kind)
    return Variant(tuple(steps))


def canonical_variant(text: str) -> str:
    """The one spelling of a variant: ``pd 20 - 10+issd`` becomes ``pd 20-10 + issd``.

    Raises:
        ValueError: as :func:`parse_variant`.
    """
    return str(variant_of(text))


def _parse_step(text: str, known: bool) -> VariantStep:
    if not text:
        raise ValueError("a variant is missing: neither the text nor a side of '+' may be empty")
    name, counts = (*text.split(None, 1), "")[:2]
    method, well = VariantStep(name).method, re.fullmatch(_COUNTS, counts)
    if is_own(name) or name in METHODS or not known:
        if method.halves and not well:
            raise ValueError(f"{text!r} must read '{name} A-B[-C...]', such as '{name} 20-10-5'")
        if not counts or (well and (method.halves or not method.help)):
            return VariantStep(name, _counts(text, counts))
        if well and name not in METHODS:
            raise ValueError(f"{name!r} takes no step counts")
    there = [other.usage.partition("[")[0] for other in METHODS.values()]
    raise ValueError(f"unknown variant {text!r}{did_you_mean(text, there)}")


def _counts(text: str, counts: str) -> tuple[int, ...]:
    found = tuple(int(number) for number in re.findall(r"\d+", counts))
    for teacher, student in pairwise(found):
        if student < 1 or teacher != 2 * student:
            halves = f"{text!r}: {text.split()[0]!r} halves the steps"
            raise ValueError(f"{halves}, but {teacher} to {student} does not")
    return found
