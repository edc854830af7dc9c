"""Build the graph: every run becomes a chain of train, encode, sample and score stages, shared where equal."""

from __future__ import annotations

from dataclasses import dataclass

from ssdbench.errors import InputError
from ssdbench.plan import sources
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.plan.sources import Missing
from ssdbench.plan.variants import self_step
from ssdbench.stages import EncodeSpec, SampleSpec, ScoreSpec, Source, TrainSpec
from ssdbench.stages.sample import SHARD, Copying, Guidance, Sampling
from ssdbench.stages.train import Denoise, Reconstruct
from ssdbench.suite import ResolvedRun, Suite
from ssdbench.suite.catalog import DATASETS, MODELS, REFERENCES, SAMPLERS, ModelFacts
from ssdbench.suite.variant import VariantStep, parse_variant


class Unavailable(InputError):
    """The suite is right, but this version cannot run it."""


def build(suite: Suite) -> Graph:
    """The graph of all runs of a suite. A run that cannot run here has no target, and says why."""
    graph = Graph()
    for run in suite.runs:
        try:
            graph.runs.append(PlannedRun(run, target=_Chain(graph, run).score()))
        except Unavailable as error:
            graph.runs.append(PlannedRun(run, unavailable=str(error)))
        except Missing as error:
            graph.runs.append(PlannedRun(run, missing=(str(error),)))
    return graph


@dataclass(frozen=True)
class _Weights:
    """Where a model comes from: files, or the stage that trains it."""

    source: Source | None = None
    key: str | None = None

    def role(self, name: str) -> dict[str, str]:
        return {name: self.key} if self.key is not None else {}


class _Chain:
    """The stages of one run."""

    def __init__(self, graph: Graph, run: ResolvedRun) -> None:
        self.graph, self.run = graph, run
        self.steps = parse_variant(run.variant)
        self.facts = self._facts()
        self.dataset = self.facts.dataset if run.data == "original" else run.data
        if self.dataset not in DATASETS:
            raise Unavailable(f"the data source {run.data!r} is not available yet in this version")
        self.shape = self.facts.shapes[run.resolution]

    def _facts(self) -> ModelFacts:
        if self.run.model not in MODELS:
            raise Unavailable(f"models of your own ({self.run.model}) are not available yet in this version")
        facts = MODELS[self.run.model]
        if facts.unavailable:
            raise Unavailable(facts.unavailable)
        sampler = SAMPLERS.get(self.run.sampler)
        if sampler is None or sampler.unavailable:
            raise Unavailable(
                (sampler and sampler.unavailable) or f"sampler {self.run.sampler!r} is not available yet"
            )
        if self.run.guidance.interval is not None:
            raise Unavailable("guidance intervals are not available yet in this version")
        return facts

    def score(self) -> str:
        """Add all stages; return the score stage's key."""
        run = self.run
        network = sources.network_source(run.eval.network, run.eval.weights)
        reference = self._reference()
        vae = _Weights() if self.steps[0].kind == "real" else self._vae()
        if self.steps[0].kind in ("real", "reconstruction"):
            data = sources.dataset_source(self.dataset)
            copying = Copying(
                dataset=self.dataset, data=data, reconstruct=self.steps[0].kind == "reconstruction"
            )
            shards = self._shards(vae, copying=copying)
        else:
            weights = self._trained(vae)
            sampling = Sampling(
                shape=self.shape,
                sampler=run.sampler,
                grid=run.grid,
                nfe=run.nfe,
                guidance=Guidance(scale=run.guidance.scale, channels=run.guidance.channels),
                weights=weights.source,
            )
            shards = self._shards(vae, sampling=sampling, roles=weights.role("model"))
        inputs = {f"samples/{i:05d}": key for i, key in enumerate(shards)}
        return self.graph.add(
            ScoreSpec(
                inputs=inputs,
                network=run.eval.network,
                weights=network,
                reference=reference,
                samples=run.eval.samples,
            )
        )

    def _shards(
        self,
        vae: _Weights,
        sampling: Sampling | None = None,
        copying: Copying | None = None,
        roles: dict[str, str] | None = None,
    ) -> list[str]:
        total = self.run.eval.samples
        return [
            self.graph.add(
                SampleSpec(
                    inputs={**(roles or {}), **vae.role("vae")},
                    sampling=sampling,
                    copying=copying,
                    resolution=self.run.resolution,
                    vae=vae.source,
                    seed=self.run.seed,
                    start=start,
                    count=min(SHARD, total - start),
                    dtype=self.run.dtype,
                )
            )
            for start in range(0, total, SHARD)
        ]

    def _reference(self) -> Source:
        name, network = self.run.eval.reference, self.run.eval.network
        if name not in REFERENCES:
            raise Unavailable(f"references of your own ({name}) are not available yet in this version")
        facts = REFERENCES[name]
        if network not in facts.networks:
            known = ", ".join(facts.networks)
            raise Unavailable(f"reference {name!r} exists for the network {known}, not for {network!r}")
        return sources.locate(facts.networks[network], facts.hint)

    def _vae(self) -> _Weights:
        run, recipe = self.run, self.run.autoencoder
        if recipe is None:
            if self.facts.vae is None:
                raise Unavailable(f"model {run.model!r} has no autoencoder")
            return _Weights(source=sources.locate(self.facts.vae, self.facts.vae_hint))
        objective = Reconstruct(
            kind="reconstruct",
            dataset=self.dataset,
            data=sources.dataset_source(self.dataset),
            resolution=run.resolution,
            channels=recipe.channels,
            latent_channels=recipe.latent_channels,
            kl_weight=recipe.kl_weight,
        )
        settings = recipe.model_dump(exclude={"channels", "latent_channels", "kl_weight"})
        return _Weights(key=self.graph.add(TrainSpec(objective=objective, seed=run.seed, **settings)))

    def _trained(self, vae: _Weights) -> _Weights:
        """The weights after all steps of the variant."""
        weights = _Weights()
        if self.steps[0].kind != "pretrain":
            source = self.facts.weights[self.run.resolution]
            weights = _Weights(source=sources.locate(source, self.facts.hint))
        for step in self.steps:
            if step.kind != "base":
                weights = _Weights(key=self._train(step, weights, vae))
        return weights

    def _train(self, step: VariantStep, start: _Weights, vae: _Weights) -> str:
        run = self.run
        if step.kind == "pd":
            raise Unavailable("progressive distillation is not available yet in this version")
        objective = (
            Denoise(kind="denoise")
            if step.kind in ("pretrain", "continual")
            else self_step(run, step, self.shape)
        )
        latents = EncodeSpec(
            inputs=vae.role("vae"),
            dataset=self.dataset,
            data=sources.dataset_source(self.dataset),
            resolution=run.resolution,
            images=DATASETS[self.dataset].images,
            vae=vae.source,
        )
        shared = TrainSpec.model_fields.keys() & type(run.train).model_fields.keys()
        return self.graph.add(
            TrainSpec(
                inputs={"data": self.graph.add(latents), **start.role("model")},
                objective=objective,
                shape=self.shape,
                weights=start.source,
                seed=run.seed,
                **{name: getattr(run.train, name) for name in shared},
            )
        )
