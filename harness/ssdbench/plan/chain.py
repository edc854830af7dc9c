"""From a suite to the graph: each run's trainings, samples, references and score; stages are shared where equal."""

from __future__ import annotations

from collections.abc import Collection

from ssdbench.data.labels import RANDOM
from ssdbench.errors import InputError
from ssdbench.gc_pause import gc_paused
from ssdbench.metrics.catalog import standard
from ssdbench.models.shapes import Shape
from ssdbench.plan.graph import Graph, PlannedRun
from ssdbench.plan.links import Links, Weights, recipe, sampling, trained_by
from ssdbench.plan.needs import Needs
from ssdbench.plan.sources import Data, Finder, Unavailable
from ssdbench.samplers.ddim import DDIM
from ssdbench.stages import EncodeSpec, ScoreSpec, TrainSpec
from ssdbench.stages.sample import Copying
from ssdbench.suite import Suite
from ssdbench.suite.catalog import DATASETS
from ssdbench.suite.training import Pretrain, Train
from ssdbench.suite.variant import Halved, VariantStep

_SETTINGS = tuple(name for name in TrainSpec.model_fields if name in Train.model_fields)

MEMORISED = 10_000  # training images that samples are compared with, as many as a reference holds
SYNTHETIC_SEED = 1_000_000_000  # added to a run's seed for the data it is trained on
TRAJECTORIES = 200  # samples whose distance from the exact ones is measured: fine solvers take long
AS_BASE = {"sampler": DDIM.name, "fused": False, "student_at": "all"}
"""How the base model is sampled for synthetic data and trajectories, however the run samples its own model."""


