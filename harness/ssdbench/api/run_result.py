"""One run of a suite and what it left: its record, its images, its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssdbench.api.pictures import Samples, read_samples
from ssdbench.api.words import describe
from ssdbench.errors import UsageError
from ssdbench.plan import Graph
from ssdbench.report.rows import Result
from ssdbench.stages import SampleSpec
from ssdbench.store import Record, Store
from ssdbench.suite import ResolvedRun

if TYPE_CHECKING:
    from ssdbench.models.conditional import Conditional
    from ssdbench.models.vae import Autoencoder, Pixels


@dataclass(frozen=True, repr=False)
class RunResult:
    """One run: its settings, and what it left in the store.

    Args:
        suite: the suite's name.
        result: the run with its record, or with the reason why there is none.
        target: the key of its score stage; None where it cannot run here.
        graph: the stages.
        store: where their artifacts are.

    """

    suite: str
    result: Result
    target: str | None
    graph: Graph
    store: Store

    @property
    def run(self) -> ResolvedRun:
        """All settings."""
        return self.result.run

    @property
    def label(self) -> str:
        """The row's name: the suite's ``label``, else the variant."""
        return self.run.label or self.run.named.variant

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.run.seed

    @property
    def key(self) -> str | None:
        """The key that ``ssdbench show`` and ``export`` take; None where the run cannot run here."""
        return self.target

    @property
    def reason(self) -> str | None:
        """Why there is no record of the present artifacts; None where there is one."""
        return None if self.result.why is None else self.result.why.joined()

    @property
    def record(self) -> Record:
        """The metrics with their provenance. Where ``reason`` is set it is an earlier execution's.

        Raises:
            UsageError: there is none; says why.

        """
        if self.result.record is None:
            raise UsageError(f"{describe(self.run)}: there is no result: {self.reason}")
        return self.result.record

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics by name, such as ``fid``, ``sfid``, ``is``, ``precision``, ``recall``; raises as ``record``."""
        return dict(self.record.metrics)

    def samples(self) -> Samples:
        """Return the images that were scored, with their labels and captions.

        Raises:
            UsageError: there is no result, or its images were dropped (``keep: grid``).

        """
        return read_samples(self.record, self.store)

    def images(self, count: int | None = None) -> NDArray[np.uint8]:
        """Return the first ``count`` images that were scored, all by default: uint8 (N, H, W, C).

        Raises:
            UsageError: as ``samples``, or there are fewer.

        """
        found = self.samples().images
        if count is not None and not 1 <= count <= len(found):
            raise UsageError(f"{describe(self.run)}: has {len(found):,} images, not {count:,}")
        return found[:count]

    def model(self, device: str = "cpu") -> Conditional:
        """Return the denoiser that was sampled, in float32, ready to call: ``model(x, t, cond)``.

        x are noised latents (B, C, h, w), t timesteps, int64 (B,), or a flow's times, float (B,), and cond class
        labels, int64 (B,), or encoded captions. The first C channels that it returns are the prediction; ``null`` is
        the condition of the unconditional branch, ``shape`` says what it takes.

        Raises:
            UsageError: nothing is sampled (``real``, ``reconstruction``), or the weights are not in the store.
            InputError: the weights do not fit.

        """
        from ssdbench.models.catalog import load_denoiser
        from ssdbench.stages.conditioning import open_conditions
        from ssdbench.stages.weights import model_place

        spec = self._sampled()
        if spec.sampling is None:
            raise UsageError(f"{describe(self.run)}: scores images of the data set, so there is no model")
        inputs = self._inputs(spec, "model", "text")
        conditions = open_conditions(spec.sampling.shape, inputs)
        place = model_place(spec.sampling.weights, inputs, step=spec.sampling.step)
        model = load_denoiser(place, spec.sampling.shape, conditions.null)
        return model.eval().requires_grad_(False).to(device)

    def autoencoder(self, device: str = "cpu") -> Autoencoder | Pixels:
        """Return what turns the model's latents into images: ``.decode(latents)`` gives uint8 (B, H, W, C).

        ``.encode(images)`` gives the mean and standard deviation of the scaled latents.

        Raises:
            UsageError: its weights are not in the store.

        """
        from ssdbench.models.vae import open_autoencoder
        from ssdbench.stages.weights import vae_folder

        spec = self._sampled()
        return open_autoencoder(vae_folder(spec.vae, self._inputs(spec, "vae")), device)

    def save_pipeline(self, folder: str | Path) -> list[str]:
        """Write the model that the run trained as a pipeline of diffusers', as ``ssdbench export --pipeline`` does.

        Returns what the pipeline does otherwise than the run, a line each.

        Raises:
            UsageError: there is no result, the run trained nothing or does not sample by DDIM, its weights are gone, or
                the folder exists.
            InputError: diffusers has no such model, scheduler or autoencoder.

        """
        from ssdbench.api.pipelines import export_pipeline

        told: list[str] = []
        export_pipeline(self.record, self.store, Path(folder), told.append)
        return told

    def _sampled(self) -> SampleSpec:
        """The first of the sample stages that are scored; others of the run may sample the base model."""
        if self.target is None:
            raise UsageError(f"{describe(self.run)}: cannot run here: {self.reason}")
        if self.run.samples is not None:
            raise UsageError(f"{describe(self.run)}: scores {self.run.samples}, so there is no model")
        roles = self.graph.nodes[self.target].inputs
        spec = self.graph.nodes[roles[min(role for role in roles if role.startswith("samples/"))]].spec
        assert isinstance(spec, SampleSpec)
        return spec

    def _inputs(self, spec: SampleSpec, *roles: str) -> dict[str, Path]:
        """Where the artifacts of some inputs of a stage lie, once their files were compared with what was committed."""
        found = {}
        for role in roles:
            key = spec.inputs.get(role)
            if key is None:
                continue
            title = self.graph.nodes[key].spec.title
            if self.store.manifest(key) is None:
                raise UsageError(f"'{title}' ({key[:12]}) is not in {self.store.name}: run the suite")
            if problems := self.store.verify(key):
                raise UsageError(f"'{title}' ({key[:12]}) is damaged: {'; '.join(problems)}")
            found[role] = self.store.directory(key)
        return found

    def __repr__(self) -> str:
        state = self.reason or ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        return f"<{self.label}: {describe(self.run)}: {state}>"
