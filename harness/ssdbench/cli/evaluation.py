"""What ``ssdbench eval`` does: from its options to images, a network and a reference, and on to the metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ssdbench.cli.counting import counting
from ssdbench.cli.scores import content_of
from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.names import FD_DINOV2, INCEPTION, OPTIONAL, metric_keys, too_few

if TYPE_CHECKING:
    from ssdbench.metrics.evaluate import Evaluation
    from ssdbench.metrics.networks import FeatureNetwork
    from ssdbench.metrics.reference import Reference
    from ssdbench.metrics.sources import ImageSource

_NO_IMAGES = "the reference has no images"


@dataclass(frozen=True)
class Request:
    """The options of the verb; see its help."""

    samples: str | None
    reference: str | None
    network: str
    weights: Path | None
    metrics: tuple[str, ...] | None
    resolution: int | None
    limit: int | None
    save_reference: Path | None
    export_npz: Path | None
    intervals: bool
    force: bool
    results: str
    device: str | None

    def wanted(self) -> tuple[str, ...]:
        """Return the keys of the metrics, in table order.

        Raises:
            UsageError: one is no metric of the network.

        """
        own = metric_keys(self.network)
        if self.metrics is None:
            return own
        for name in self.metrics:
            if name not in (*own, *OPTIONAL):
                other = {"fid": "fd", "sfid": "sfd", "fd": "fid", "sfd": "sfid"}.get(name)
                hint = f"; with {self.network} it is called {other}" if other in own else ""
                raise UsageError(
                    f"--metrics: {name!r} is no metric of {self.network}: expected {', '.join((*own, *OPTIONAL))}{hint}"
                )
        return tuple(key for key in (*own, *OPTIONAL) if key in self.metrics)

    def check(self) -> None:
        """Refuse what cannot be carried out, before anything is read.

        Raises:
            UsageError: options are missing, or an output exists already.

        """
        from ssdbench.cli.placing import refuse_to_replace

        if self.samples is None and (self.reference is None or self.save_reference is None):
            raise UsageError(
                "nothing to do: give SAMPLES and --reference, or --reference and --save-reference"
            )
        if self.samples is None and self.export_npz is not None:
            raise UsageError("--export-npz writes SAMPLES: give them")
        if self.reference is None and (self.save_reference is not None or self.export_npz is None):
            raise UsageError("give --reference: what the samples are measured against")
        for path, suffixes in ((self.save_reference, (".npz", ".safetensors")), (self.export_npz, (".npz",))):
            if path is not None and path.suffix not in suffixes:
                raise UsageError(f"{path}: expected a name that ends in {' or '.join(suffixes)}")
            if path is not None:
                refuse_to_replace(path, self.force)


def carry_out(request: Request) -> dict[str, Any] | None:
    """Write what is to be written, measure what is to be measured; None where nothing was.

    Raises:
        UsageError: the options do not fit together.
        InputError: samples, reference or weights are missing or malformed.

    """
    request.check()
    wanted = request.wanted()
    samples = None if request.samples is None else _samples(request.samples, request)
    found = None if request.reference is None else _reference_place(request.reference, request)
    first = [key for key in wanted if key != FD_DINOV2]
    second, lack = None, None
    if (
        samples is not None and found is not None
    ):  # what can fail without a pass over images does so before one
        reasons = {key: too_few(key, samples.count, None) for key in wanted}
        if all(reasons.values()):
            raise InputError("; ".join(f"{key}: {reason}" for key, reason in reasons.items()))
        if FD_DINOV2 in wanted:
            second = _dinov2(*found, request, alone=not first)
            lack = _NO_IMAGES
            if second is not None and (lack := too_few(FD_DINOV2, samples.count, second[0].count)):
                if not first:
                    raise InputError(f"{FD_DINOV2}: {lack}")
                second = None
    if samples is not None and request.export_npz is not None:
        _export(samples, request.export_npz, request.force)
    if found is None:
        return None
    content = None
    if first or request.save_reference is not None:
        content = _first_pass(first, samples, *found, request, alone=second is None)
    if samples is None or FD_DINOV2 not in wanted:
        return content
    if second is None:
        assert content is not None
        content["missing"][FD_DINOV2] = lack
        return content
    result = _second_pass(samples, *second, request)
    added = content_of(result, samples, second[0].count, wanted)
    if content is None:
        return added
    for part in ("metrics", "intervals"):
        content[part] |= added[part]
    content["notes"] += result.stamps
    return content


def _first_pass(
    wanted: list[str],
    samples: ImageSource | None,
    place: str,
    resolution: int | None,
    request: Request,
    *,
    alone: bool,
) -> dict[str, Any] | None:
    """Find the reference and save it where that is asked for; measure all but FD-DINOv2, None where nothing is.

    Raises:
        InputError: besides what is malformed, where no pass follows and none of what is wanted can be had.

    """
    from ssdbench.api.evaluation import best_device
    from ssdbench.metrics.networks import load_network
    from ssdbench.metrics.weights import inception_cache

    if request.network == INCEPTION and request.weights is None and not inception_cache().is_file():
        typer.echo(f"the FID Inception's weights are not at {inception_cache()}: fetching them", err=True)
    network = load_network(request.network, request.weights, best_device(request.device))
    from ssdbench.metrics.references import find_reference

    told: list[str] = []
    with counting("reference") as progress:
        reference = find_reference(
            place, network, resolution=resolution, progress=progress(None), tell=told.append
        )
    remarks = [f"the reference: {note}" for note in told]
    if request.save_reference is not None:
        _save_reference(reference, place, resolution, request)
    if samples is None or not wanted:
        for remark in remarks:
            typer.echo(remark, err=True)
        return None
    from ssdbench.metrics.evaluate import evaluate, lacking

    missing = lacking(reference, samples.count, wanted)
    if alone and len(missing) == len(wanted):
        raise InputError("; ".join(f"{key}: {reason}" for key, reason in missing.items()))
    with counting("samples") as progress:
        result = evaluate(
            samples.batches(),
            network,
            reference,
            wanted=wanted,
            intervals=request.intervals,
            progress=progress(samples.count),
        )
    return content_of(result, samples, reference.count, wanted, remarks)


def _samples(place: str, request: Request) -> ImageSource:
    from ssdbench.metrics.sources import open_images

    is_key = re.fullmatch(r"[0-9a-f]{4,64}", place) and not Path(place).exists()
    source = _run(place, request.results) if is_key else open_images(place, request.resolution)
    if source.count == 0:
        raise InputError(f"{place}: holds no images")
    return source if request.limit is None else source.first(request.limit)


def _run(prefix: str, results: str) -> ImageSource:
    """The samples of a run in the store."""
    from ssdbench.api.evaluation import run_images
    from ssdbench.api.lookup import find_record
    from ssdbench.cli.common import open_store

    store = open_store(results)
    return run_images(find_record(store, prefix), store)


def _reference_place(name: str, request: Request) -> tuple[str, int | None]:
    """Where a reference lies, and the resolution at which it is read, where it is the name of a suite's."""
    from ssdbench.api.evaluation import reference_place

    return reference_place(name, request.network, request.resolution)


