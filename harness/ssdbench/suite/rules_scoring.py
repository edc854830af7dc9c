"""What is scored, and against what: settings that are impossible together."""

from __future__ import annotations

from ssdbench.metrics.reference_set import holds_images, is_through, known_reference
from ssdbench.suite.facts import Facts, Rules
from ssdbench.suite.variant import UNTOUCHED

SCORING = Rules()


@SCORING.of("samples", "variant")
def _samples(run: Facts) -> str | None:
    if run.variant.given:
        return (
            None if run["samples"] else f"must be given: {run['variant']!r} scores what another program made"
        )
    made = f"{run['variant']!r} makes its own images"
    return f"{made}: leave out samples, or the variant" if run["samples"] else None


@SCORING.of("predicts", "model", "variant")
def _predicts(run: Facts) -> str | None:
    if run["predicts"] is None:
        return None
    if run.prediction == "v":
        return f"is of models of timesteps, and model {run['model']!r} is a flow, which predicts a velocity"
    if not run.variant.sampled or run.variant.from_nothing:
        return f"is of the weights that a row starts from, and {run['variant']!r} has none"
    return None


@SCORING.of("forwards", "variant")
def _forwards(run: Facts) -> str | None:
    if run["forwards"] is None or run.variant.given:
        return None
    return "are counted here: they are stated of samples that were made elsewhere alone"


@SCORING.of("data", "eval.reference", "variant", "model")
def _overlap(run: Facts) -> str | None:
    data, reference = run["data"], known_reference(run["eval.reference"])
    if data == "original" and run.model is not None:
        data = run.model.dataset
    if (
        reference is None
        or data not in reference.held_by
        or str(run.variant) == UNTOUCHED
        or run.variant.given
    ):
        return None
    held = f"{data!r} holds the images of the reference {run['eval.reference']!r}"
    return f"{held}: train on others than it is scored against"


@SCORING.of("eval.half", "eval.reference")
def _half(run: Facts) -> str | None:
    reference = run["eval.reference"]
    if run["eval.half"] is None or holds_images(reference):
        return None
    return f"the reference {reference!r} is a file: only images of a data set or a folder have halves"


@SCORING.of("eval.reference", "model", "variant")
def _through(run: Facts) -> str | None:
    if not is_through(run["eval.reference"]) or run.model is None or run.model.vae is not None:
        return None
    if run.variant.trains_autoencoder:
        return None
    lacks = f"model {run['model']!r} has none: it denoises pixels"
    return f"is passed through the model's autoencoder, and {lacks}"
