"""How long stages take on a device: at rates that ``benchmarks/gpu.py`` measured there, or at one that is assumed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ssdbench.errors import InputError, UsageError
from ssdbench.inputs import load_json
from ssdbench.metrics.networks import network_flops
from ssdbench.models.catalog import MODELS
from ssdbench.stages import EncodeSpec, ReferenceSpec, SampleSpec, ScoreSpec, StageSpec, TrainSpec
from ssdbench.stages.autoencoding import encode_flops


@dataclass(frozen=True)
class Rate:
    """Operations a second of some work on one device.

    Args:
        flops: a second.
        what: the work that it was measured of, for people.
        forward: operations of one forward pass of the model that it was measured of; 1 of no model.

    """

    flops: float
    what: str = ""
    forward: float = 1.0


Rates = Mapping[str, tuple[Rate, ...]]
"""By precision: the rates of models of several sizes."""


@dataclass(frozen=True)
class Device:
    """A device and its rates.

    Args:
        about: where the rates come from, for people.
        sampling: of denoisers, in float32 at least.
        training: of a training step, in float32 at least.
        features: of the feature network's passes.

    """

    about: str
    sampling: Rates
    training: Rates
    features: Rate

    def hours(self, specs: Iterable[StageSpec]) -> float:
        """Hours of all these stages, one after the other: their operations alone, without files and statistics."""
        return sum(spec.flops() / self.rate(spec).flops for spec in specs) / 3600

    @classmethod
    def steady(cls, flops: float, about: str) -> Self:
        """One that does all work at one rate, in operations a second."""
        rate = Rate(flops)
        return cls(about, {_FULL: (rate,)}, {_FULL: (rate,)}, rate)

    @classmethod
    def measured(cls, record: Mapping[str, Any]) -> Self:
        """Read what ``benchmarks/gpu.py`` wrote: of each model the batch that was the fastest.

        A distillation step's operations are those of explicit SSD: two frozen passes, and three of the student's.

        Raises:
            KeyError, TypeError, ValueError: it is no such record, or lacks the rates in float32.

        """
        sampling: dict[str, list[Rate]] = {_FULL: []}
        training: dict[str, list[Rate]] = {_FULL: []}
        parts = record["parts"]
        for name, sides in parts.items():
            model, _, latents = name.removesuffix(" latents").partition(", ")
            for precision in (_FULL, "tf32", "bfloat16") if latents.isdecimal() else ():
                if batches := sides.get(f"ours, {precision}", {}).get("batches"):
                    best = 1e12 * max(float(row["tflops"]) for row in batches)
                    rate = Rate(best, f"sampling {name} in {precision}", _forward(model, int(latents)))
                    sampling.setdefault(precision, []).append(rate)
        for name, found in parts["training"].items():
            model, _, precision = name.partition(", ")
            forward = _forward(model, 32)
            flops = 5 * forward * found["batch"] / (found["ms"]["ssd"] / 1e3)
            training.setdefault(precision, []).append(Rate(flops, f"training {name}", forward))
        images = float(parts["features"]["FID Inception"]["images_s"])
        if not sampling[_FULL] or not training[_FULL]:
            raise ValueError("holds no rates in float32")
        told = record["about"]
        return cls(
            f"measured on one {told['card']} with torch {told['torch']}, {told['date']}",
            {precision: tuple(rates) for precision, rates in sampling.items()},
            {precision: tuple(rates) for precision, rates in training.items()},
            Rate(images * network_flops("inception"), "the FID Inception"),
        )

    def rate(self, spec: StageSpec) -> Rate:
        """Return the rate of the stage's kind and precision, at the model that is nearest in operations a pass.

        Autoencoders, which were not measured alone, go by sampling: decoding as the model that it follows, encoding in
        float32 as a model of as many operations.
        """
        if isinstance(spec, ScoreSpec | ReferenceSpec):
            return self.features
        rates, precision, forward = self.sampling, _FULL, 1.0
        if isinstance(spec, TrainSpec):
            rates, precision = self.training, spec.autocast or _FULL
            forward = 1.0 if spec.shape is None else spec.shape.forward_flops()
        elif isinstance(spec, SampleSpec) and spec.sampling is not None:
            precision, forward = spec.precision, spec.sampling.shape.forward_flops()
        elif isinstance(spec, EncodeSpec):
            forward = encode_flops(spec.resolution)
        nearest = rates.get(precision) or rates[_FULL]
        return min(nearest, key=lambda rate: abs(math.log(max(forward, 1.0) / rate.forward)))


_FULL = "float32"


def _forward(model: str, latents: int) -> float:
    """Operations of a model's pass over latents of so many a side."""
    return MODELS[model].shapes[8 * latents].forward_flops()


_HALF = "assumed: half of its published {:.1f} TFLOP/s in float32, whatever the model and precision"
ASSUMED = {
    "a100": Device.steady(0.5 * 19.5e12, _HALF.format(19.5)),
    "rtx-4090": Device.steady(0.5 * 82.6e12, _HALF.format(82.6)),
}
"""Devices that nothing was measured on."""
_PACKAGE = Path(__file__).parents[1]
_RECORDS = _PACKAGE / "_records", _PACKAGE.parents[1] / "benchmarks/records"
"""Where a wheel and a checkout have what ``benchmarks/gpu.py`` wrote, ``gpu-NAME.json`` each."""


def records() -> dict[str, Path]:
    """Return the records of devices that were measured, by name."""
    found = (path for folder in _RECORDS for path in sorted(folder.glob("gpu-*.json")))
    return {path.stem.removeprefix("gpu-"): path for path in found}


def device(profile: str) -> Device:
    """Return a device: one of :func:`records` or :data:`ASSUMED`, a record's path, or the TFLOP/s that yours sustains.

    Raises:
        UsageError: it is none of these, or the file is no record.

    """
    if profile in ASSUMED:
        return ASSUMED[profile]
    with suppress(ValueError):
        rate = float(profile) * 1e12
        if 0 < rate < math.inf:
            return Device.steady(rate, f"given: {float(profile):g} TFLOP/s, whatever the model and precision")
    known = records()
    if profile not in known and not profile.endswith(".json"):
        names = ", ".join(sorted({*ASSUMED, *known}))
        expected = f"{names}, a .json that benchmarks/gpu.py wrote, or the TFLOP/s that it sustains"
        raise UsageError(f"unknown device profile {profile!r}: expected {expected}")
    path = known.get(profile, Path(profile))
    try:
        return Device.measured(load_json(path))
    except InputError as error:
        raise UsageError(str(error)) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        lacks = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path}: is not what benchmarks/gpu.py writes: {lacks}") from error
