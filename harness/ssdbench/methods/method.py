"""What a training method says of itself, and what its objective and a footnote are told of a run. Free of torch.

A method's declaration turns a run's settings into an :class:`ObjectiveSpec`, a part of the ``train`` stage's key. The
stage builds the method's body from it: a function of a :class:`ssdbench.methods.setup.Setup` that returns a
:class:`ssdbench.training.objectives.Objective`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, Field

from ssdbench.declaration import Declaration
from ssdbench.diffusion.guidance import GuidanceSetting
from ssdbench.models.shapes import OUTPUT, Shape
from ssdbench.samplers.sampler import trained_pairs
from ssdbench.setting import JSON, Setting, Source

if TYPE_CHECKING:
    from ssdbench.suite.training import Train

S = TypeVar("S", bound="ObjectiveSpec")
B = TypeVar("B", bound=BaseModel)
SETTINGS = "train.settings"
"""The key under which a suite gives what a method has of settings of its own."""


class ObjectiveSpec(Setting):
    """What a training minimises, as the ``train`` stage's key holds it. Subclasses narrow ``kind`` to their own.

    Where it is trained on a ``grid``, that has ``nfe`` timesteps, and was halved ``halvings`` times by earlier
    trainings; ``own_grid`` is the code of one of the user's own. ``pairs`` are the indices i of the pairs
    (g[i], g[i-1]) that are trained. A ``halving`` is of a teacher of ``nfe`` steps. ``teacher_guidance`` is the
    guidance scale of the frozen model; ``guidance`` what the student is to have inside, if any. ``anchor`` is the share
    of each batch that keeps the student at the grid's untrained timesteps; see
    :class:`ssdbench.training.drift.Anchored`.
    """

    FEATURES: ClassVar[bool] = False  # whether it reads the feature network's features of the training images

    kind: str
    grid: str | None = None
    own_grid: Source | None = None
    nfe: int = 0
    halvings: int = 0
    pairs: tuple[int, ...] = ()
    halving: bool = False
    teacher_guidance: float = 1.0
    guidance: GuidanceSetting | None = None
    anchor: float = 0.0

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """The kinds of objective that the class is for."""
        return get_args(cls.model_fields["kind"].annotation)

    def result(self) -> tuple[str, int, int] | None:
        """Grid, timesteps and halvings that the result is for; None where it is for every grid."""
        if self.grid is None:
            return None
        return self.grid, self.nfe // (1 + self.halving), self.halvings + self.halving


_NONE = GuidanceSetting()


class Plain(ObjectiveSpec):
    """The objective of a method that has no class of its own: its name and its settings.

    ``source`` is the code of a method of the user's own.
    """

    kind: Literal["method"]
    method: str
    source: Source | None = None
    settings: dict[str, JSON] = Field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """What a method's objective is made of: a run's settings, once the planner has worked them out.

    Args:
        name: the method's, as the suite gives it.
        method: the method itself.
        train: the run's section ``train``.
        shape: of the model.
        grid: name of the grid, one of times for a flow model.
        nfe: timesteps that are trained on: those that the run samples on unless ``train.nfe`` gives others; of a
            halving the teacher's.
        halvings: how often this grid was halved by the trainings before.
        source: the code of a method of the user's own.
        guidance: the run's, as far as the model that the training starts from does not have it inside.
    """

    name: str
    method: Method
    train: Train
    shape: Shape
    grid: str
    nfe: int
    halvings: int = 0
    source: Source | None = None
    guidance: GuidanceSetting = _NONE

    def objective(self, spec: type[S], **settings: Any) -> S:
        """An objective of this class with these settings, on the grid and pairs that the method is trained on."""
        # What takes the run's guidance into the student heeds no scale of the teacher's own.
        scale = 1.0 if self.method.distils_guidance else self.train.teacher_guidance
        on: dict[str, Any] = {"teacher_guidance": scale, "halving": self.method.halves}
        if self.method.trained_on != "all":
            on |= {"grid": self.grid, "nfe": self.nfe, "halvings": self.halvings}
        if self.method.trained_on == "pairs":
            on["pairs"] = trained_pairs(self.train.pairs, self.nfe)
        if self.method.distils_guidance:
            on["guidance"] = self.guidance
        return spec(**on, **settings)


def plain(recipe: Recipe) -> ObjectiveSpec:
    """The objective of a method that has no class of its own. Settings equal to their defaults are left out."""
    settings = recipe.method.own_settings(recipe.train.settings)
    return recipe.objective(Plain, kind="method", method=recipe.name, source=recipe.source, settings=settings)


def layer_names(layers: Sequence[int]) -> str:
    """Fused layers as a reader is told of them: ``0, 1, output``."""
    return ", ".join("output" if layer == OUTPUT else str(layer) for layer in layers)


@dataclass(frozen=True)
class Trained:
    """What a table's footnote can tell of a training.

    Args:
        train: the run's section ``train``.
        layers: the fused layers, if any.
        w: the weight of the states from s at each of them.
    """

    train: Train
    layers: tuple[int, ...] = ()
    w: float | None = None

    @property
    def fusion(self) -> str:
        """The weight, the fused layers and the share; nothing where nothing is fused."""
        if self.w is None or not self.layers:
            return ""
        share = 1.0 - (1.0 - self.w) ** len(self.layers)
        noun = "layer" if len(self.layers) == 1 else "layers"
        return f"w = {self.w:.3g} at fused {noun} {layer_names(self.layers)} (share W = {share:.3g})"

    @property
    def pairs(self) -> str:
        """Which pairs are trained, and what of it is not as usual: their weights, the anchor, another grid."""
        train = self.train
        pairs, weights = (
            given if isinstance(given, str) else f"{list(given)}"
            for given in (train.pairs, train.pair_weights)
        )
        further = {
            f"weights {weights}": weights != "equal",
            f"anchor {train.anchor:g}": train.anchor,
            f"distilled on the grid of {train.nfe} evaluations": train.nfe is not None,
        }
        return ", ".join([pairs, *(text for text, said in further.items() if said)])


def settings_note(method: Method, trained: Trained) -> str | None:
    """The settings that a suite gives, and the pairs of a method that trains pairs."""
    given = method.known_settings(trained.train.settings)
    parts = [f"{name} = {value}" for name, value in given.items()]
    if method.trained_on == "pairs":
        parts.append(f"pairs {trained.pairs}")
    return f"{method.label}: {', '.join(parts)}" if parts else None


Forwards = float | Callable[[ObjectiveSpec], float]
"""Forward passes for a sample of one loss: a number, or a function of the training's objective."""


