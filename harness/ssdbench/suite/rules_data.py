"""Training data against the model that is trained on them: labels and channels, before any work."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ssdbench.data.folders import class_names, first_image, numbering
from ssdbench.data.places import placed
from ssdbench.errors import InputError
from ssdbench.models.inspection import vae_config
from ssdbench.models.shapes import Shape
from ssdbench.suite import catalog
from ssdbench.suite.facts import Facts, Rules
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.variant import variant_of

DATA = Rules()

RGB = 3
"""The channels of a folder's images, however they are stored."""


def _folder(name: str) -> Path | None:
    """The folder of images that ``data`` names, if it is on this machine."""
    root = Path(name).expanduser()
    return root if "/" in name and root.is_dir() else None


@DATA.of("data", "model", beside=("variant",))
def _labels(run: Facts) -> str | None:
    name, model = run["data"], run.model
    if model is None or not run.variant.trains:
        return None
    shape = next(iter(model.shapes.values()))
    if (root := _folder(name)) is not None:
        with suppress(InputError):  # of what is malformed a plan tells
            classes = class_names(root)
            return unlike_labels(run["model"], shape, name, None, len(classes) or None, numbering(classes))
        return None
    data = catalog.DATASETS.known(name)
    return None if data is None else unlike_labels(run["model"], shape, name, data.captions, data.classes)


@DATA.of("data", "model", beside=("variant", "autoencoder"))
def _channels(run: Facts) -> str | None:
    model = run.model
    if model is None or model.vae is None or run["autoencoder"] is not None or not run.variant.trains:
        return None
    if _folder(run["data"]) is not None:
        with suppress(InputError):  # of what is malformed a plan tells
            return unlike_pixels(run["model"], placed(model.vae), run["data"])
    return None


def enlarged(run: ResolvedRun) -> str | None:
    """A note where the images of a folder are smaller than the run's, as far as its first one tells."""
    root = _folder(run.data)
    first = None if root is None or not variant_of(run.variant).trains else first_image(root)
    if first is None or min(first[1]) >= run.resolution:
        return None
    size = "x".join(map(str, first[1]))
    return f"data: images are enlarged to {run.resolution} pixels a side: {first[0]} has {size}"


def unlike_labels(
    model: str, shape: Shape, data: str, captions: bool | None, classes: int | None, mapping: str = ""
) -> str | None:
    """Why a model of this shape is not trained on a data set's labels, ``captions`` or so many ``classes``, or None.

    None stands for what is not known before the data is read. ``mapping`` is how its folders are numbered.
    """
    if shape.texts is not None:
        captioned = captions is not False and not classes  # classes go before texts
        return None if captioned else f"model {model!r} takes texts, and {data!r} has no captions"
    if captions:
        return f"model {model!r} takes classes (one folder a class), and the labels of {data!r} are captions"
    if classes is None or classes == shape.num_classes:
        return None
    named = f" ({mapping})" if mapping else ""
    fits = f"; one of this data is dit(classes={classes}), trained here by the variant 'pretrain'"
    return f"model {model!r} has {shape.num_classes:,} classes, and {data!r} has {classes:,}{named}{fits}"


def unlike_pixels(model: str, autoencoder: Path, data: str) -> str | None:
    """Why a model's autoencoder does not take the images of a folder, which are read as RGB, or None.

    Raises:
        InputError: its config is malformed.
    """
    takes = vae_config(autoencoder).in_channels if autoencoder.is_dir() else RGB
    if takes == RGB:
        return None
    has = f"the images of {data!r} have {RGB} channels, and the autoencoder of model {model!r} takes {takes}"
    trained = "`autoencoder: {steps: 8000}` in the suite's defaults beside the variant 'pretrain'"
    return f"{has}: train one on them, {trained}"
