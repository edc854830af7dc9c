"""What trains nothing: the base model as it is, and the images that it is measured against."""

from __future__ import annotations

from ssdbench.methods.method import Method

BASE = Method(name="base", help="the pretrained model as it is", student_forwards=0, specs=())

REAL = Method(
    name="real",
    help="images of the data set: what a perfect model would score",
    title="real images",
    starts="images",
    student_forwards=0,
    specs=(),
)

EXTERNAL = Method(
    name="external",
    help="images that another program made: a file or folder that the row names as samples",
    title="made elsewhere",
    starts="images",
    given=True,
    student_forwards=0,
    specs=(),
)

RECONSTRUCTION = Method(
    name="reconstruction",
    help="the same images through the autoencoder: its ceiling",
    title="reconstructions",
    starts="images",
    autoencoder=True,
    student_forwards=0,
    specs=(),
)
