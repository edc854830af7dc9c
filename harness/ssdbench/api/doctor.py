"""What this machine and installation have: Python, torch, devices, weights, data, and the store."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ssdbench.errors import SsdbenchError


def examine(results: str) -> Iterator[tuple[str, str]]:
    """Yield what is examined and what was found; ``results`` is a directory or a URL."""
    from ssdbench import __version__

    yield "ssdbench", f"{__version__} in {Path(__file__).resolve().parent.parent}"
    yield "python", platform.python_version()
    yield "platform", platform.platform()
    yield from _torch()
    for module in ("torchvision", "diffusers", "timm", "torch_fidelity"):
        yield module, _import(module)
    yield from _inputs()
    yield from _store(results)


def examine_speed() -> Iterator[tuple[str, str]]:
    """Yield how fast sampling is on one core, beside diffusers' pipeline, and what the ratio hangs on."""
    from ssdbench.speed.rounds import processor
    from ssdbench.speed.sampling import product_rates, sampling_speeds

    yield "processor", f"{processor()}, load {os.getloadavg()[0]:.1f}"
    for one in sampling_speeds():
        ratio = f"{one.rounds.ratio('diffusers', 'ours'):.2f} times diffusers' {one.images('diffusers'):.3g}"
        counted = f"{one.rounds.count} rounds, images within {one.difference:.0e}"
        yield one.case, f"{one.images('ours'):.3g} images/s, {ratio}; {counted}"
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in product_rates().items())
    yield "products", f"{rates} GFLOP/s (1024 x 1024, float32)"


def _torch() -> Iterator[tuple[str, str]]:
    try:
        import torch
    except Exception as error:  # a broken installation fails in many ways
        yield "torch", f"cannot be imported: {type(error).__name__}: {error}"
        return
    yield "torch", str(torch.__version__)
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [torch.cuda.get_device_name(index) for index in range(count)]
    yield "device", ", ".join(f"cuda:{index} ({name})" for index, name in enumerate(names)) or "cpu"


def _import(module: str) -> str:
    from importlib import import_module

    try:
        # As everything here imports it: torchvision beside another build of torch needs a word before.
        import_module("ssdbench.models.compat").prepare_torchvision()
        return str(getattr(import_module(module), "__version__", "imports"))
    except Exception as error:  # a broken installation fails in many ways
        return f"cannot be imported: {type(error).__name__}: {error}"


def _inputs() -> Iterator[tuple[str, str]]:
    from ssdbench.metrics.networks import available
    from ssdbench.plan.sources import dataset_files, place
    from ssdbench.suite import catalog

    for network in catalog.NETWORKS:
        yield f"network {network}", _found(available, network)
    for name in catalog.DATASETS:
        yield f"data {name}", _found(dataset_files, name)
    for name, model in catalog.MODELS.items():
        for resolution, text in model.weights.items():
            if text.startswith("package:"):
                yield f"model {name} at {resolution}", _found(place, text, model.hint_for(resolution))
        if model.vae and model.vae.startswith("package:"):
            yield f"autoencoder of {name}", _found(place, model.vae, model.vae_hint)
    for name, reference in catalog.REFERENCES.items():
        for network, text in reference.networks.items():
            yield f"reference {name}, {network}", _found(place, text, reference.hint)


def _found(look: Callable[..., object], *arguments: str) -> str:
    """Return ``available``, or the problem that ``look`` returns as text or raises."""
    try:
        problem = look(*arguments)
    except SsdbenchError as error:
        return str(error)
    return problem if isinstance(problem, str) else "available"


def _store(results: str) -> Iterator[tuple[str, str]]:
    from ssdbench.api.words import quantity
    from ssdbench.store.object_store import copies_of
    from ssdbench.store.places import as_directory

    place = as_directory(results)
    if place is None:
        yield "results", f"{results} ({_found(_reach, results)})"
        place = copies_of(results)
        yield "working copy", str(place)
    existing = next(parent for parent in (place.absolute(), *place.absolute().parents) if parent.exists())
    if as_directory(results) is not None:
        writable = existing.is_dir() and os.access(existing, os.W_OK)
        yield "results", f"{place.absolute()} ({'writable' if writable else 'NOT writable'})"
    yield "disk free", quantity(shutil.disk_usage(existing).free, "B")


def _reach(url: str) -> None:
    """Ask a store on a URL for its list of suites; writes nothing."""
    from ssdbench.store.remote import Remote

    Remote(url).list("suites")
