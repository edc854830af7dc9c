"""What a run needs from outside the graph: weights, data, references - found, or noted as missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ssdbench.data.datasets import READERS
from ssdbench.errors import InputError
from ssdbench.methods import METHODS, Plain
from ssdbench.metrics.catalog import chosen, lacking_counts, metric_files
from ssdbench.metrics.metric import Metric
from ssdbench.metrics.networks import NETWORKS
from ssdbench.metrics.npz import images_in
from ssdbench.models.own_model import describe, shape_of
from ssdbench.models.unet_shape import UNetShape
from ssdbench.own import is_own
from ssdbench.plan.fitting import fitting_autoencoder, trained_shape
from ssdbench.plan.labels import checked_labels
from ssdbench.plan.sources import Data, Finder, Unavailable
from ssdbench.samplers import GRIDS, SAMPLERS
from ssdbench.stages import Source
from ssdbench.suite import ResolvedRun
from ssdbench.suite.catalog import MODELS, REFERENCES, ModelFacts
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.variant import UNTOUCHED, variant_of

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Measuring:
    """A network that metrics have of their own, and the reference under it: a file, or images to compute it from.

    It has neither where none of these metrics needs a reference.
    """

    weights: Source
    file: Source | None
    data: Data | None


class Needs:
    """All that one run needs. ``missing`` lists what is not on this machine, and how to get it, or does not fit.

    ``notes`` are what the user may want to know: which weights were taken of a file that holds several sets, how
    classes are numbered, what was passed over, which metrics cannot be had. ``reference`` is a file of statistics, or
    else ``reference_data`` are images to compute them from. ``sampler`` and ``grid`` are those of the
    user's own, ``methods`` too, by their names in the variant. ``measured_by`` are the networks that metrics have of
    their own. What is not needed is None.

    Raises:
        Unavailable: this version cannot run it.
    """

    def __init__(self, run: ResolvedRun, finder: Finder) -> None:
        self.run, self._finder = run, finder
        self.missing: list[str] = []
        self.notes: list[str] = []
        self.variant = variant_of(run.variant)
        self.methods = self._own_methods()
        self.files: tuple[Path, ...] = ()
        self.facts = MODELS.get(run.model) or self._own_facts()
        self.synthetic = synthetic_steps(run.data)
        if self.copies and self.variant.trains_autoencoder and not (run.autoencoder or self.facts.vae):
            raise Unavailable(f"model {run.model!r} has no autoencoder to reconstruct images with")
        dataset = self._dataset()
        self.shape = self.facts.shapes[run.resolution]
        self.network = self._find(lambda: self._finder.network_source(run.eval.network, run.eval.weights))
        self.reference, self.reference_data = self._reference(run.eval.network)
        self.metrics: tuple[Metric, ...] = self._find(self._measurable) or ()
        self.metric_sources = {
            metric.name: self._finder.declared(files)
            for metric in self.metrics
            if (files := metric_files(metric.name))
        }
        self.measured_by: dict[str, Measuring] = {}
        for name in dict.fromkeys(metric.network for metric in self.metrics if metric.network is not None):
            if name != run.eval.network:
                self._add_network(name)
        sampler, grid = SAMPLERS.place(run.sampler), GRIDS.place(run.grid)
        self.sampler = None if sampler is None else self._find(lambda: self._finder.own_source(sampler))
        self.grid = None if grid is None else self._find(lambda: self._finder.own_source(grid))
        self.weights = self._find(self._weights) if self._needs_weights else None
        if (weights := self.weights) is not None:
            self.shape = self._find(lambda: trained_shape(run, self.facts, weights)) or self.shape
            self.weights = self._find(lambda: self._seen(weights)) or weights
        self.vae = self._find(self._vae) if self._needs_vae else None
        if (vae := self.vae) is not None:
            self._find(lambda: fitting_autoencoder(vae, self.shape, run.resolution))
            self._find(lambda: self._finder.check_autoencoder(vae))
        self.data = self._find(lambda: self._finder.dataset(dataset)) if self._needs_data else None
        self.text = self._find(self._text) if self.facts.text is not None and not self.copies else None
        self.captions, self.learned = self._captions()
        # Memorised is what the base model was trained on, whatever a variant was trained on since.
        seen = self.facts.dataset if run.eval.memorisation else None
        self.training_data = self._find(lambda: self._finder.dataset(seen)) if seen is not None else None
        if self.data is not None and not self.copies:
            trained = self.data
            self._find(lambda: self.notes.extend(checked_labels(dataset, trained, run.model, self.shape)))
        self._find(self._check_counts)
        for found in (self.data, self.reference_data, self.training_data):
            if found is not None and found.files is not None:
                self.notes += [f"{found.source.path}: {note}" for note in found.files.notes]

    def _find(self, source: Callable[[], _Found]) -> _Found | None:
        """The source, or None and a note of what is missing or cannot be read."""
        try:
            return source()
        except Unavailable:
            raise
        except InputError as error:
            if str(error) not in self.missing:
                self.missing.append(str(error))
            return None

    def _measurable(self) -> tuple[Metric, ...]:
        """The metrics that the run asks for, but those that compare classes of other data with the samples' labels.

        Raises:
            InputError: one cannot be imported, or none is left.
        """
        data = self.run.data if self.copies and self.run.data != "original" else self.facts.dataset
        found, notes = [], []
        for metric in chosen(self.run.eval.metrics):
            network = NETWORKS.known(metric.network or self.run.eval.network)
            if "labels" in metric.given and network is not None and data not in network.classes:
                known = " or ".join(network.classes) or "no data set"
                notes.append(
                    f"no {metric.name}: the samples' labels are of {data}, {network.name} knows classes of {known}"
                )
            else:
                found.append(metric)
        if not found:
            raise InputError("; ".join(notes))
        self.notes += notes
        return tuple(found)

    @property
    def copies(self) -> bool:
        """Whether images of the data set are scored, and nothing is sampled."""
        return not self.variant.sampled

    @property
    def _needs_weights(self) -> bool:
        # What a model of the user's own is trained from is the user's affair, so it is a start for pretraining too.
        return not self.copies and (not self.variant.from_nothing or is_own(self.run.model))

    @property
    def _needs_vae(self) -> bool:
        in_pixels = self.facts.family == "own" and self.facts.vae is None
        used = not self.copies or self.variant.trains_autoencoder
        return self.run.autoencoder is None and used and not in_pixels

    @property
    def _needs_data(self) -> bool:
        return str(self.variant) != UNTOUCHED and self.synthetic is None

    def _own_methods(self) -> dict[str, Source]:
        """The code of each method that is not the package's, by its name in the variant."""
        names = [step.kind for step in self.variant.steps if step.kind not in METHODS.builtin]
        found = {name: self._find(partial(self._own_method, name)) for name in names}
        return {name: source for name, source in found.items() if source is not None}

    def _own_method(self, name: str) -> Source:
        source = self._finder.declared(METHODS.sources(name))
        method = METHODS.find(name)
        if method is not None and method.specs != (Plain,):
            raise InputError(
                f"{name}: declares objectives of classes of its own, which only the package's methods can have: leave"
                " out specs and objective, and declare settings"
            )
        return source

    def _own_facts(self) -> ModelFacts:
        name, resolution = self.run.model, self.run.resolution
        model = describe(name, resolution)
        fused = () if isinstance(self.run.train.fuse, str) else self.run.train.fuse
        fuses = self.variant.fuses or SAMPLERS.named(self.run.sampler).extrapolates
        if fuses and (not model.depth or any(layer >= model.depth for layer in fused)):
            raise InputError(f"{name} has {model.depth} blocks to fuse: {self.run.train.fuse} cannot be")
        self.files = tuple(Path(file) for file in model.weights)
        return ModelFacts(
            description=name,
            family="own",
            shapes={resolution: shape_of(name, resolution, model)},
            vae=None if model.autoencoder is None else f"path:{model.autoencoder}",
            dataset=model.dataset,
        )

    def _dataset(self) -> str:
        name = self.facts.dataset if self.run.data == "original" else self.run.data
        if self._needs_data and name not in READERS and "/" not in name and not is_own(name):
            raise Unavailable(f"the data source {name!r} is not available yet in this version")
        return name

    def _reference(self, network: str) -> tuple[Source | None, Data | None]:
        """The reference under a network: a file, or else images to compute it from; neither where it is missing."""
        if (named := self._named_reference(network)) is not None:
            return self._find(named), None
        return None, self._find(lambda: self._finder.dataset(self._reference_images()))

    def _add_network(self, name: str) -> None:
        """Find a network that a metric has of its own, and the reference under it."""
        weights = self._find(lambda: self._finder.network_source(name, None))
        own = [metric for metric in self.metrics if metric.network == name]
        file, data = None, None
        if against := [metric.name for metric in own if metric.reference is not None]:
            file, data = self._reference(name)
            if file is not None and images_in(Path(file.path)) is None:
                self.notes.append(f"no {', '.join(against)}: the reference has no images")
                file = None
                if len(against) == len(own):
                    return
            elif file is None and data is None:
                return
        if weights is not None:
            self.measured_by[name] = Measuring(weights, file, data)

    def _named_reference(self, network: str) -> Callable[[], Source] | None:
        """How to find a file of statistics or images; None where a folder or a data set holds the images."""
        name = self.run.eval.reference
        if name in REFERENCES:
            facts = REFERENCES[name]
            if facts.resolution != self.run.resolution:
                wanted = self.run.resolution
                raise Unavailable(
                    f"reference {name!r} holds images of {facts.resolution} pixels, the run's have {wanted}"
                )
            shipped = None if self.run.eval.half else facts.networks.get(network)
            if shipped is None and facts.dataset is None and network != self.run.eval.network:
                # A metric's own network reads the images that another network's file holds.
                shipped = next((file for file in facts.networks.values() if file.endswith(".npz")), None)
            if shipped is None:
                return None
            return lambda: self._fitting(self._finder.locate(shipped, facts.hint), network, facts.resolution)
        path = Path(name).expanduser()
        return (
            None
            if path.is_dir()
            else lambda: self._fitting(self._finder.own_file(path, "reference"), network)
        )

    def _fitting(self, source: Source, network: str, resolution: int | None = None) -> Source:
        # Whether it fits a network that is missing, which is told already, or one that reads images alone, is not seen.
        if self.network is None or network != self.run.eval.network:
            return source
        return self._finder.reference(source, self.run.eval.network, self.network.digest, resolution)

    def _check_counts(self) -> None:
        """Note which metrics so few reference images do not give; of samples the suite itself does.

        Raises:
            InputError: the reference has a single image, which gives none that it is there for.
        """
        count = None
        if self.reference_data is not None:
            count = self.reference_data.images or None  # of the user's own function it is not known
            if count is not None and self.run.eval.half is not None:
                count //= 2
        elif self.reference is not None:
            count = images_in(Path(self.reference.path))
        if count == 1:
            raise InputError(f"reference {self.run.eval.reference!r}: holds 1 image, at least 2 are needed")
        self.notes += lacking_counts(self.run.eval.network, None, count, self.metrics)

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
        if is_own(self.run.model):
            if self.run.weights is not None:
                raise InputError(
                    f"weights: {self.run.weights}: {self.run.model} reads its files itself; the setting is for"
                    " published checkpoints"
                )
            return self._finder.own_source(self.run.model, self.files)
        resolution = self.run.resolution
        return self._finder.locate(self.facts.weights[resolution], self.facts.hint_for(resolution))

    def _seen(self, weights: Source) -> Source:
        """The weights with the set of them that is taken, once they are found to fit."""
        if is_own(self.run.model):
            return weights
        seen = self._finder.seen_weights(weights, self.shape, self.run.weights or "")
        self.notes += filter(None, [seen.note])
        return weights.model_copy(update={"part": seen.part})

    def _text(self) -> Source:
        assert self.facts.text is not None
        assert isinstance(self.shape, UNetShape)
        return self._finder.text_encoder(self.facts.text, self.facts.vae_hint, self.shape)

    def _captions(self) -> tuple[Data | None, Data | None]:
        """The captions that are sampled, and those that a training reads; None for a model that takes none."""
        if self.facts.text is None or self.copies:
            return None, None
        named = self.run.eval.captions or self._reference_images()
        learned = self.data
        if self.synthetic is not None:  # the base model's samples have the captions that it was trained on
            learned = self._find(lambda: self._finder.dataset(self.facts.dataset))
        return self._find(lambda: self._finder.captions(named)), learned

    def _vae(self) -> Source:
        if self.facts.vae is None:
            raise Unavailable(f"model {self.run.model!r} has no autoencoder")
        return self._finder.locate(self.facts.vae, self.facts.vae_hint)
