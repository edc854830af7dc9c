"""Self step-distillation, explicit and implicit. The losses are in ``ssd_loss``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ssdbench.methods.method import Method, ObjectiveSpec, Recipe, Trained
from ssdbench.models.shapes import OUTPUT

if TYPE_CHECKING:
    from ssdbench.suite.training import Train

_BODY = "ssdbench.methods.ssd_loss:build"
_READS = ("train.pairs", "train.pair_weights", "train.anchor", "train.nfe", "train.teacher_guidance")

DEFAULT_SHARE = 1 / 3
"""The share of a fused pass that comes from the noisier step, where a run gives neither lambda nor share."""


class SelfStep(ObjectiveSpec):
    """Self step-distillation on the pairs (g[i], g[i-1]) for i in ``pairs`` of a grid."""

    #: what the pairs' losses are multiplied by; None: nothing
    weights: tuple[float, ...] | Literal["step"] | None = None


class Explicit(SelfStep):
    """Eq. 5 with a lambda, or with Eq. 12's of each pair; or Eq. 10 with its half step."""

    kind: Literal["ssd", "half-step"]
    lam: float | Literal["eq12"] | None = None


class Implicit(SelfStep):
    """Eq. 6: the layers whose outputs are fused, and the weight of the states from s."""

    kind: Literal["issd"]
    layers: tuple[int, ...]
    w: float = 0.0


def fused_layers(train: Train, depth: int) -> tuple[int, ...]:
    """What is fused, in the order in which it is computed: blocks by their indices, and the model's output."""
    words = {
        "all": tuple(range(depth)),
        "last": (depth - 1,),
        "output": (OUTPUT,),
        "all+output": (*range(depth), OUTPUT),
    }
    return words[train.fuse] if isinstance(train.fuse, str) else tuple(sorted(train.fuse))


def fusion_weight(train: Train, layers: int) -> float:
    """w, the weight of the states from s at each fused layer.

    From lambda, which weights s (Eq. 6 as printed) or t; else from the share W of the features that comes from s
    after all fused layers: W = 1 - (1 - w)^L. Rounded, so that one weight has one key however it was given.
    """
    if train.lambda_ is not None:
        w = train.lambda_ if train.lambda_weights == "s" else 1.0 - train.lambda_
    else:
        share = DEFAULT_SHARE if train.share is None else train.share
        w = 1.0 - float((1.0 - share) ** (1.0 / layers))
    return round(w, 12)


def _weighted(recipe: Recipe, spec: type[SelfStep], **settings: Any) -> SelfStep:
    weights = recipe.train.pair_weights
    return recipe.objective(spec, weights=None if weights == "equal" else weights, **settings)


def _explicit(recipe: Recipe, lam: float | None) -> SelfStep:
    """Eq. 5 with this lambda; None is Eq. 12's of each pair."""
    return _weighted(recipe, Explicit, kind="ssd", lam="eq12" if lam is None else lam)


def _implicit(recipe: Recipe) -> SelfStep:
    layers = fused_layers(recipe.train, recipe.shape.depth)
    weight = fusion_weight(recipe.train, len(layers))
    return _weighted(recipe, Implicit, kind="issd", layers=layers, w=weight)


def _middle(
    variant: str, pairs: str | tuple[int, ...], nfe: int, trained: int | None, model: str, prediction: str
) -> str | None:
    """A flow's first step has no middle of log(alpha / sigma)."""
    first = (trained or nfe) - 1
    if prediction == "eps" or (not isinstance(pairs, str) and first not in pairs):
        return None
    return (
        f"{variant!r} of model {model!r} needs the middle of log(alpha / sigma), which is infinite at pure noise:"
        f" leave pair {first} out of train.pairs"
    )


def _middle_unless_lambda(variant: str, *given: Any) -> str | None:
    *others, lam = given
    return _middle(variant, *others) if lam is None else None


_KEYS = ("variant", "train.pairs", "nfe", "train.nfe", "model", "prediction")


def _lambda_note(method: Method, trained: Trained) -> str:
    lam = trained.train.lambda_
    return f"{method.label}: lambda {'of Eq. 12' if lam is None else f'= {lam:.3g}'}, pairs {trained.pairs}"


def _fusion_note(method: Method, trained: Trained) -> str | None:
    return f"{method.label}: {trained.fusion}, pairs {trained.pairs}" if trained.fusion else None


_on_pairs_method = partial(Method, body=_BODY, trained_on="pairs", frozen_forwards=2)
_explicit_method = partial(_on_pairs_method, reads=_READS, specs=(Explicit,))

SSD = _on_pairs_method(
    name="ssd",
    help="explicit self step-distillation (Eq. 5)",
    title="SSD",
    cite="Eq. 5; without a lambda Eq. 12's: the paper's SSD rows are its Eq. 12 rows",
    reads=("train.lambda", *_READS),
    specs=(Explicit,),
    objective=lambda recipe: _explicit(recipe, recipe.train.lambda_),
    checks=(((*_KEYS, "train.lambda"), _middle_unless_lambda),),
    note=_lambda_note,
)

SSD_EQ10 = _explicit_method(
    name="ssd-eq10",
    help="explicit form with lambda = 1 (Eq. 10 as the experiments use it)",
    title="SSD (Eq. 10)",
    cite="Eq. 10, Sec. 3.4",
    objective=lambda recipe: _explicit(recipe, 1.0),
)

SSD_EQ12 = _explicit_method(
    name="ssd-eq12",
    help="explicit form with the DPM-Solver-2 midpoint's lambda (Eq. 12)",
    title="SSD (Eq. 12)",
    cite="Eq. 12",
    objective=lambda recipe: _explicit(recipe, None),
    checks=((_KEYS, _middle),),
)

SSD_HALF_STEP = _explicit_method(
    name="ssd-half-step",
    help="explicit form with eps at DPM-Solver-2's midpoint, reached by a real half step",
    title="SSD (half step)",
    cite="Eq. 9 and 10",
    objective=lambda recipe: _weighted(recipe, Explicit, kind="half-step"),
    checks=((_KEYS, _middle),),
)

ISSD = _on_pairs_method(
    name="issd",
    help="implicit self step-distillation by feature fusion (Eq. 6)",
    title="iSSD",
    cite="Eq. 6",
    trained_end="t",
    second_time="takes",
    fusion=True,
    reads=("train.lambda", "train.share", "train.lambda_weights", "train.fuse", *_READS),
    specs=(Implicit,),
    objective=_implicit,
    note=_fusion_note,
)
