"""The single stages that a run's chain is made of; how its models are trained and sampled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

from ssdbench.data.labels import RANDOM
from ssdbench.diffusion.guidance import GuidanceSetting
from ssdbench.methods.method import Method, Recipe
from ssdbench.methods.ssd import fused_layers, fusion_weight
from ssdbench.metrics.reference_set import is_through, known_reference
from ssdbench.models.family import ROUNDED, usual_offset
from ssdbench.models.shapes import Shape
from ssdbench.plan.graph import Graph
from ssdbench.plan.needs import Needs
from ssdbench.plan.sources import Data
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.grids import walked_by
from ssdbench.samplers.sampler import trained_pairs
from ssdbench.samplers.walks import flow_grid
from ssdbench.stages import EncodeSpec, ReferenceSpec, SampleSpec, Source, TrainSpec
from ssdbench.stages.reference import FILE
from ssdbench.stages.sample import SHARD, AlongGrid, Copying, Fused, Sampling
from ssdbench.stages.train import Reconstruct
from ssdbench.suite import ResolvedRun
from ssdbench.suite.variant import Halved, VariantStep, variant_of


@dataclass(frozen=True)
class Weights:
    """Where a model comes from: files, or the stage that trains it."""

    source: Source | None = None
    key: str | None = None

    def role(self, name: str) -> dict[str, str]:
        """The stage as an input of this role; nothing where files are given."""
        return {name: self.key} if self.key is not None else {}


def recipe(needs: Needs, step: VariantStep, done: Halved, teacher: int | None = None) -> Recipe:
    """What a method is told of one training of a model that is ``done`` so far; a halving is of a ``teacher``.

    A flow's grid is its sampler's, unless the suite names one of times; what is halved is one of equal steps.
    """
    run, train, flow = needs.run, needs.run.train, needs.model.flow
    # The student is trained where it will be evaluated, unless it is to be measured off its grid.
    visited = teacher or train.nfe or _visited(run, flow)
    grid = run.grid
    if flow is not None:
        halves = step.method.halves
        grid = walked_by(grid, "v") if halves else flow_grid(grid, SAMPLERS.named(run.sampler))
    return Recipe(
        name=step.kind,
        method=step.method,
        train=train,
        shape=needs.shape,
        grid=grid,
        nfe=visited,
        halvings=done.on(visited) if flow is None else 0,
        source=needs.methods.get(step.kind),
        guidance=_guidance(run, needs.variant.steps[: needs.variant.steps.index(step)]),
    )


def _guidance(run: ResolvedRun, trained: Sequence[VariantStep]) -> GuidanceSetting:
    """The run's guidance, as far as a model has none inside after these steps of its variant."""
    if any(step.method.distils_guidance for step in trained):
        return GuidanceSetting()
    return GuidanceSetting(**run.guidance.model_dump())


def trained_by(shape: Shape, methods: Iterable[Method]) -> Shape:
    """A base model's shape after these methods: with a second time once one of them has trained it."""
    wide = any(method.second_time == "needs" for method in methods)
    return replace(shape, second_time=True) if wide else shape


def _visited(run: ResolvedRun, flow: int | None) -> int:
    return run.nfe if flow is not None else SAMPLERS.named(run.sampler).timesteps(run.nfe, run.train.pairs)


def sampling(
    needs: Needs, run: ResolvedRun, model: Weights, before: Weights | None, **further: Any
) -> Sampling:
    """How the ``model`` of a run's variant is sampled, which was distilled from the one ``before`` it.

    Without one it is the base model, for which ``run`` has other settings. The teacher of Eq. 5 takes pairs and lambda
    from the training settings, a fused student and the limit of Eq. 6 their layers and weight.
    """
    sampler, flow, base = SAMPLERS.named(run.sampler), needs.model.flow, before is None
    frozen = None if before is None else before.source
    shape = trained_by(needs.shape, () if base else needs.variant.methods)
    layers = fused_layers(run.train, shape.depth) if run.fused or sampler.extrapolates else ()
    teacher = sampler.follows_pairs
    visited, offset = _visited(run, flow), needs.model.family.offset
    lam: float | Literal["eq12"] = "eq12" if run.train.lambda_ is None else run.train.lambda_
    fusion = None
    if layers:
        pairs, weight = trained_pairs(run.train.pairs, visited), fusion_weight(run.train, len(layers))
        fusion = Fused(layers=layers, w=weight, pairs=pairs, frozen=frozen if run.fused else None)
    how = Sampling(
        shape=shape,
        sampler=run.sampler,
        grid=run.grid if flow is None else walked_by(run.grid, "v"),
        nfe=run.nfe,
        halvings=needs.variant.distilled.on(visited) if flow is None and not base else 0,
        guidance=_guidance(run, () if base else needs.variant.steps),
        flow=flow,
        fused=fusion,
        weights=model.source,
        own=None if base else needs.sampler,
        own_grid=needs.grid,
        pairs=trained_pairs(run.train.pairs, visited) if teacher else (),
        lam=lam if teacher else None,
        labels=needs.labels if run.labels != RANDOM else None,
        offset=None if offset == usual_offset(flow) else offset,
        **further,
    )
    times = student_times(run, how)
    if times is None:
        return how
    return how.model_copy(update={"along_grid": AlongGrid(student_at=times, base=frozen)})


def student_times(run: ResolvedRun, how: Sampling) -> tuple[float, ...] | None:
    """The times at which the student is evaluated, of a run with two models along the grid; None: at all of them."""
    if not isinstance(run.student_at, str):
        return tuple(sorted(run.student_at))
    method = variant_of(run.variant).methods[-1]
    if run.student_at == "all" or method.trained_on != "pairs":
        return None
    times = how.evaluated
    found = tuple(times[i] for i in method.trained_at(trained_pairs(run.train.pairs, len(times))))
    return None if len(found) == len(times) else found


class Links:
    """Adds stages of one run to a graph; what the run needs must all have been found.

    ``vae`` is the run's autoencoder, and ``through`` too where the reference's images are passed through it.
    """

    def __init__(self, graph: Graph, needs: Needs) -> None:
        self.graph, self.needs, self.run = graph, needs, needs.run
        self.vae = self._autoencoder()
        self.through = self.vae if is_through(self.run.eval.reference) else None

    def _limit(self, data: Data) -> int:
        """The first so many images of a data set that the run takes; 0: all."""
        limit = self.run.images
        return 0 if limit is None or data.name == FILE or 0 < data.images <= limit else limit

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
        half, labels = None, False
        limit = self._limit(data)
        if count is None:
            declared = known_reference(self.run.eval.reference)
            count = data.images if declared is None or data.name == FILE else declared.images
            half = self.run.eval.half
            labels = any(
                one.reference == "classes" and (one.network or self.run.eval.network) == name
                for one in self.needs.metrics
            )
        return self.graph.add(
            ReferenceSpec(
                dataset=data.name,
                data=data.source,
                resolution=self.run.resolution,
                count=min(count or limit, limit) if limit else count,
                images=limit,
                network=name,
                weights=weights,
                half=half,
                inputs={} if vae is None else vae.role("vae"),
                through=vae is not None,
                vae=None if vae is None else vae.source,
                offset=ROUNDED if vae is None else self.needs.model.family.offset,
                labels=labels,
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
            images=self._limit(self.needs.data),
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