class Passes(NamedTuple):
    """Forward passes of one loss for a sample: of models that are not trained, of the student, of second branches."""

    frozen: float
    student: float
    second: float = 0.0


def second_branch(objective: ObjectiveSpec) -> float:
    """Passes of guidance's second branch in one pass of the frozen model that is to be distilled with its guidance.

    Within an interval of guidance it is the interval's share of all times.
    """
    guidance = objective.guidance
    if guidance is None or guidance.scale == 1.0:
        return 0.0
    low, high = guidance.interval or (0.0, 1.0)
    return high - low


def own_of(objective: ObjectiveSpec, settings: type[B]) -> B:
    """The method's own settings, which its training's key holds where they differ from their defaults."""
    assert isinstance(objective, Plain)
    return settings.model_validate(objective.settings)


Check = tuple[tuple[str, ...], Callable[..., str | None]]
"""Keys of a run and a function of their values that says what is wrong with the first; see :class:`Method`."""


@dataclass(frozen=True, kw_only=True)
class Method(Declaration):
    """How a model is made from another, or what else a row of a table scores.

    Args:
        body: ``package.module:name`` of a function of a :class:`ssdbench.methods.setup.Setup` that returns the
            :class:`ssdbench.training.objectives.Objective`, such as a subclass of it; empty for what trains nothing.
        starts: from a ``model``, from ``nothing`` (it makes the base model), or it scores the ``images`` of a data set
            and samples nothing.
        given: whether the images are those that the run names as ``samples``, of which its user states the NFE.
        trained_on: timesteps that it trains: ``all``, so that one student serves every NFE; the ``grid`` that the run
            samples on; the ``pairs`` of that grid's neighbours; or a ``halving``, which a suite writes ``NAME A-B[-C]``
            and which is one training for each halving.
        trained_end: of a pair (s, t), the end at which the student is trained: s, the noisier, or t.
        predictions: what a model that it trains may predict.
        predicts: what its result predicts, if that is not what the model did. The samplers are those of it.
        samplers: names of the only samplers that fit its result; none: all of its prediction.
        distils_guidance: whether the run's guidance is inside its result, which is then sampled without: its body
            takes the guided frozen model, ``setup.teacher``.
        second_time: ``needs``: it trains a second time of the network, for which the model's family must have room, and
            which its student has. ``takes``: it goes on with such a student, told where each step of the grid leads.
            Nothing: it is not for such a student.
        fusion: whether it needs the model's fusion points, so that the student can be sampled ``fused`` too.
        autoencoder: whether it works on the autoencoder itself, so that a run may train one (``autoencoder:``).
        reads: the keys of a run that it heeds, beside those that hold for every training, and for guidance where it
            is distilled.
        settings: its own settings, given as ``train.settings``. A frozen pydantic model with a default for each field.
        frozen_forwards: forward passes of models that are not trained that one loss takes for a sample; guidance's
            second branch does not count.
        student_forwards: forward passes with gradients.
        guided_forwards: passes of guidance's second branch; None: one for each frozen pass where the frozen model is
            guided by ``train.teacher_guidance``, else none.
        specs: the classes of what ``objective`` returns; a method of the user's own keeps to :class:`Plain`.
        objective: from a run's settings to the objective of one training.
        pace: settings of the optimiser that it has of its own, such as ``{"steps": ...}``.
        checks: keys of a run and a function of their values, which says what is wrong with the first, or None. The key
            ``prediction`` is what the model predicts.
        note: what a footnote tells of a training.
    """

    KIND: ClassVar[str] = "method"

    starts: Literal["model", "nothing", "images"] = "model"
    given: bool = False
    trained_on: Literal["all", "grid", "pairs", "halving"] = "all"
    trained_end: Literal["s", "t"] = "s"
    predictions: tuple[str, ...] = ("eps", "v")
    predicts: str = ""
    samplers: tuple[str, ...] = ()
    distils_guidance: bool = False
    second_time: Literal["", "takes", "needs"] = ""
    fusion: bool = False
    autoencoder: bool = False
    reads: tuple[str, ...] = ()
    settings: type[BaseModel] | None = None
    frozen_forwards: Forwards = 0
    student_forwards: Forwards = 1
    guided_forwards: Forwards | None = None
    specs: tuple[type[ObjectiveSpec], ...] = (Plain,)
    objective: Callable[[Recipe], ObjectiveSpec] = plain
    pace: Callable[[Train], Mapping[str, Any]] = lambda train: {}
    checks: tuple[Check, ...] = ()
    note: Callable[[Method, Trained], str | None] = settings_note

    @property
    def trains(self) -> bool:
        """Whether there is anything to train. What trains nothing is a whole row by itself, no part of a chain."""
        return bool(self.body)

    @property
    def sampled(self) -> bool:
        """Whether its result is sampled."""
        return self.starts != "images"

    @property
    def halves(self) -> bool:
        """Whether it is written with step counts."""
        return self.trained_on == "halving"

    def trained_at(self, pairs: Sequence[int]) -> tuple[int, ...]:
        """Where the student of these pairs i, (s, t) = (g[i], g[i-1]), is trained: indices of the grid."""
        return tuple(i if self.trained_end == "s" else i - 1 for i in pairs)

    def passes(self, objective: ObjectiveSpec) -> Passes:
        """The forward passes of one loss for a sample."""
        frozen, student = _passes(self.frozen_forwards, objective), _passes(self.student_forwards, objective)
        if self.guided_forwards is not None:
            return Passes(frozen, student, _passes(self.guided_forwards, objective))
        return Passes(frozen, student, frozen if objective.teacher_guidance != 1.0 else 0.0)

    @property
    def usage(self) -> str:
        """As a suite writes it."""
        return f"{self.name} A-B[-C]" if self.halves else self.name

    def known_settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of ``given`` that are its own: a row's other methods have theirs in the same mapping."""
        known = {} if self.settings is None else self.settings.model_fields
        return {name: value for name, value in given.items() if name in known}

    def read_settings(self, given: Mapping[str, Any]) -> BaseModel | None:
        """Its settings; None where it has none.

        Raises:
            pydantic.ValidationError: a value is none that it takes.
        """
        return None if self.settings is None else self.settings.model_validate(self.known_settings(given))

    def own_settings(self, given: Mapping[str, Any]) -> dict[str, JSON]:
        """Its settings that differ from their defaults, as a key holds them.

        Raises:
            pydantic.ValidationError: a value is none that it takes.
        """
        found = self.read_settings(given)
        return {} if found is None else found.model_dump(mode="json", exclude_defaults=True)


def _passes(given: Forwards, objective: ObjectiveSpec) -> float:
    return given(objective) if callable(given) else given
