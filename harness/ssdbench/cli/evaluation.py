"""What ``ssdbench eval`` does: from its options to images, a network and a reference, and on to the metrics."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ssdbench.cli.counting import counting
from ssdbench.cli.request import Request
from ssdbench.cli.scores import content_of
from ssdbench.errors import InputError

if TYPE_CHECKING:
    from ssdbench.metrics.evaluate import Part
    from ssdbench.metrics.metric import Metric
    from ssdbench.metrics.networks import FeatureNetwork
    from ssdbench.metrics.reference import Reference
    from ssdbench.metrics.sources import ImageSource

_NO_IMAGES = "the reference has no images"


def carry_out(request: Request) -> dict[str, Any] | None:
    """Write what is to be written, measure what is to be measured; None where nothing was.

    Raises:
        UsageError: the options do not fit together.
        InputError: samples, reference or weights are missing or malformed, or nothing that is wanted can be had.

    """
    request.check()
    wanted = request.wanted()
    samples = None if request.samples is None else _samples(request.samples, request)
    others: dict[str, FeatureNetwork] = {}
    missing: dict[str, str] = {}
    if samples is not None and request.reference is not None:
        # What can fail without a pass over images does so before one.
        _refuse({key: metric.too_few(samples.count, None) for key, metric in wanted.items()}, wanted)
        others, missing = _other_networks(wanted, request.reference, request)
        _refuse(missing, wanted)
    if samples is not None and request.export_npz is not None:
        _export(samples, request.export_npz, request.force)
    if request.reference is None:
        return None
    own = tuple(metric for metric in wanted.values() if metric.network in (None, request.network))
    parts: list[Part] = []
    remarks: list[str] = []
    if (own and samples is not None) or request.save_reference is not None:
        part, remarks = _main_part(own, request)
        parts = [part] if own else []
    if samples is None:
        for remark in remarks:
            typer.echo(remark, err=True)
        return None
    parts += [_other_part(name, network, wanted, request) for name, network in others.items()]
    return _measured(samples, parts, wanted, missing, remarks, request)


def _measured(
    samples: ImageSource,
    parts: list[Part],
    wanted: dict[str, Metric],
    missing: dict[str, str],
    remarks: Sequence[str],
    request: Request,
) -> dict[str, Any]:
    from ssdbench.metrics.evaluate import lacking, measure

    given = {} if samples.labels is None else {"labels": samples.labels}
    for part in parts:
        missing |= lacking(part, samples.count, given)
    _refuse(missing, wanted)
    with counting("samples") as progress:
        result = measure(
            samples.batches(),
            parts,
            given=given,
            intervals=request.intervals,
            progress=progress(samples.count),
        )
    result.missing.update(missing)
    return content_of(result, samples, parts[0].reference.count, wanted, remarks)


def _refuse(reasons: Mapping[str, str | None], wanted: Collection[str]) -> None:
    """Raise InputError where there is a reason against each metric that is wanted."""
    if all(reasons.get(key) for key in wanted):
        raise InputError("; ".join(f"{key}: {reasons[key]}" for key in wanted))


def _main_part(metrics: tuple[Metric, ...], request: Request) -> tuple[Part, list[str]]:
    """Find the reference under the network of the options, and save it where that is asked for; and remarks on it."""
    from ssdbench.api.evaluation import best_device
    from ssdbench.metrics.networks import available, find_network, load_network

    declared = find_network(request.network)
    if declared.download and request.weights is None and available(request.network) is not None:
        typer.echo(f"the weights of {request.network} are not here: fetching them", err=True)
    network = load_network(request.network, request.weights, best_device(request.device))
    from ssdbench.metrics.evaluate import Part
    from ssdbench.metrics.references import find_reference

    assert request.reference is not None
    place, resolution = _reference_place(request.reference, request)
    told: list[str] = []
    with counting("reference") as progress:
        reference = find_reference(
            place, network, resolution=resolution, progress=progress(None), tell=told.append
        )
    if request.save_reference is not None:
        _save_reference(reference, place, resolution, request)
    return Part(network, reference, metrics), [f"the reference: {note}" for note in told]


def _other_networks(
    wanted: dict[str, Metric], reference: str, request: Request
) -> tuple[dict[str, FeatureNetwork], dict[str, str]]:
    """The networks that metrics have of their own; and why such a metric cannot be had of the reference.

    Raises:
        InputError: such a network is not there.

    """
    from ssdbench.api.evaluation import best_device
    from ssdbench.metrics.networks import load_network
    from ssdbench.metrics.references import reference_images

    networks: dict[str, FeatureNetwork] = {}
    missing: dict[str, str] = {}
    for key, metric in wanted.items():
        if metric.network in (None, request.network):
            continue
        lack = None
        if metric.reference is not None:
            images = reference_images(*_reference_place(reference, request, metric.network))
            lack = _NO_IMAGES if images is None else metric.too_few(None, images.count)
        if lack is not None:
            missing[key] = lack
        elif metric.network not in networks:
            networks[metric.network] = load_network(metric.network, None, best_device(request.device))
    return networks, missing


def _other_part(name: str, network: FeatureNetwork, wanted: dict[str, Metric], request: Request) -> Part:
    """The metrics of a network of their own, and the reference under it."""
    from ssdbench.metrics.evaluate import Part, no_reference
    from ssdbench.metrics.references import find_reference

    assert request.reference is not None
    own = tuple(metric for metric in wanted.values() if metric.network == name)
    if all(metric.reference is None for metric in own):
        return Part(network, no_reference(network), own)
    place, resolution = _reference_place(request.reference, request, name)
    with counting(f"reference, {name}") as progress:
        reference = find_reference(place, network, resolution=resolution, progress=progress(None))
    return Part(network, reference, own)


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


def _reference_place(name: str, request: Request, network: str | None = None) -> tuple[str, int | None]:
    """Where a reference lies, and the resolution at which it is read; ``network``: that a metric has of its own."""
    from ssdbench.api.evaluation import reference_place

    return reference_place(name, network or request.network, request.resolution, images=network is not None)


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
