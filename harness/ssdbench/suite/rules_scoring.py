"""What is scored, against what, and what else is measured of it: settings that are impossible together."""

from __future__ import annotations

from pathlib import Path

from ssdbench.data.labels import FILES, RANDOM, read_labels
from ssdbench.metrics.reference_set import THROUGH, holds_images, is_through, known_reference
from ssdbench.suite import catalog
from ssdbench.suite.facts import Facts, Rules, refused
from ssdbench.suite.variant import UNTOUCHED

SCORING = Rules()


@SCORING.of("samples", "variant")
def _samples(run: Facts) -> str | None:
    if run.variant.given == bool(run["samples"]):
        return None
    if run.variant.given:
        return f"must be given: {run['variant']!r} scores what another program made"
    return f"{run['variant']!r} makes its own images: leave out samples, or the variant"


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
    learns = str(run.variant) != UNTOUCHED and not run.variant.given
    if not learns or reference is None or data not in reference.held_by:
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


@SCORING.of("eval.captions", "model", "eval.reference", "variant")
def _captions(run: Facts) -> str | None:
    captions, reference = run["eval.captions"], run["eval.reference"]
    if not run.variant.sampled:
        return None
    if run.model is None or not run.model.takes_texts:
        return None if captions is None else f"model {run['model']!r} takes no captions"
    if captions is not None:
        named = catalog.DATASETS.known(captions)
        if captions.endswith(".txt") or "/" in captions or (named is not None and named.captions):
            return None
        return f"{captions!r} is no captioned data set, no folder (with a /) and no .txt file"
    of = known_reference(reference)
    data = None if of is None or of.dataset is None else catalog.DATASETS.known(of.dataset)
    known = of is not None and (data is None or not data.captions)
    if known or reference.removesuffix(THROUGH).endswith(".npz"):
        lacks = f"the reference {reference!r} has no captions"
        return f"must be given: model {run['model']!r} takes texts, and {lacks}"
    return None


@SCORING.of("labels", "model", "eval.samples", beside=("variant",))
def _labels(run: Facts) -> str | None:
    labels, model = run["labels"], run.model
    if labels == RANDOM or model is None or not run.variant.sampled:
        return None
    if model.takes_texts:
        return f"are classes, and model {run['model']!r} takes texts: leave it out (eval.captions says which)"
    file = Path(labels).expanduser()
    if not labels.endswith(FILES) or not file.is_file():  # a plan tells what is not there
        return None
    return refused(read_labels, file, run["eval.samples"], next(iter(model.shapes.values())).num_classes)


@SCORING.of("eval.memorisation", "model", "eval.reference")
def _memorisation(run: Facts) -> str | None:
    if not run["eval.memorisation"]:
        return None
    if run.model is None:
        return f"needs a known training set, and model {run['model']!r} is your own"
    reference = known_reference(run["eval.reference"])
    if reference is not None and reference.held_by:
        return None
    return f"needs a reference that is known to hold no training image, and {run['eval.reference']!r} is not"


@SCORING.of("eval.trajectory", "grid", "model", "sampler")
def _trajectory(run: Facts) -> str | None:
    steps = run["eval.trajectory"]
    if steps is None:
        return None
    if run.sampler.stochastic:
        return f"compares with a deterministic solver's samples, which {run['sampler']!r} does not come near"
    return run.lacks_steps(steps)
