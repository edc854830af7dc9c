"""The stages of one run: its trainings, its samples, its references and its score."""

from __future__ import annotations

from collections.abc import Collection

from ssdbench.errors import InputError
from ssdbench.metrics.catalog import standard
from ssdbench.metrics.reference_set import is_through
from ssdbench.plan.links import Links, Weights
from ssdbench.plan.variants import recipe, sampling
from ssdbench.samplers.ddim import DDIM
from ssdbench.stages import EncodeSpec, ScoreSpec, TrainSpec
from ssdbench.stages.sample import Copying, Sampling
from ssdbench.suite import ResolvedRun
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
    """Adds the stages of a run to a graph; the run's needs must all have been found."""

    def score(self) -> str:
        """Add all stages; return the score stage's key."""
        run, needs = self.run, self.needs
        assert needs.network is not None
        vae = self._autoencoder()
        inputs = {f"samples/{i:05d}": key for i, key in enumerate(self._samples(vae))}
        given = {name for metric in needs.metrics for name in metric.given}
        spec = ScoreSpec(
            inputs=inputs | self._references(vae) | self._given(given, vae),
            network=run.eval.network,
            weights=needs.network,
            reference=needs.reference,
            samples=run.eval.samples,
            metrics=() if needs.metrics == standard() else tuple(one.name for one in needs.metrics),
            sources=needs.metric_sources,
            networks={name: one.weights for name, one in needs.measured_by.items()},
            labels="labels" in given,
            references={name: one.file for name, one in needs.measured_by.items() if one.file is not None},
        )
        return self.graph.add(spec)

    def _samples(self, vae: Weights) -> list[str]:
        """Add the images that are scored, with all trainings behind them; return the keys of their shards."""
        if self.needs.copies:
            assert self.needs.data is not None
            copying = Copying(
                dataset=self.needs.data.name,
                data=self.needs.data.source,
                reconstruct=self.needs.variant.trains_autoencoder,
            )
            return self._shards(vae if copying.reconstruct else Weights(), copying=copying)
        model, frozen = self._model(vae)
        how = self._sampling(self.run, model, frozen)
        roles = frozen.role("frozen") if how.models == 2 else {}
        roles |= self._texts(self.needs.captions)
        return self._shards(vae, sampling=how, roles={**model.role("model"), **roles})

    def _references(self, vae: Weights) -> dict[str, str]:
        """Add the statistics of the reference's images under each network; those in a file need no stage."""
        through, found = self._through(vae), {}
        if self.needs.reference_data is not None:
            found["reference"] = self._reference_stage(self.needs.reference_data, vae=through)
        for name, measuring in self.needs.measured_by.items():
            if measuring.data is not None:
                network = name, measuring.weights
                found[f"reference/{name}"] = self._reference_stage(measuring.data, network, vae=through)
        return found

    def _through(self, vae: Weights) -> Weights | None:
        """Return the autoencoder that the reference's images are passed through; None where they are not."""
        return vae if is_through(self.run.eval.reference) else None

    def _given(self, wanted: Collection[str], vae: Weights) -> dict[str, str]:
        """Add what some metrics need besides samples and reference: see the roles of :class:`ScoreSpec`."""
        found, settings = {}, self.run.eval
        if settings.trajectory is not None and not self.needs.copies:
            found["trajectory"] = self._exact(settings.trajectory, vae)
        if "captions" in wanted:
            texts = self._texts(self.needs.captions)
            found |= {"captions": texts["text"]} if texts else {}
        if self.needs.training_data is not None:
            count = min(self.needs.training_data.images, MEMORISED)
            found["training"] = self._reference_stage(
                self.needs.training_data, count=count, vae=self._through(vae)
            )
        return found

    def _exact(self, steps: int, vae: Weights) -> str:
        """Samples of the base model by a fine solver, from the noise and labels of the run's first ones."""
        fine = self.run.model_copy(update=AS_BASE | {"nfe": steps})
        model = self._pretrained(vae)
        [shard] = self._shards(
            vae,
            sampling=self._sampling(fine, model),
            roles={**model.role("model"), **self._texts(self.needs.captions)},
            total=min(TRAJECTORIES, self.run.eval.samples),
        )
        return shard

    def _sampling(self, run: ResolvedRun, model: Weights, frozen: Weights | None = None) -> Sampling:
        """How a model is sampled; without what it was distilled from, as the base model."""
        if frozen is None:
            return sampling(self.needs, run, model.source, base=True)
        how = sampling(self.needs, run, model.source, frozen=frozen.source)
        return how.model_copy(update={"step": self._step(model)})

    def _step(self, model: Weights) -> int | None:
        """After which step of its training a model is sampled; None: after the last, or it was not trained here."""
        step = self.run.at_step
        if step is None or model.key is None:
            return None
        training = self.graph.nodes[model.key].spec
        assert isinstance(training, TrainSpec)
        if step not in (*training.checkpoints, training.steps):
            raise InputError(
                f"at_step: must be one of train.checkpoints or the last step, {training.steps:,}, not {step:,}"
            )
        return None if step == training.steps else step

    def _model(self, vae: Weights) -> tuple[Weights, Weights]:
        """The denoiser after all steps of the variant, and before the last of them."""
        model, done = self._pretrained(vae), Halved()
        before = model
        trainings = [
            (step, teacher) for step in self.needs.variant.added for teacher in step.teachers or (None,)
        ]
        for left, (step, teacher) in zip(reversed(range(len(trainings))), trainings, strict=True):
            before, model = model, self._train(step, model, vae, done, teacher, last=not left)
            done = done if teacher is None else done.then(teacher)
        return model, before

    def _latents(self, vae: Weights) -> dict[str, str]:
        """What a training reads: encoded images, or samples of the base model."""
        if self.needs.synthetic is not None:
            return {f"data/{i:05d}": key for i, key in enumerate(self._synthetic(self.needs.synthetic, vae))}
        assert self.needs.data is not None
        latents = EncodeSpec(
            inputs=vae.role("vae"),
            dataset=self.needs.data.name,
            data=self.needs.data.source,
            resolution=self.run.resolution,
            images=self.needs.data.images,
            vae=vae.source,
        )
        stages = {"data": latents}
        if self.run.train.flip:  # latents of flipped images are no flipped latents
            stages["flipped"] = latents.model_copy(update={"flip": True})
        return {role: self.graph.add(stage) for role, stage in stages.items()}

    def _synthetic(self, steps: int, vae: Weights) -> list[str]:
        """Shards of the base model's samples, guided as the run's, from other noise than what is scored."""
        run, model = self.run, self._pretrained(vae)
        return self._shards(
            vae,
            sampling=self._sampling(run.model_copy(update=AS_BASE | {"nfe": steps}), model),
            roles={**model.role("model"), **self._texts(self.needs.learned)},
            total=run.train.synthetic_images or self._drawn(),
            seed=run.seed + SYNTHETIC_SEED,
        )

    def _drawn(self) -> int:
        """Images that the longest training of the variant draws, at most as many as the model's own data set has."""
        train = self.run.train
        paces = [step.method.pace(train) for step in self.needs.variant.steps]
        steps = max([train.steps, *(int(pace.get("steps", 0)) for pace in paces)])
        drawn = steps * train.batch_size
        own = DATASETS.known(self.needs.model.dataset)
        return drawn if own is None or not own.images else min(drawn, own.images)

    def _pretrained(self, vae: Weights) -> Weights:
        """The denoiser that the variant starts from, trained here where it says so."""
        model, variant = Weights(source=self.needs.weights), self.needs.variant
        if not variant.from_nothing:
            return model
        alone = variant.pretrains_alone
        return self._train(variant.steps[0], model, vae, Halved(), pretrain=self.run.pretrain, last=alone)

    def _train(
        self,
        step: VariantStep,
        start: Weights,
        vae: Weights,
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
        roles = {}
        if objective.FEATURES:
            assert needs.data is not None
            roles["features"] = self._reference_stage(needs.data, count=needs.data.images)
        spec = TrainSpec(
            inputs={**self._latents(vae), **self._texts(needs.learned), **start.role("model"), **roles},
            objective=objective,
            shape=needs.shape,
            flow=needs.model.flow,
            weights=start.source,
            seed=seed,
            **settings,
        )
        return Weights(key=self.graph.add(spec))
