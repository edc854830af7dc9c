"""What a run needs from outside the graph: weights, data, references - found, or noted as missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ssdbench.data.labels import BALANCED, RANDOM, Labels, read_labels
from ssdbench.declaration import Catalog
from ssdbench.errors import InputError
from ssdbench.methods import METHODS, Plain
from ssdbench.metrics.catalog import chosen, lacking_counts, metric_files
from ssdbench.metrics.metric import Metric
from ssdbench.metrics.networks import NETWORKS
from ssdbench.metrics.npz import images_in
from ssdbench.metrics.reference_set import THROUGH, known_reference
from ssdbench.metrics.sources import open_images
from ssdbench.models.catalog import code_of, model_of
from ssdbench.models.inspection import find_text, find_vae
from ssdbench.plan import sources
from ssdbench.plan.fitting import (
    check_autoencoder,
    checked_labels,
    fitting_pixels,
    fitting_samples,
    trained_shape,
)
from ssdbench.plan.references import References, classless
from ssdbench.plan.sources import Data, Finder, Unavailable, absent, denoiser, place
from ssdbench.samplers import GRIDS, SAMPLERS
from ssdbench.stages import Source
from ssdbench.stages.reference import FILE
from ssdbench.suite import ResolvedRun
from ssdbench.suite.names import synthetic_steps
from ssdbench.suite.variant import UNTOUCHED, variant_of


@dataclass(frozen=True)
class Measuring:
    """A network that metrics have of their own, and the reference under it: a file, or images to compute it from.

    It has neither where none of these metrics needs a reference.
    """

    weights: Source
    file: Source | None
    data: Data | None


class Needs(References):
    """All that one run needs. ``missing`` lists what is not on this machine, and how to get it, or does not fit.

    ``notes`` are what the user may want to know: which weights were taken of a file that holds several sets, how
    classes are numbered, what was passed over, which metrics cannot be had. ``reference`` is a file of statistics, or
    else ``reference_data`` are images to compute them from. ``sampler`` and ``grid`` are those of the
    user's own, ``methods`` too, by their names in the variant. ``measured_by`` are the networks that metrics have of
    their own. What is not needed is None.

    Raises:
        Unavailable: this version cannot run it.
    """

    def __init__(self, run: ResolvedRun, finder: Finder, outline: bool = False) -> None:
        super().__init__(run, finder, outline)
        self.variant = variant_of(run.variant)
        own = [step.kind for step in self.variant.steps if step.kind not in METHODS.builtin]
        self.methods = {name: source for name in own if (source := self._find(self._own_method, name))}
        self.model = model_of(run.model, run.resolution)
        self._code = code_of(run.model, self.model)
        self.synthetic = synthetic_steps(run.data)
        if self.copies and self.variant.trains_autoencoder and not (run.autoencoder or self.model.vae):
            raise Unavailable(f"model {run.model!r} has no autoencoder to reconstruct images with")
        self.shape = self.model.shapes[run.resolution]
        self._check_model()
        self.network = self._find_once(sources.network_source, run.eval.network, run.eval.weights)
        self.reference, self.reference_data = self._reference(run.eval.network)
        self.given = self._given() if self.variant.given else None
        self.metrics: tuple[Metric, ...] = self._find(self._measurable) or ()
        self.metric_sources = {
            metric.name: self._finder(sources.declared, files)
            for metric in self.metrics
            if (files := metric_files(metric.name))
        }
        self.measured_by: dict[str, Measuring] = {}
        for name in dict.fromkeys(metric.network for metric in self.metrics if metric.network is not None):
            if name != run.eval.network:
                self._add_network(name)
        self.sampler = self._own(SAMPLERS, run.sampler)
        self.grid = self._own(GRIDS, run.grid)
        # What a model of the user's own is trained from is the user's affair, so it is a start for pretraining too.
        sampled = not self.copies and (not self.variant.from_nothing or bool(self._code))
        self.weights = self._find(self._weights) if sampled else None
        if self.weights is not None and not absent(self.weights):
            self.shape = self._find(trained_shape, run, self.model, self.weights) or self.shape
            self.weights = self._find(self._inspected, self.weights) or self.weights
        decoded = not self.copies or self.variant.trains_autoencoder or self._through
        self.vae = None
        if decoded and run.autoencoder is None and self.model.vae is not None:
            self.vae = self._find_once(sources.locate, self.model.vae, self.model.vae_hint)
        if self.vae is not None and not absent(self.vae):
            self._find(check_autoencoder, self.vae, self.shape, run.resolution)
            self._find_once(sources.inspected, find_vae, self.vae)
        dataset = self.model.dataset if run.data == "original" else run.data
        used = str(self.variant) != UNTOUCHED and self.synthetic is None and not self.variant.given
        self.data = self._find_once(sources.dataset, dataset) if used else None
        if self.vae is not None and self.data is not None and not absent(self.vae):
            self._find(fitting_pixels, self.vae, self.data, dataset, run.model)
        self.labels: Labels = None
        if run.labels != RANDOM and not self.copies:
            self.labels = self._find(self._labels)
        self.text = self._find(self._text) if self.model.text is not None and not self.copies else None
        self.captions, self.learned = self._captions()
        # Memorised is what the base model was trained on, whatever a variant was trained on since.
        seen = run.eval.memorisation
        self.training_data = self._find_once(sources.dataset, self.model.dataset) if seen else None
        if self.data is not None and not self.copies:
            self.notes += self._find(checked_labels, dataset, self.data, run.model, self.shape) or ()
        self._find(self._check_counts)
        for found in (self.data, self.reference_data, self.training_data):
            if found is not None and found.files is not None:
                self.notes += [f"{found.source.path}: {note}" for note in found.files.notes]

    def _given(self) -> Source | None:
        """The images of another program, looked at."""
        run, classes = self.run, None if self.shape.texts else self.shape.num_classes
        try:
            found = self._finder(sources.own_file, Path(run.samples or "").expanduser(), "samples", True)
            self._finder(sources.inspected, fitting_samples, found, run.resolution, run.eval.samples, classes)
        except InputError as error:
            self._miss(error, f"{run.mark}: {error}")
            self.lacking = True  # which metrics can be had of the images is not known
            return None
        source = open_images(found.path)
        self.notes += [f"{found.path}: {note}" for note in source.known]
        if source.count > run.eval.samples:
            self.notes.append(
                f"{found.path}: the first {run.eval.samples:,} of {source.count:,} images are scored"
            )
        self._labelled = source.labels is not None
        return found

    def _measurable(self) -> tuple[Metric, ...]:
        """The metrics that the run asks for, but those that compare classes of other data with the samples' labels.

        Raises:
            InputError: one cannot be imported, or none is left.
        """
        data = self.run.data if self.copies and self.run.data != "original" else self.model.dataset
        found, notes = [], []
        for metric in chosen(self.run.eval.metrics):
            network = NETWORKS.known(metric.network or self.run.eval.network)
            by_class = {"labels", "classes"} & {*metric.given}
            if by_class and self.given is not None and not self._labelled:
                notes.append(f"no {metric.name}: the samples have no labels (arr_1)")
            elif "classes" in metric.given and (lack := self._no_classes(metric)):
                notes.append(f"no {metric.name}: {lack}")
            elif "labels" in metric.given and network is not None and data not in network.classes:
                known = f"{network.name} knows classes of {' or '.join(network.classes) or 'no data set'}"
                notes.append(f"no {metric.name}: the samples' labels are of {data}, {known}")
            else:
                found.append(metric)
        if not found:
            raise InputError("; ".join(notes))
        self.notes += notes
        return tuple(found)

    def _no_classes(self, metric: Metric) -> str | None:
        """Why samples or reference have no classes by which a metric tells them apart, as far as it is known."""
        if self.model.text is not None and not self.copies:
            return f"the samples of {self.run.model} are made from texts"
        own = metric.network in (None, self.run.eval.network)  # of others a score tells
        return classless(self.reference, self.reference_data) if own else None

    def _own(self, catalog: Catalog[Any], name: str) -> Source | None:
        """The code of a sampler or grid; None for a built-in."""
        file = self._find(catalog.source, name)
        return None if file is None else self._find_once(sources.declared, (file,))

    @property
    def copies(self) -> bool:
        """Whether images of the data set are scored, and nothing is sampled."""
        return not self.variant.sampled

    def _own_method(self, name: str) -> Source:
        source = self._finder(sources.declared, METHODS.sources(name))
        method = METHODS.find(name)
        if method is not None and method.specs != (Plain,):
            raise InputError(
                f"{name}: declares objectives of classes of its own, which only the package's methods can have: leave"
                " out specs and objective, and declare settings"
            )
        return source

    def _check_model(self) -> None:
        """What is known of a function of the user's own only now; of other models the suite is checked."""
        name, shape, fuse = self.run.model, self.shape, self.run.train.fuse
        beyond = not isinstance(fuse, str) and any(layer >= shape.depth for layer in fuse)
        fuses = self.variant.fuses or SAMPLERS.named(self.run.sampler).extrapolates
        if fuses and (not shape.depth or beyond):
            raise InputError(f"{name} has {shape.depth} blocks to fuse: {fuse} cannot be")
        last, sampler = self.variant.methods[-1], SAMPLERS.named(self.run.sampler)
        if shape.second_time and sampler.second_time and last.trains and not last.second_time:
            lacks = f"{last.name!r} does not train the second time of {name}"
            raise InputError(f"{lacks}, which the sampler {self.run.sampler!r} gives it")
        if self.run.autoencoder is None and self.model.vae is None:
            if self._through:
                lacks = f"model {name!r} has no autoencoder: it denoises pixels"
                raise Unavailable(f"reference {self.run.eval.reference!r}: {lacks}")
            if shape.input_size != self.run.resolution:
                side = f"{shape.input_size} pixels a side, not {self.run.resolution}"
                raise Unavailable(f"model {name!r} denoises {side}")

    def _add_network(self, name: str) -> None:
        """Find a network that a metric has of its own, and the reference under it."""
        weights = self._find_once(sources.network_source, name, None)
        own = [metric for metric in self.metrics if metric.network == name]
        file, data = None, None
        if against := [metric.name for metric in own if metric.reference is not None]:
            file, data = self._reference(name)
            if file is not None and weights is not None and not self._serves(file, name, weights):
                self.notes.append(f"no {', '.join(against)}: the reference has no images")
                file = None
                if len(against) == len(own):
                    return
            elif file is None and data is None:
                return
        if weights is not None:
            self.measured_by[name] = Measuring(weights, file, data)

    def _check_counts(self) -> None:
        """Note which metrics so few reference images do not give; of samples the suite itself does.

        Raises:
            InputError: the reference has a single image, which gives none that it is there for.
        """
        count = None
        if self.reference_data is not None:
            limit = None if self.reference_data.name == FILE else self.run.images
            known = limit, self.reference_data.images  # of the user's own function it is not known
            count = min(filter(None, known), default=None)
            if count is not None and self.run.eval.half is not None:
                count //= 2
        elif self.reference is not None and not absent(self.reference):
            count = images_in(Path(self.reference.path))
        if count == 1:
            raise InputError(f"reference {self.run.eval.reference!r}: holds 1 image, at least 2 are needed")
        self.notes += lacking_counts(self.run.eval.network, None, count, self.metrics)

    def _weights(self) -> Source:
        run, model = self.run, self.model
        text = model.weights.get(run.resolution, "")
        if not self._code:
            return self._finder(sources.locate, text, model.hint_for(run.resolution))
        if run.weights is not None:
            own = f"{run.model} reads its files itself; the setting is for published checkpoints"
            raise InputError(f"weights: {run.weights}: {own}")
        # What is trained from nothing starts as the user's code makes it.
        used = text and not self.variant.from_nothing
        path = place(text, model.hint_for(run.resolution)) if used else ""
        reads = tuple(map(Path, model.reads))
        return self._finder(sources.declared, self._code, reads, run.model, str(path))

    def _inspected(self, weights: Source) -> Source:
        """The weights with the set of them that is taken, once they are found to fit."""
        if not weights.path:
            return weights
        told = self._finder(sources.inspected, denoiser, weights, self.shape, self.run.weights or "")
        self.notes += filter(None, [told.note])
        return weights.model_copy(update={"part": told.part})

    def _text(self) -> Source:
        source = self._finder(sources.text_encoder, self.model.text, self.model.vae_hint)
        self._finder(sources.inspected, find_text, source, *(self.shape.texts or ()))
        return source

    def _labels(self) -> Literal["balanced"] | Source:
        """How the classes of the samples are chosen where they are not drawn one by one: a file is looked at."""
        run = self.run
        if self.shape.texts is not None:
            raise InputError(f"{run.mark}: labels: are classes, and model {run.model!r} takes texts")
        if run.labels == BALANCED:
            return BALANCED
        found = self._finder(sources.own_file, Path(run.labels).expanduser(), "labels")
        self._finder(read_labels, Path(found.path), run.eval.samples, self.shape.num_classes)
        return found

    def _captions(self) -> tuple[Data | None, Data | None]:
        """The captions that are sampled, and those that a training reads; None for a model that takes none."""
        if self.model.text is None or self.copies:
            return None, None
        reference = self.run.eval.reference.removesuffix(THROUGH)
        declared = known_reference(reference)
        named = self.run.eval.captions or (declared and declared.dataset) or reference
        learned = self.data
        if self.synthetic is not None:  # the base model's samples have the captions that it was trained on
            learned = self._find_once(sources.dataset, self.model.dataset)
        return self._find_once(sources.captions, named), learned
