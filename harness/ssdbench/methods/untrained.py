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

RECONSTRUCTION = Method(
    name="reconstruction",
    help="the same images through the autoencoder: its ceiling",
    title="reconstructions",
    starts="images",
    autoencoder=True,
    student_forwards=0,
    specs=(),
)
