"""The metrics, and how one is found by its name. Torch-free and without numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ssdbench.declaration import Catalog
from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.builtin import BUILTIN
from ssdbench.metrics.metric import Metric
from ssdbench.metrics.networks import NETWORKS, find_network
from ssdbench.own import is_own

METRICS: Catalog[Metric] = Catalog(Metric, BUILTIN)

KEYS = {key: metric for metric in BUILTIN for key in metric.keys}
"""The built-in metrics by every name that records have for them."""
_TITLES = {title.casefold() for one in BUILTIN for title in (one.title, *(one.elsewhere or ())[1:])}


UNDER = "@"
"""``is@garments`` is the metric ``is`` under the network ``garments``, whatever network the run's others have."""


def find_metric(name: str) -> Metric:
    """Return the metric that a suite, an option or a record names; ``fd`` is ``fid`` under another network.

    ``METRIC@NETWORK`` is a metric under a network of its own. A metric of the user's own keeps the name by which it is
    found, so that it can be found again.

    Raises InputError for one that cannot be imported, or that bears a built-in metric's title;
    UsageError for no metric.
    """
    plain, at, network = name.partition(UNDER)
    if at:
        return _under(find_metric(plain), network)
    if name in KEYS:
        return KEYS[name]
    found = METRICS.find(name)
    if found is None:
        raise UsageError(f"{name!r} is no metric: expected {', '.join(METRICS)} or package.module:NAME")
    if found.label.casefold() in _TITLES or found.elsewhere is not None:
        raise InputError(f"{name} calls itself {found.label!r}: that title belongs to a built-in metric")
    return replace(found, name=name, title=found.label, output=found.output or found.name)


def _under(metric: Metric, network: str) -> Metric:
    """Return a metric under a network of its own. Raises InputError for one that has its own already."""
    if metric.network is not None:
        raise InputError(
            f"{metric.name}{UNDER}{network}: {metric.name} is of the network {metric.network} alone"
        )
    called = find_network(network).name
    return replace(
        metric,
        name=f"{metric.key(called)}{UNDER}{network}",
        title=metric.title_for(called, always=True),
        short=metric.title_for(called, short=True, always=True),
        network=network,
        output=metric.output or metric.name,
        standard=False,
        elsewhere=None,
        decimals=metric.places(called),
        printed=None,
    )


def names_metric(name: str) -> bool:
    """Whether a name is a metric's by its form: built-in, or of the user's own, whose module is not imported."""
    plain, at, network = name.partition(UNDER)
    return (plain in KEYS or plain in METRICS or is_own(plain)) and (
        not at or network in NETWORKS or is_own(network)
    )


def plain_name(name: str) -> str:
    """Return a metric's name without the network: ``is`` of ``is@garments``, ``fid`` of ``fd@garments``."""
    plain = name.partition(UNDER)[0]
    return KEYS[plain].name if plain in KEYS else plain


def metric_files(name: str) -> tuple[Path, ...]:
    """Return the source files of a metric that is not built in; none of a built-in one. Raises InputError."""
    plain = name.partition(UNDER)[0]
    return () if plain in KEYS else METRICS.sources(plain)


def askable() -> tuple[str, ...]:
    """Return the names by which ``eval.metrics`` may ask for metrics, of the run's network and of others."""
    asked = [metric for metric in METRICS.values() if not metric.setting]
    others = [
        f"{metric.key(network.name)}{UNDER}{network.name}"
        for network in NETWORKS.builtin.values()
        for metric in asked
        if metric.network is None and metric.taps and network.dims is not None
        if all(map(network.dims.of, metric.taps)) and (network.classes or "labels" not in metric.given)
    ]
    return tuple(dict.fromkeys([*(key for metric in asked for key in metric.keys), *others]))


def standard() -> tuple[Metric, ...]:
    """Return the metrics that are computed where nobody says which."""
    return tuple(metric for metric in METRICS.builtin.values() if metric.standard)


def in_table_order(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """Return metrics by name: the built-in ones in table order, under any network, then others as they come."""
    order = {metric.name: place for place, metric in enumerate(BUILTIN)}

    def place(name: str) -> tuple[int, bool]:
        return order.get(plain_name(name), len(order)), UNDER in name

    found = {metric.name: metric for metric in metrics}
    return {name: found[name] for name in sorted(found, key=place)}


def chosen(names: Sequence[str] | None) -> tuple[Metric, ...]:
    """Return the metrics of these names, in table order; the standard ones for None.

    Raises as :func:`find_metric`.
    """
    return standard() if names is None else tuple(in_table_order(map(find_metric, names)).values())


def named_under(network: str, names: Sequence[str] | None, option: str) -> dict[str, Metric]:
    """Return metrics by their names under a network, in table order; the standard ones for None.

    Raises UsageError where one is no metric of the network, InputError where one of the user's own cannot be imported.
    ``option`` is what the message calls the list.
    """
    if names is not None:
        names = [name.lower() if name.lower() in KEYS else name for name in names]
        known = [one.key(network) for one in METRICS.values() if not one.setting]
        for name in names:
            if name in known or is_own(name) or UNDER in name:
                continue
            other = KEYS[name].key(network) if name in KEYS else None
            hint = f"; with {network} it is called {other}" if other in known else ""
            raise UsageError(
                f"{option}: {name!r} is no metric of {network}: expected {', '.join(known)}"
                f" or package.module:NAME{hint}"
            )
    return {metric.key(network): metric for metric in chosen(names)}


def lacking_counts(
    network: str, samples: int | None, reference: int | None, metrics: Iterable[Metric] | None = None
) -> tuple[str, ...]:
    """Return a line for each reason why some metrics, the standard ones for None, cannot be had of so many images."""
    found: dict[str, list[str]] = {}
    for metric in standard() if metrics is None else metrics:
        if (reason := metric.too_few(samples, reference)) is not None:
            found.setdefault(reason, []).append(metric.key(network))
    return tuple(f"no {', '.join(names)}: {reason}" for reason, names in found.items())
