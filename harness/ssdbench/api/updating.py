"""Metrics that a loop of the user's own feeds: ``ssdbench.Metric``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench.api.evaluation import Scores, prepare
from ssdbench.api.images import Against, Images, batches_of
from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.sources import ImageSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ssdbench.metrics.networks import FeatureNetwork
    from ssdbench.metrics.reference import Reference

_FORMAT = 1


class Metric:
    """One metric or several of images that arrive bit by bit, as in a training loop.

    What the networks compute of the images is kept until :meth:`reset`: 8 KiB an image for the FID Inception's pooled
    features. :meth:`compute` may be called at any time, and gives what :func:`ssdbench.evaluate` gives of the same
    images, to the bit.

    Args:
        metrics: as for :func:`ssdbench.evaluate`.
        reference: the same.
        network: the same.
        weights: the same.
        resolution: at which a reference's files or data set are read.
        intervals: whether ``compute`` gives each value a 95 % confidence interval.
        device: as for :func:`ssdbench.evaluate`.
        seed: the same.

    Raises:
        UsageError: a metric that the network does not have, or that reads the images themselves.
        InputError: reference or weights are missing or malformed.

    """

    def __init__(
        self,
        metrics: str | Sequence[str] | None = None,
        *,
        reference: Images | Reference,
        network: str | FeatureNetwork = "inception",
        weights: str | Path | None = None,
        resolution: int | None = None,
        intervals: bool = True,
        device: str | None = None,
        seed: int | None = None,
    ) -> None:
        from ssdbench.metrics.kept import Kept

        names = [metrics] if isinstance(metrics, str) else metrics
        self._against = Against(reference, resolution)
        # How many images there will be, nobody knows.
        none = ImageSource("images", 0, lambda: iter(()))
        self._ready = prepare(none, self._against, network, names, weights, device)
        self._intervals, self._seed = intervals, seed
        self._kept: dict[str, Kept] = {}
        for loaded, wanted in self._ready.networks:
            if pictures := [metric.name for metric in wanted if metric.images]:
                raise UsageError(f"{', '.join(pictures)}: reads the images themselves, which are not kept")
            taps = {tap for metric in wanted for tap in metric.taps}
            self._kept[loaded.name] = Kept(loaded, taps)
        self._ready.kept = self._kept

    @property
    def samples(self) -> int:
        """How many images there were."""
        return next(iter(self._kept.values())).count

    def update(self, images: Any) -> None:
        """Take images, in any of the forms of :func:`ssdbench.evaluate` that are in memory.

        A tensor of a data loader, uint8 (B, C, H, W), is one; an array uint8 (B, H, W, C) another.

        Raises:
            InputError: they are no images, or of another size than those before.

        """
        for batch in batches_of(images):
            for kept in self._kept.values():
                kept.update(batch)

    def compute(self) -> Scores:
        """Return the metrics of all images so far; ``compute()["fid"]`` is a value.

        Raises:
            InputError: there are too few images for any of the metrics.

        """
        return self._ready.measure(intervals=self._intervals, seed=self._seed)

    def merge(self, other: Metric | Mapping[str, Any]) -> None:
        """Take another's images, or those of its :meth:`state_dict`: they come behind those here.

        Where the images here are a multiple of the network's batch, the values have the bits of one pass over all.

        Raises:
            InputError: it is of other networks or weights, or of images of another size; nothing is taken then.

        """
        self._take(other.state_dict() if isinstance(other, Metric) else other, instead=False)

    def _take(self, state: Mapping[str, Any], *, instead: bool) -> None:
        """Take a state behind what is here, or instead of it, once all of it is found to fit."""
        found = {name: (kept.network.digest, kept.network.revision) for name, kept in self._kept.items()}
        theirs = {name: tuple(made) for name, made in state.get("networks", {}).items()}
        if state.get("format") != _FORMAT or theirs != found:
            raise InputError(f"a state of the networks {theirs}: expected {found}")
        for name, kept in self._kept.items():
            kept.check(state["features"][name], instead=instead)
        if instead:
            self.reset()
        for name, kept in self._kept.items():
            kept.merge(state["features"][name])

    def state_dict(self) -> dict[str, Any]:
        """Return what was kept, arrays and plain data: for a checkpoint, or to be merged in another process."""
        features: dict[str, dict[str, NDArray[np.generic]]] = {
            name: kept.state() for name, kept in self._kept.items()
        }
        networks = {name: [kept.network.digest, kept.network.revision] for name, kept in self._kept.items()}
        return {"format": _FORMAT, "networks": networks, "features": features}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`, in place of what is here. Raises as :meth:`merge`."""
        self._take(state, instead=True)

    def reset(self) -> None:
        """Forget all images."""
        for kept in self._kept.values():
            kept.clear()