def _export(samples: ImageSource, target: Path, force: bool) -> None:
    from ssdbench.cli.placing import appearing_whole
    from ssdbench.metrics.adm_write import save_samples

    with counting("export") as progress, appearing_whole(target, force=force) as new:
        save_samples(samples, new, progress(samples.count))
    typer.echo(f"wrote {samples.count} samples to {target}", err=True)


def _save_reference(reference: Reference, place: str, resolution: int | None, request: Request) -> None:
    from ssdbench.cli.placing import appearing_whole
    from ssdbench.metrics.adm_write import save_adm_reference
    from ssdbench.metrics.reference import save_reference
    from ssdbench.metrics.references import reference_images

    target = request.save_reference
    assert target is not None
    with appearing_whole(target, force=request.force) as new:
        if target.suffix == ".npz":
            save_adm_reference(reference, new, reference_images(place, resolution))
        else:
            save_reference(reference, new)
    typer.echo(f"wrote the reference to {target}", err=True)


def _dinov2(
    place: str, resolution: int | None, request: Request, alone: bool
) -> tuple[ImageSource, FeatureNetwork] | None:
    """The reference's images, which FD-DINOv2 needs, and its network; None where there are none of them.

    Raises:
        InputError: there are none and nothing else is wanted, or the network is not there.

    """
    from ssdbench.metrics.references import reference_images

    images = reference_images(place, resolution)
    if images is None:
        if alone:
            raise InputError(f"FD-DINOv2: {_NO_IMAGES} ({place})")
        return None
    from ssdbench.api.evaluation import best_device
    from ssdbench.metrics import dinov2

    return images, dinov2.load_dinov2(best_device(request.device))


def _second_pass(
    samples: ImageSource, images: ImageSource, network: FeatureNetwork, request: Request
) -> Evaluation:
    """FD-DINOv2, in a pass of its own over both sets of images."""
    from ssdbench.metrics.evaluate import evaluate
    from ssdbench.metrics.features import image_statistics
    from ssdbench.metrics.reference import Reference

    with counting("DINOv2: reference") as progress:
        statistics = image_statistics(images.batches(), network, progress(images.count), keep=2)
    moments = Reference.of(statistics, network, images.name, features=False)
    with counting("DINOv2: samples") as progress:
        result = evaluate(
            samples.batches(),
            network,
            moments,
            wanted=["fd"],
            intervals=request.intervals,
            progress=progress(samples.count),
        )
    return replace(
        result,
        metrics={FD_DINOV2: result.metrics["fd"]},
        intervals={FD_DINOV2: result.intervals["fd"]} if result.intervals else {},
        stamps=tuple(stamp.replace("fd from", "fd-dinov2 from", 1) for stamp in result.stamps),
    )
