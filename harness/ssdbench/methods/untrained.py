"""What trains nothing: the base model as it is, and the images that it is measured against."""

from __future__ import annotations

from functools import partial

from ssdbench.methods.method import Method

_untrained = partial(Method, student_forwards=0, specs=())
_of_images = partial(_untrained, starts="images")

BASE = _untrained(name="base", help="the pretrained model as it is")

REAL = _of_images(
    name="real", help="images of the data set: what a perfect model would score", title="real images"
)

EXTERNAL = _of_images(
    name="external",
    help="images that another program made: a file or folder that the row names as samples",
    title="made elsewhere",
    given=True,
)

RECONSTRUCTION = _of_images(
    name="reconstruction",
    help="the same images through the autoencoder: its ceiling",
    title="reconstructions",
    autoencoder=True,
)
