"""Whether the labels of training data are those that a model takes: classes by their number, or captions."""

from __future__ import annotations

from ssdbench.errors import InputError
from ssdbench.models.shapes import Shape
from ssdbench.plan.sources import Data


def checked_labels(name: str, data: Data, model: str, shape: Shape) -> tuple[str, ...]:
    """Return what is to be told of the labels of the data set that the suite calls ``name``.

    What is not known before it is read passes.

    Raises:
        InputError: a model that takes captions would be trained without, one of classes on captions, or on fewer or
            more classes than it has.
    """
    if shape.texts is not None:
        if data.captions is False:
            raise InputError(f"data set {name!r}: has no captions, and model {model!r} is trained on them")
        return ()
    if data.captions:
        raise InputError(
            f"data set {name!r}: its labels are captions, and model {model!r} takes classes (one folder a class)"
        )
    if data.files is not None and not data.files.classes:
        return (f"{data.source.path}: the images have no classes: all of them train the null class",)
    if data.classes is not None and data.classes != shape.num_classes:
        named = "" if data.files is None else f" ({data.files.mapping})"
        raise InputError(
            f"data set {name!r}: {data.classes:,} classes{named}, expected {shape.num_classes:,}, as many as model"
            f" {model!r} has"
        )
    return () if data.files is None else (f"{data.source.path}: classes {data.files.mapping}",)
