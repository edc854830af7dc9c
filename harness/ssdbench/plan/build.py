"""Build the graph: every run becomes a chain of train, encode, sample and score stages, shared where equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from ssdbench.data.datasets import READERS
from ssdbench.errors import InputError
from ssdbench.own import is_own
from ssdbench.plan import sources
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.plan.sources import Data
from ssdbench.plan.variants import sampling, self_step
from ssdbench.stages import EncodeSpec, ReferenceSpec, SampleSpec, ScoreSpec, Source, TrainSpec
from ssdbench.stages.sample import SHARD, Copying, Sampling
from ssdbench.stages.train import Denoise, Reconstruct
from ssdbench.suite import ResolvedRun, Suite
from ssdbench.suite.catalog import DATASETS, MODELS, REFERENCES, SAMPLERS, ModelFacts
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.variant import VariantStep, parse_variant

_Found = TypeVar("_Found")

MEMORISED = 10_000  # training images that samples are compared with, as many as a reference holds
SYNTHETIC_SEED = 1_000_000_000  # added to a run's seed for the data it is trained on
TRAJECTORIES = 200  # samples whose distance from the exact ones is measured: fine solvers take long


class Unavailable(InputError):
    """The suite is right, but this version cannot run it."""


def build(suite: Suite) -> Graph:
    """The graph of all runs of a suite. A run that cannot run here has no target, and says why."""
    graph = Graph()
    find_data = cache(sources.dataset)  # many rows share a data set, which may have a million files
    for run in suite.runs:
        try:
            chain = _Chain(graph, run, find_data)
        except Unavailable as error:
            graph.runs.append(PlannedRun(run, unavailable=str(error)))
            continue
        if chain.missing:
            graph.runs.append(PlannedRun(run, missing=tuple(chain.missing)))
        else:
            graph.runs.append(PlannedRun(run, target=chain.score()))
    return graph


@dataclass(frozen=True)
class _Weights:
    """Where a model comes from: files, or the stage that trains it."""

    source: Source | None = None
    key: str | None = None

    def role(self, name: str) -> dict[str, str]:
        return {name: self.key} if self.key is not None else {}


class _Chain:
    """The stages of one run. ``missing`` lists all it needs that is not on this machine; then nothing can be added."""

    def __init__(self, graph: Graph, run: ResolvedRun, find_data: Callable[[str], Data]) -> None:
        self.graph, self.run = graph, run
        self.missing: list[str] = []
        self.steps = parse_variant(run.variant)
        self.kinds = {step.kind for step in self.steps}
        self.facts = self._facts()
        self.synthetic = synthetic_steps(run.data)
        dataset = self._dataset()
        self.shape = self.facts.shapes[run.resolution]
        self.network = self._find(lambda: sources.network_source(run.eval.network, run.eval.weights))
        self.reference, self.reference_data = None, None
        if (named := self._named_reference()) is not None:
            self.reference = self._find(named)
        else:
            self.reference_data = self._find(lambda: find_data(self._reference_images()))
        own = is_own(run.sampler)
        self.sampler = self._find(lambda: sources.own_source(run.sampler)) if own else None
        self.weights = self._find(self._weights) if self._needs_weights else None
        self.vae = self._find(self._vae) if self._needs_vae else None
        self.data = self._find(lambda: find_data(dataset)) if self._needs_data else None
        # Memorised is what the base model was trained on, whatever a variant was trained on since.
        seen = self.facts.dataset if run.eval.memorisation else None
        self.training_data = self._find(lambda: find_data(seen)) if seen is not None else None

    def _find(self, source: Callable[[], _Found]) -> _Found | None:
        """The source, or None and a note of what is missing or cannot be read."""
        try:
            return source()
        except Unavailable:
            raise
        except InputError as error:
            self.missing.append(str(error))
            return None

    @property
    def _copies(self) -> bool:
        return bool(self.kinds & {"real", "reconstruction"})

    @property
    def _needs_weights(self) -> bool:
        return not self._copies and "pretrain" not in self.kinds

    @property
    def _needs_vae(self) -> bool:
        return self.run.autoencoder is None and "real" not in self.kinds

    @property
    def _needs_data(self) -> bool:
        return self.kinds != {"base"} and self.synthetic is None

    def _facts(self) -> ModelFacts:
        if self.run.model not in MODELS:
            raise Unavailable(f"models of your own ({self.run.model}) are not available yet in this version")
        facts = MODELS[self.run.model]
        if facts.unavailable:
            raise Unavailable(facts.unavailable)
        sampler = SAMPLERS.get(self.run.sampler)
        if sampler is not None and sampler.unavailable:
            raise Unavailable(sampler.unavailable)
        if self.run.guidance.interval is not None:
            raise Unavailable("guidance intervals are not available yet in this version")
        if "pd" in self.kinds:
            raise Unavailable("progressive distillation is not available yet in this version")
        return facts

    def _dataset(self) -> str:
        name = self.facts.dataset if self.run.data == "original" else self.run.data
        if self._needs_data and name not in READERS and "/" not in name and not is_own(name):
            raise Unavailable(f"the data source {name!r} is not available yet in this version")
        return name

    def _named_reference(self) -> Callable[[], Source] | None:
        """How to find a file of statistics; None where they have to be computed from images."""
        name, network = self.run.eval.reference, self.run.eval.network
        if name in REFERENCES:
            facts = REFERENCES[name]
            if facts.resolution != self.run.resolution:
                wanted = self.run.resolution
                raise Unavailable(
                    f"reference {name!r} holds images of {facts.resolution} pixels, the run's have {wanted}"
                )
            shipped = facts.networks.get(network)
            return None if shipped is None else lambda: sources.locate(shipped, facts.hint)
        path = Path(name).expanduser()
        return None if path.is_dir() else lambda: sources.own_file(path, "reference")

    def _reference_images(self) -> str:
        """The images that a reference without a file for the network is computed from."""
        name, network = self.run.eval.reference, self.run.eval.network
        if name not in REFERENCES:
            return name  # a folder of the user's own
        dataset = REFERENCES[name].dataset
        if dataset is None:
            known = ", ".join(REFERENCES[name].networks)
            raise Unavailable(f"reference {name!r} exists for the network {known}, not for {network!r}")
        return dataset

    def _weights(self) -> Source:
        return sources.locate(self.facts.weights[self.run.resolution], self.facts.hint)

    def _vae(self) -> Source:
        if self.facts.vae is None:
            raise Unavailable(f"model {self.run.model!r} has no autoencoder")
        return sources.locate(self.facts.vae, self.facts.vae_hint)

    def score(self) -> str:
        """Add all stages; return the score stage's key."""
        run = self.run
        assert self.network is not None
        vae = self._autoencoder()
        if self._copies:
            assert self.data is not None
            reconstruct = "reconstruction" in self.kinds
            copying = Copying(dataset=self.data.name, data=self.data.source, reconstruct=reconstruct)
            shards = self._shards(vae, copying=copying)
        else:
            model = self._model(vae)
            how = sampling(run, self.shape, model.source, self.sampler)
            shards = self._shards(vae, sampling=how, roles=model.role("model"))
        inputs = {f"samples/{i:05d}": key for i, key in enumerate(shards)}
        if self.reference_data is not None:
            facts = REFERENCES.get(run.eval.reference)
            count = self.reference_data.images if facts is None else facts.images
            inputs["reference"] = self._reference_stage(self.reference_data, count)
        if run.eval.trajectory is not None and not self._copies:
            inputs["trajectory"] = self._exact(run.eval.trajectory, vae)
        if self.training_data is not None:
            count = min(self.training_data.images, MEMORISED)
            inputs["training"] = self._reference_stage(self.training_data, count)
        return self.graph.add(
            ScoreSpec(
                inputs=inputs,
                network=run.eval.network,
                weights=self.network,
                reference=self.reference,
                samples=run.eval.samples,
            )
        )

    def _exact(self, steps: int, vae: _Weights) -> str:
        """Samples of the base model by a fine solver, from the noise and labels of the run's first ones."""
        fine = self.run.model_copy(update={"sampler": "ddim", "nfe": steps})
        model = self._pretrained(vae)
        [shard] = self._shards(
            vae,
            sampling=sampling(fine, self.shape, model.source),
            roles=model.role("model"),
            total=min(TRAJECTORIES, self.run.eval.samples),
        )
        return shard

    def _reference_stage(self, data: Data, count: int) -> str:
        assert self.network is not None
        return self.graph.add(
            ReferenceSpec(
                dataset=data.name,
                data=data.source,
                resolution=self.run.resolution,
                count=count,
                network=self.run.eval.network,
                weights=self.network,
            )
        )

    def _shards(
        self,
        vae: _Weights,
        sampling: Sampling | None = None,
        copying: Copying | None = None,
        roles: dict[str, str] | None = None,
        total: int | None = None,
        seed: int | None = None,
    ) -> list[str]:
        total = total or self.run.eval.samples
        return [
            self.graph.add(
                SampleSpec(
                    inputs={**(roles or {}), **vae.role("vae")},
                    sampling=sampling,
                    copying=copying,
                    resolution=self.run.resolution,
                    vae=vae.source,
                    seed=self.run.seed if seed is None else seed,
                    start=start,
                    count=min(SHARD, total - start),
                    dtype=self.run.dtype,
                )
            )
            for start in range(0, total, SHARD)
        ]

    def _autoencoder(self) -> _Weights:
        """The autoencoder, trained here where the run has a recipe for it."""
        recipe = self.run.autoencoder
        if recipe is None:
            return _Weights(source=self.vae)
        assert self.data is not None
        objective = Reconstruct(
            kind="reconstruct",
            dataset=self.data.name,
            data=self.data.source,
            resolution=self.run.resolution,
            channels=recipe.channels,
            latent_channels=recipe.latent_channels,
            kl_weight=recipe.kl_weight,
        )
        settings = recipe.model_dump(exclude={"channels", "latent_channels", "kl_weight"})
        return _Weights(key=self.graph.add(TrainSpec(objective=objective, seed=self.run.seed, **settings)))

    def _model(self, vae: _Weights) -> _Weights:
        """The denoiser after all steps of the variant."""
        model = self._pretrained(vae)
        for step in self.steps:
            if step.kind not in ("base", "pretrain"):
                model = _Weights(key=self._train(step, model, vae))
        return model

    def _latents(self, vae: _Weights) -> dict[str, str]:
        """What a training reads: encoded images, or samples of the base model."""
        if self.synthetic is not None:
            return {f"data/{i:05d}": key for i, key in enumerate(self._synthetic(self.synthetic, vae))}
        assert self.data is not None
        latents = EncodeSpec(
            inputs=vae.role("vae"),
            dataset=self.data.name,
            data=self.data.source,
            resolution=self.run.resolution,
            images=self.data.images,
            vae=vae.source,
        )
        return {"data": self.graph.add(latents)}

    def _synthetic(self, steps: int, vae: _Weights) -> list[str]:
        """Shards of the base model's samples, guided as the run's, from other noise than what is scored."""
        run, model = self.run, self._pretrained(vae)
        drawn = min(DATASETS[self.facts.dataset].images, run.train.steps * run.train.batch_size)
        return self._shards(
            vae,
            sampling=sampling(
                run.model_copy(update={"sampler": "ddim", "nfe": steps}), self.shape, model.source
            ),
            roles=model.role("model"),
            total=run.train.synthetic_images or drawn,
            seed=run.seed + SYNTHETIC_SEED,
        )

    def _pretrained(self, vae: _Weights) -> _Weights:
        """The denoiser that the variant starts from, trained here where it says so."""
        model = _Weights(source=self.weights)
        first = self.steps[0]
        return _Weights(key=self._train(first, model, vae)) if first.kind == "pretrain" else model

    def _train(self, step: VariantStep, start: _Weights, vae: _Weights) -> str:
        run = self.run
        denoise = step.kind in ("pretrain", "continual")
        shared = TrainSpec.model_fields.keys() & type(run.train).model_fields.keys()
        return self.graph.add(
            TrainSpec(
                inputs={**self._latents(vae), **start.role("model")},
                objective=Denoise(kind="denoise") if denoise else self_step(run, step, self.shape),
                shape=self.shape,
                weights=start.source,
                seed=run.seed,
                **{name: getattr(run.train, name) for name in shared},
            )
        )