class Chain(Links):
    """Adds the stages of a run to a graph; the run's needs must not be lacking."""

    def score(self) -> str:
        """Add all stages; return the score stage's key."""
        run, needs = self.run, self.needs
        assert needs.network is not None
        shards = self._samples() if needs.given is None else []
        inputs = {f"samples/{i:05d}": key for i, key in enumerate(shards)}
        given = {name for metric in needs.metrics for name in metric.given}
        spec = ScoreSpec(
            inputs=inputs | self._references() | self._given(given),
            network=run.eval.network,
            weights=needs.network,
            reference=needs.reference,
            samples=run.eval.samples,
            given=needs.given,
            metrics=() if needs.metrics == standard() else tuple(one.name for one in needs.metrics),
            sources=needs.metric_sources,
            networks={name: one.weights for name, one in needs.measured_by.items()},
            labels=bool(given & {"labels", "classes"}),
            references={name: one.file for name, one in needs.measured_by.items() if one.file is not None},
        )
        return self.graph.add(spec)

    def _samples(self) -> list[str]:
        """Add the images that are scored, with all trainings behind them; return the keys of their shards."""
        needs = self.needs
        if needs.copies:
            assert needs.data is not None
            reconstruct = needs.variant.trains_autoencoder
            return self._shards(
                Copying(dataset=needs.data.name, data=needs.data.source, reconstruct=reconstruct)
            )
        model, frozen = self._model()
        how = sampling(needs, self.run, model, frozen, step=self._step(model))
        roles = frozen.role("frozen") if how.models == 2 else {}
        return self._shards(how, model.role("model") | roles | self._texts(needs.captions))

    def _references(self) -> dict[str, str]:
        """Add the statistics of the reference's images under each network; those in a file need no stage."""
        found = {}
        if self.needs.reference_data is not None:
            found["reference"] = self._reference_stage(self.needs.reference_data)
        for name, measuring in self.needs.measured_by.items():
            if measuring.data is not None:
                network = name, measuring.weights
                found[f"reference/{name}"] = self._reference_stage(measuring.data, network)
        return found

    def _given(self, wanted: Collection[str]) -> dict[str, str]:
        """Add what some metrics need besides samples and reference: see the roles of :class:`ScoreSpec`."""
        found, needs, steps = {}, self.needs, self.run.eval.trajectory
        if steps is not None and not needs.copies:  # from the noise and labels of the run's first samples
            total = min(TRAJECTORIES, self.run.eval.samples)
            [found["trajectory"]] = self._of_base(steps, needs.captions, total)
        if "captions" in wanted and (texts := self._texts(needs.captions)):
            found["captions"] = texts["text"]
        if needs.training_data is not None:
            count = min(needs.training_data.images, MEMORISED)
            found["training"] = self._reference_stage(needs.training_data, count=count)
        return found

    def _of_base(self, steps: int, captions: Data | None, total: int, seed: int | None = None) -> list[str]:
        """Add samples of the base model in so many steps, guided as the run's; return the keys of their shards.

        Those of another ``seed`` are others than are scored: their classes are drawn one by one.
        """
        drawn = {} if seed is None else {"labels": RANDOM}
        run, model = self.run.model_copy(update=AS_BASE | {"nfe": steps} | drawn), self._pretrained()
        roles = model.role("model") | self._texts(captions)
        return self._shards(sampling(self.needs, run, model, None), roles, total, seed)

    def _step(self, model: Weights) -> int | None:
        """After which step of its training a model is sampled; None: after the last, or it was not trained here."""
        step = self.run.at_step
        if step is None or model.key is None:
            return None
        training = self.graph.nodes[model.key].spec
        assert isinstance(training, TrainSpec)
        if step not in (*training.checkpoints, training.steps):
            last = f"the last step, {training.steps:,}"
            raise InputError(f"at_step: must be one of train.checkpoints or {last}, not {step:,}")
        return None if step == training.steps else step

    def _model(self) -> tuple[Weights, Weights]:
        """The denoiser after all steps of the variant, and before the last of them."""
        model, done, variant = self._pretrained(), Halved(), self.needs.variant
        before = model
        shape = trained_by(self.needs.shape, variant.methods[:1] if variant.from_nothing else ())
        trainings = [(step, teacher) for step in variant.added for teacher in step.teachers or (None,)]
        for left, (step, teacher) in zip(reversed(range(len(trainings))), trainings, strict=True):
            shape = trained_by(shape, (step.method,))
            before, model = model, self._train(step, shape, model, done, teacher, last=not left)
            done = done if teacher is None else done.then(teacher)
        return model, before

    def _latents(self) -> dict[str, str]:
        """What a training reads: encoded images, or samples of the base model."""
        run, needs = self.run, self.needs
        if needs.synthetic is not None:  # from other noise than what is scored
            total = run.train.synthetic_images or self._drawn()
            shards = self._of_base(needs.synthetic, needs.learned, total, run.seed + SYNTHETIC_SEED)
            return {f"data/{i:05d}": key for i, key in enumerate(shards)}
        assert needs.data is not None
        latents = EncodeSpec(
            inputs=self.vae.role("vae"),
            dataset=needs.data.name,
            data=needs.data.source,
            resolution=run.resolution,
            images=self._limit(needs.data) or needs.data.images,
            vae=self.vae.source,
        )
        stages = {"data": latents}
        if run.train.flip:  # latents of flipped images are no flipped latents
            stages["flipped"] = latents.model_copy(update={"flip": True})
        return {role: self.graph.add(stage) for role, stage in stages.items()}

    def _drawn(self) -> int:
        """Images that the longest training of the variant draws, at most as many as the model's own data set has."""
        train = self.run.train
        paces = [step.method.pace(train) for step in self.needs.variant.steps]
        steps = max([train.steps, *(int(pace.get("steps", 0)) for pace in paces)])
        drawn = steps * train.batch_size
        own = DATASETS.known(self.needs.model.dataset)
        return drawn if own is None or not own.images else min(drawn, own.images)

    def _pretrained(self) -> Weights:
        """The denoiser that the variant starts from, trained here where it says so."""
        model, variant = Weights(source=self.needs.weights), self.needs.variant
        if not variant.from_nothing:
            return model
        alone, shape = variant.pretrains_alone, trained_by(self.needs.shape, variant.methods[:1])
        return self._train(variant.steps[0], shape, model, Halved(), pretrain=self.run.pretrain, last=alone)

    def _train(
        self,
        step: VariantStep,
        shape: Shape,
        start: Weights,
        done: Halved,
        teacher: int | None = None,
        pretrain: Pretrain | None = None,
        last: bool = False,
    ) -> Weights:
        """Add one training; the ``last`` of a variant keeps its weights after the checkpoints too."""
        train, needs, seed = self.run.train, self.needs, self.run.seed
        settings = {name: getattr(train, name) for name in _SETTINGS} | dict(step.method.pace(train))
        if pretrain is not None:
            settings |= pretrain.model_dump(exclude={"seed"})
            seed = seed if pretrain.seed is None else pretrain.seed
        kept, steps = train.checkpoints if last else (), settings["steps"]
        if kept and max(kept) > steps:
            raise InputError(f"train.checkpoints: {max(kept):,} is beyond the {steps:,} steps of '{step}'")
        settings["checkpoints"] = tuple(sorted(set(kept) - {steps}))
        objective = step.method.objective(recipe(needs, step, done, teacher))
        own_grid = None if objective.result() is None else needs.grid
        anchor = train.anchor if step.method.trained_on == "pairs" else 0.0
        objective = objective.model_copy(update={"own_grid": own_grid, "anchor": anchor})
        inputs = self._latents() | self._texts(needs.learned) | start.role("model")
        if objective.FEATURES:
            assert needs.data is not None
            inputs["features"] = self._reference_stage(needs.data, count=needs.data.images, passed=False)
        spec = TrainSpec(
            inputs=inputs,
            objective=objective,
            shape=shape,
            flow=needs.model.flow,
            weights=start.source,
            seed=seed,
            **settings,
        )
        return Weights(key=self.graph.add(spec))


@gc_paused()
def build(suite: Suite, outline: bool = False) -> Graph:
    """The graph of all runs of a suite. A run that cannot run here has no target, and says why.

    In an ``outline`` a run for which something is not on this machine has a target all the same, with stages in which
    a stand-in takes its place: it is for plans, and cannot be run.
    """
    graph = Graph()
    finder = Finder()
    for run in suite.runs:
        try:
            needs = Needs(run, finder, outline)
        except Unavailable as error:
            graph.runs.append(PlannedRun(run, unavailable=str(error)))
        except InputError as error:  # a model of the user's own that cannot be described
            graph.runs.append(PlannedRun(run, missing=(str(error),)))
        else:
            target = None if needs.lacking else Chain(graph, needs).score()
            graph.runs.append(PlannedRun(run, target, None, tuple(needs.missing), tuple(needs.notes)))
    return graph
