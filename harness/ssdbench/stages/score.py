"""The ``score`` stage: all metrics of a run's images in one pass, and a grid of the first of them to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ssdbench.stages.runtime import Runtime
from ssdbench.stages.spec import JSON, Source, StageSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRID_ROWS, GRID_COLUMNS = 8, 16


class ScoreSpec(StageSpec):
    """Roles: ``samples/00000``, ``samples/00001``, ... in order, and ``reference`` unless the source names one.

    Diagnostics hang on further roles: ``trajectory``, samples of the same first indices by a fine solver, and
    ``training``, the statistics of the training images.
    """

    KIND: ClassVar[Literal["score"]] = "score"
    VERSION: ClassVar[int] = 1

    network: str
    weights: Source
    reference: Source | None = None
    samples: int

    @property
    def title(self) -> str:
        """Network and sample count."""
        return f"score {self.samples} images, {self.network}"

    def flops(self) -> float:
        """The Inception takes 11 GFLOP an image, EfficientNet-Lite0 at 64 pixels a fortieth of it."""
        return self.samples * (11.4e9 if self.network == "inception" else 0.07e9)

    def disk_bytes(self) -> float:
        """A table of numbers and a picture."""
        return 2e5


def body(spec: ScoreSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Score; the artifact is ``metrics.json`` and ``grid.png``."""
    import json
    from collections.abc import Iterator

    from safetensors import safe_open

    from ssdbench.data.pictures import save_grid
    from ssdbench.errors import Interrupted
    from ssdbench.metrics import diagnostics
    from ssdbench.metrics.evaluate import compare
    from ssdbench.metrics.features import image_statistics
    from ssdbench.metrics.networks import load_network
    from ssdbench.metrics.reference import load_reference, open_reference

    shards = [inputs[role] / "samples.safetensors" for role in sorted(inputs) if role.startswith("samples/")]
    path = (
        inputs["reference"] / "reference.safetensors" if spec.reference is None else Path(spec.reference.path)
    )

    def batches() -> Iterator[np.ndarray]:
        left = spec.samples
        for shard in shards:
            with safe_open(shard, framework="np") as tensors:
                images = tensors.get_tensor("images")[:left]
            left -= len(images)
            for start in range(0, len(images), 100):
                if runtime.stopping():
                    raise Interrupted("stopped while scoring")
                yield images[start : start + 100]

    # A network of the user's own may bring its weights along, without a file.
    weights = Path(spec.weights.path) if spec.weights.path else None
    network = load_network(spec.network, weights, runtime.device)
    reference = open_reference(path, network)
    reference.check(network)
    statistics = image_statistics(
        batches(), network, lambda done: runtime.report(done, spec.samples, "images")
    )
    result = compare(statistics, network, reference)
    extra: dict[str, float] = {}
    if "trajectory" in inputs:
        exact = _latents([inputs["trajectory"] / "samples.safetensors"])
        extra |= diagnostics.trajectory_error(_latents(shards, len(exact)), exact)
    missing = dict(result.missing)
    if "training" in inputs and reference.features is None:
        missing["memorisation"] = f"the reference {reference.data!r} has no images or features"
    elif "training" in inputs:
        training = load_reference(inputs["training"] / "reference.safetensors")
        assert training.features is not None  # a reference stage computes them
        assert reference.features is not None
        extra |= diagnostics.memorisation(statistics.features, training.features, reference.features)
    content = {
        "metrics": result.metrics | extra,
        "network": network.name,
        "network_digest": network.digest,
        "samples": result.samples,
        "reference_samples": reference.count,
        "stamps": list(result.stamps),
        "missing": missing,
    }
    (output / "metrics.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    with safe_open(shards[0], framework="np") as tensors:
        save_grid(tensors.get_tensor("images")[: GRID_ROWS * GRID_COLUMNS], output / "grid.png", GRID_COLUMNS)
    return content


def _latents(shards: Sequence[Path], count: int | None = None) -> NDArray[np.floating]:
    """The first ``count`` latents (all by default) of shards in order."""
    import numpy as np
    from safetensors.numpy import load_file

    parts, left = [], count
    for shard in shards:
        part = load_file(shard)["latents"][:left]
        parts.append(part)
        left = None if left is None else left - len(part)
        if left == 0:
            break
    return np.concatenate(parts)
