"""The ``reference`` stage: statistics and features of real images, where none are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ssdbench.metrics.networks import network_flops
from ssdbench.stages.runtime import Runtime
from ssdbench.stages.spec import JSON, Source, StageSpec, with_notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

BATCH = 100


class ReferenceSpec(StageSpec):
    """``count`` images of a data set, chosen by the seed, through a feature network; 0: as many as it holds.

    Of these, every second one where a ``half`` is named: two runs of different halves share no image.
    """

    KIND: ClassVar[Literal["reference"]] = "reference"
    VERSION: ClassVar[int] = 1

    dataset: str
    data: Source
    resolution: int
    count: int
    seed: int = 0
    network: str
    weights: Source
    half: Literal["search", "report"] | None = None

    @property
    def title(self) -> str:
        """Data set, count and network."""
        part = f", half {self.half}" if self.half else ""
        return f"reference {self.count or 'all'} of {self.dataset}{part}, {self.network}"

    def flops(self) -> float:
        """As scoring."""
        return self.count * network_flops(self.network)

    def disk_bytes(self) -> float:
        """Features in float16 and moments."""
        return self.count * 2048 * 2 + 5e7


def body(spec: ReferenceSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Compute; the artifact is ``reference.safetensors``."""
    from ssdbench.data.datasets import load_images
    from ssdbench.diffusion.noise import shuffled
    from ssdbench.errors import Interrupted
    from ssdbench.metrics.networks import load_network
    from ssdbench.metrics.reference import make_reference, save_reference

    images = load_images(spec.dataset, spec.resolution, spec.data.path)
    count = spec.count or len(images)
    chosen = shuffled(len(images), spec.seed, range(count))
    if spec.half is not None:
        chosen = chosen[1 if spec.half == "search" else 0 :: 2]
        count = len(chosen)
    network = load_network(
        spec.network, Path(spec.weights.path) if spec.weights.path else None, runtime.device
    )

    def batches() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, count, BATCH):
            if runtime.stopping():
                raise Interrupted("stopped while computing a reference")
            yield images.pixels[chosen[start : start + BATCH]]

    part = f", half {spec.half}" if spec.half else ""
    description = f"{count} of {spec.dataset}{part} at {spec.resolution}, seed {spec.seed}"
    reference = make_reference(
        batches(), network, description, progress=lambda done: runtime.report(done, count, "images")
    )
    save_reference(reference, output / "reference.safetensors")
    return with_notes({"count": count}, images.notes())
