"""The ``score`` stage: all metrics of a run's images in one pass, and a grid of the first of them to look at."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ssdbench.metrics.networks import network_flops
from ssdbench.stages.spec import JSON, Runtime, Source, StageSpec, with_notes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ssdbench.metrics.evaluate import Part

GRID_ROWS, GRID_COLUMNS = 8, 16


class ScoreSpec(StageSpec):
    """Metrics of the samples of one run.

    Roles of the inputs:

    - ``samples/00000``, ``samples/00001``, ...: the images, in order, unless they are ``given``.
    - ``reference``: statistics under the run's network, unless ``reference`` is a file.
    - ``reference/<network>``: the same under a metric's own network, unless ``references`` has a file of it, or its
      metrics need no reference.
    - what metrics name as ``given``: ``trajectory``, samples of the same first indices by a fine solver; ``training``,
      statistics of the training images; ``captions``, the captions that were sampled.
    """

    KIND: ClassVar[Literal["score"]] = "score"
    VERSION: ClassVar[int] = 1

    network: str
    weights: Source
    reference: Source | None = None
    samples: int
    given: Source | None = None
    """Images of another program: an .npz, a .tar or a folder."""
    metrics: tuple[str, ...] = ()
    """Their names in table order; none: the standard ones."""
    sources: dict[str, Source] = Field(default_factory=dict)
    """Modules of metrics that are not built in, by the metrics' names."""
    networks: dict[str, Source] = Field(default_factory=dict)
    """Weights of further networks that metrics have of their own."""
    references: dict[str, Source] = Field(default_factory=dict)
    """Reference files for these networks; those of which there is no file have a role."""
    labels: bool = False
    """Whether the samples' labels are classes that a metric compares with, or tells apart."""

    @property
    def title(self) -> str:
        """Network and sample count."""
        return f"score {self.samples} images, {', '.join((self.network, *self.networks))}"

    def flops(self) -> float:
        """A pass through each network."""
        return self.samples * sum(map(network_flops, (self.network, *self.networks)))

    def disk_bytes(self) -> float:
        """A table of numbers and a picture."""
        return 2e5


def body(spec: ScoreSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Score; the artifact is ``metrics.json`` and ``grid.png``."""
    import json
    from collections.abc import Iterator

    import numpy as np

    from ssdbench.data.latents import read_captions
    from ssdbench.data.pictures import save_grid
    from ssdbench.metrics.evaluate import measure
    from ssdbench.metrics.reference import load_reference
    from ssdbench.metrics.sources import open_images, open_shards

    shards = [inputs[role] / "samples.safetensors" for role in sorted(inputs) if role.startswith("samples/")]
    source = open_shards(shards, "samples") if spec.given is None else open_images(spec.given.path)
    samples = source.first(spec.samples)

    def batches() -> Iterator[NDArray[np.uint8]]:
        for batch in samples.batches():
            runtime.raise_if_stopping("stopped while scoring")
            yield batch

    given: dict[str, object] = {}
    if "trajectory" in inputs:
        exact = _latents(inputs["trajectory"] / "samples.safetensors")  # of fewer samples than a shard has
        given["trajectory"] = (_latents(shards[0], len(exact)), exact)
    if spec.labels:
        roles = {"labels": samples.labels, "classes": samples.classes}
        given |= {role: found for role, found in roles.items() if found is not None}
    if "captions" in inputs:
        given["captions"] = read_captions(inputs["captions"], spec.samples)
    if "training" in inputs:
        given["training"] = load_reference(inputs["training"] / "reference.safetensors")
    parts, missing = _parts(spec, inputs, runtime.device, given)
    result = measure(
        batches(),
        parts,
        given=given,
        intervals=True,
        progress=lambda done: runtime.report(done, spec.samples, "images"),
    )
    content = {
        "metrics": result.metrics,
        "intervals": {key: interval._asdict() for key, interval in result.intervals.items()},
        "network": result.network,
        "network_digest": result.network_digest,
        "samples": result.samples,
        "reference_samples": parts[0].reference.count,
        "stamps": list(result.stamps),
        "missing": missing | result.missing,
    }
    (output / "metrics.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    shown = np.concatenate(list(samples.first(GRID_ROWS * GRID_COLUMNS).batches()))
    save_grid(shown, output / "grid.png", GRID_COLUMNS)
    return content if spec.given is None else with_notes(content, samples.notes())


def _parts(
    spec: ScoreSpec, inputs: dict[str, Path], device: str, given: Collection[str]
) -> tuple[list[Part], dict[str, str]]:
    """Return what each network measures, the run's own first; and the metrics that cannot be measured, with why."""
    from ssdbench.metrics.catalog import METRICS, chosen
    from ssdbench.metrics.evaluate import Part, no_reference
    from ssdbench.metrics.networks import load_network
    from ssdbench.metrics.reference import load_reference
    from ssdbench.metrics.references import open_reference

    metrics = list(chosen(spec.metrics or None))
    metrics += [one for one in METRICS.builtin.values() if one.setting and set(one.given) <= set(given)]
    parts = []
    for name in (spec.network, *spec.networks):
        first = name == spec.network
        source = spec.reference if first else spec.references.get(name)
        role = "reference" if first else f"reference/{name}"
        weights = spec.weights if first else spec.networks[name]
        # A network of the user's own may bring its weights along, without a file.
        network = load_network(name, Path(weights.path) if weights.path else None, device)
        own = tuple(one for one in metrics if (one.network or spec.network) == name)
        if source is not None:
            reference = open_reference(Path(source.path), network)
        elif role in inputs:
            reference = load_reference(inputs[role] / "reference.safetensors")
        else:
            reference = no_reference(network)
        parts.append(Part(network, reference, own))
    measured = {one.name for part in parts for one in part.metrics}
    missing = {one.name: "the reference has no images" for one in metrics if one.name not in measured}
    return parts, missing


def _latents(shard: Path, count: int | None = None) -> NDArray[np.floating]:
    """The first ``count`` latents of a shard, by default all."""
    from ssdbench.metrics.npz import open_tensors

    with open_tensors(shard) as tensors:
        found: NDArray[np.floating] = tensors.get_tensor("latents")[:count]
        return found
