"""The single stages that a run's chain is made of, from what was found for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from ssdbench.metrics.reference_set import is_through, known_reference
from ssdbench.models.family import ROUNDED
from ssdbench.plan.graph import Graph
from ssdbench.plan.needs import Needs
from ssdbench.plan.sources import Data
from ssdbench.stages import EncodeSpec, ReferenceSpec, SampleSpec, Source, TrainSpec
from ssdbench.stages.reference import FILE
from ssdbench.stages.sample import SHARD, Copying, Sampling
from ssdbench.stages.train import Reconstruct


@dataclass(frozen=True)
class Weights:
    """Where a model comes from: files, or the stage that trains it."""

    source: Source | None = None
    key: str | None = None

    def role(self, name: str) -> dict[str, str]:
        """The stage as an input of this role; nothing where files are given."""
        return {name: self.key} if self.key is not None else {}


class Links:
    """Adds stages of one run to a graph; what the run needs must all have been found.

    ``vae`` is the run's autoencoder, and ``through`` too where the reference's images are passed through it.
    """

    def __init__(self, graph: Graph, needs: Needs) -> None:
        self.graph, self.needs, self.run = graph, needs, needs.run
        self.vae = self._autoencoder()
        self.through = self.vae if is_through(self.run.eval.reference) else None

    def _reference_stage(
        self,
        data: Data,
        network: tuple[str, Source] | None = None,
        *,
        count: int | None = None,
        passed: bool = True,
    ) -> str:
        """Add the statistics of the reference's images, or of ``count``, under a network, by default the run's own.

        They are ``passed`` through the autoencoder first where the reference's are.
        """
        assert self.needs.network is not None
        name, weights = network or (self.run.eval.network, self.needs.network)
        vae = self.through if passed else None
        half = None
        if count is None:
            declared = known_reference(self.run.eval.reference)
            count = data.images if declared is None or data.name == FILE else declared.images
            half = self.run.eval.half
        return self.graph.add(
            ReferenceSpec(
                dataset=data.name,
                data=data.source,
                resolution=self.run.resolution,
                count=count,
                network=name,
                weights=weights,
                half=half,
                inputs={} if vae is None else vae.role("vae"),
                through=vae is not None,
                vae=None if vae is None else vae.source,
                offset=ROUNDED if vae is None else self.needs.model.family.offset,
            )
        )

    def _shards(
        self,
        sampling: Sampling | Copying,
        roles: Mapping[str, str] | None = None,
        total: int | None = None,
        seed: int | None = None,
    ) -> list[str]:
        """Add images that are sampled or copied, by default as many and of the seed as are scored."""
        total = total or self.run.eval.samples
        how: dict[str, Any] = {"copying": sampling}
        vae = self.vae
        if isinstance(sampling, Sampling):
            how = {"sampling": sampling, "precision": self.run.dtype}
        elif not sampling.reconstruct:
            vae = Weights()
        return [
            self.graph.add(
                SampleSpec(
                    inputs={**(roles or {}), **vae.role("vae")},
                    resolution=self.run.resolution,
                    vae=vae.source,
                    seed=self.run.seed if seed is None else seed,
                    start=start,
                    count=min(SHARD, total - start),
                    **how,
                )
            )
            for start in range(0, total, SHARD)
        ]

    def _autoencoder(self) -> Weights:
        """The autoencoder, trained here where the run has a recipe for it."""
        recipe = self.run.autoencoder
        if recipe is None:
            return Weights(source=self.needs.vae)
        assert self.needs.data is not None
        objective = Reconstruct(
            kind="reconstruct",
            dataset=self.needs.data.name,
            data=self.needs.data.source,
            resolution=self.run.resolution,
            channels=recipe.channels,
            latent_channels=recipe.latent_channels,
            kl_weight=recipe.kl_weight,
        )
        settings = recipe.model_dump(exclude={"channels", "latent_channels", "kl_weight"})
        return Weights(key=self.graph.add(TrainSpec(objective=objective, seed=self.run.seed, **settings)))

    def _texts(self, captions: Data | None) -> dict[str, str]:
        """The embedded captions as an input, of a model that takes texts."""
        shape = self.needs.shape
        if captions is None or shape.texts is None:
            return {}
        spec = EncodeSpec(
            dataset=captions.name,
            data=captions.source,
            resolution=self.run.resolution,
            images=captions.images,
            text=self.needs.text,
            text_values=prod(shape.texts),
        )
        return {"text": self.graph.add(spec)}
