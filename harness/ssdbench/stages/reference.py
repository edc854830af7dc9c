"""The ``reference`` stage: statistics and features of real images, where none are shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ssdbench.metrics.networks import network_flops
from ssdbench.metrics.reference_set import THROUGH
from ssdbench.models.family import ROUNDED
from ssdbench.stages.autoencoding import decode_flops, encode_flops
from ssdbench.stages.spec import JSON, Runtime, Source, StageSpec, with_notes
from ssdbench.stages.weights import vae_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ssdbench.metrics.sources import ImageSource

FILE = "file"  # what every .npz of images is called as a data set: its content says which one it is


class ReferenceSpec(StageSpec):
    """``count`` images of a data set, chosen by the seed, through a feature network; 0: as many as it holds.

    They are chosen among its first ``images``; 0: among all.

    An ``.npz`` has the statistics and features of its images as :func:`ssdbench.metrics.references.adm_reference` reads
    them, so that score stages need not pass the images through the network each.
    Of these, every second one where a ``half`` is named: two runs of different halves share no image.
    """

    KIND: ClassVar[Literal["reference"]] = "reference"
    VERSION: ClassVar[int] = 1

    dataset: str
    data: Source
    resolution: int
    count: int
    images: int = 0
    seed: int = 0
    network: str
    weights: Source
    half: Literal["search", "report"] | None = None
    #: whether the images are passed through an autoencoder, the role ``vae`` unless the source ``vae`` names one
    through: bool = False
    vae: Source | None = None
    #: whether the images' classes are kept beside their features
    labels: bool = False
    #: how decoded pixels become uint8, see :mod:`ssdbench.models.family`
    offset: float = ROUNDED

    @property
    def title(self) -> str:
        """Data set, count and network."""
        return f"reference {self.count or 'all'} of {self.dataset}{self.part}, {self.network}"

    @property
    def part(self) -> str:
        """Which of the images, and what they went through; empty for all as they are."""
        return (f", half {self.half}" if self.half else "") + (THROUGH if self.through else "")

    def flops(self) -> float:
        """As scoring, and encoding and decoding where the images go through an autoencoder."""
        through = encode_flops(self.resolution) + decode_flops(self.resolution)
        return self.count * (network_flops(self.network) + self.through * through)

    def disk_bytes(self) -> float:
        """Features in float32 and moments."""
        return self.count * 2048 * 4 + 5e7


def body(spec: ReferenceSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Compute; the artifact is ``reference.safetensors``."""
    import torch

    from ssdbench.metrics.networks import load_network
    from ssdbench.metrics.reference import make_reference, save_reference
    from ssdbench.metrics.references import adm_reference
    from ssdbench.models.vae import open_autoencoder

    images = _images(spec)
    count = images.count
    network = load_network(
        spec.network, Path(spec.weights.path) if spec.weights.path else None, runtime.device
    )

    vae = open_autoencoder(vae_folder(spec.vae, inputs), runtime.device) if spec.through else None

    def progress(done: int) -> None:
        runtime.raise_if_stopping("stopped while computing a reference")
        runtime.report(done, count, "images")

    def batches() -> Iterator[NDArray[np.uint8]]:
        start = 0
        for pixels in images.batches():
            if vae is not None:
                places = range(start, start + len(pixels))
                mean, _ = vae.encode(torch.from_numpy(pixels.copy()), places)
                pixels = vae.decode(mean, spec.offset, places).numpy()
            start += len(pixels)
            yield pixels

    if spec.dataset == FILE and vae is None:
        reference = adm_reference(Path(spec.data.path), network, progress)
        if not spec.labels:
            reference = replace(reference, labels=None)
    else:
        description = f"{count} of {spec.dataset}{spec.part} at {spec.resolution}, seed {spec.seed}"
        labels = images.labels if spec.labels else None
        reference = make_reference(batches(), network, description, labels=labels, progress=progress)
    save_reference(reference, output / "reference.safetensors")
    return with_notes({"count": count}, images.told())


def _images(spec: ReferenceSpec) -> ImageSource:
    """The images in the order in which they are taken: by the seed, those of a file as they come."""
    from ssdbench.data.datasets import load_images
    from ssdbench.diffusion.noise import shuffled
    from ssdbench.metrics.sources import ImageSource, in_batches, open_images

    if spec.dataset == FILE:
        return open_images(spec.data.path, spec.resolution)
    images = load_images(spec.dataset, spec.resolution, spec.data.path)
    held = min(spec.images or len(images), len(images))
    count = spec.count or held
    chosen = shuffled(held, spec.seed, range(min(count, held) if spec.images else count))
    if spec.half is not None:
        chosen = chosen[1 if spec.half == "search" else 0 :: 2]
    known = images.captions is None and bool((images.labels >= 0).all())
    return ImageSource(
        spec.dataset,
        len(chosen),
        lambda: (images.pixels[part] for part in in_batches(chosen)),
        images.labels[chosen] if known else None,
        told=images.notes,
    )
