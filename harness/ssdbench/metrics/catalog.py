"""The metrics: declarations of the built-in ones, and how one is found. Torch-free and without numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from ssdbench.declaration import Catalog
from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.metric import SHARE, Called, Metric
from ssdbench.metrics.networks import DINOV2, NETWORKS, find_network
from ssdbench.own import is_own

JACKKNIFE = (
    "infinitesimal jackknife: the standard deviation of the distance's derivative by a sample's weight, over √N; from"
    " at most 5,000 samples"
)

FID = Metric(
    name="fid",
    help="the Frechet distance of pooled features; FD under any network that is not the FID Inception",
    title="FID",
    cite="[Heusel et al. 2017](https://arxiv.org/abs/1706.08500), Eq. 6",
    body="ssdbench.metrics.frechet:FrechetDistance",
    better="lower",
    unit="squared feature units",
    low=0.0,
    definition="|m1 - m2|² + tr C1 + tr C2 - 2 tr (C1 C2)^½ of the pooled features",
    interval=JACKKNIFE,
    taps=("pooled",),
    reference="moments",
    covariance=True,
    standard=True,
    elsewhere=Called("fd", "FD"),
    decimals=2,
)

SFID = replace(
    FID,
    name="sfid",
    help="the same of spatial features",
    title="sFID",
    cite="[Nash et al. 2021](https://arxiv.org/abs/2103.03841)",
    definition="the same of the spatial features",
    taps=("spatial",),
    elsewhere=Called("sfd", "sFD"),
)

IS = Metric(
    name="is",
    help="Inception score: how sure the network is of each image's class, and how many classes there are",
    title="IS",
    cite="[Salimans et al. 2016](https://arxiv.org/abs/1606.03498)",
    body="ssdbench.metrics.inception_score:InceptionScore",
    better="higher",
    unit="classes",
    low=1.0,
    definition="exp of the mean KL(p(y|x) ‖ p(y)), p the softmax of the logits; of each 5,000 consecutive samples, the"
    " last chunk may be partial, then the mean over chunks",
    interval="bootstrap, 200 times, samples drawn again within each chunk",
    taps=("logits",),
    ordered=True,
    standard=True,
    decimals=2,
    printed=1,
)

PRECISION = Metric(
    name="precision",
    help="share of the samples that lie near a reference image",
    title="Precision",
    short="Prec.",
    cite="[Kynkäänniemi et al. 2019](https://arxiv.org/abs/1904.06991), Eq. 2",
    body="ssdbench.metrics.precision_recall:SharesInBalls",
    better="higher",
    unit=SHARE,
    low=0.0,
    high=1.0,
    definition="the share of samples within the ball of any reference image; its radius is the distance to the third"
    " nearest neighbour",
    interval="Wilson's interval: balls are the reference's, so the bootstrap over samples is binomial",
    taps=("pooled",),
    reference="features",
    least=4,
    least_reference=4,
    standard=True,
    printed=2,
)

RECALL = replace(
    PRECISION,
    name="recall",
    help="share of the reference images that lie near a sample",
    title="Recall",
    short="Rec.",
    cite="[Kynkäänniemi et al. 2019](https://arxiv.org/abs/1904.06991), Eq. 2",
    definition="the share of reference images within the ball of any sample",
    interval="jackknife over ten random groups of samples, radii computed anew; Student's t. Errs on the wide side (by"
    " a third to 70 % in trials)",
)

KID = Metric(
    name="kid",
    help="kernel distance: a squared maximum mean discrepancy, unbiased at any N",
    title="KID",
    cite="[Bińkowski et al. 2018](https://arxiv.org/abs/1801.01401)",
    body="ssdbench.metrics.kid:KernelDistance",
    better="lower",
    unit="squared MMD",
    definition="the unbiased squared MMD under (x·y/D + 1)³, mean over 100 subsets of 1,000; torch-fidelity's subsets,"
    " so its value",
    interval="variance of the U-statistic's first term, over the N samples and over the 100 x 1,000 draws from them:"
    " 4 Var h (1/N + 1/100,000)",
    taps=("pooled",),
    reference="features",
    least=1000,
    least_reference=1000,
    decimals=5,
)

FD_DINOV2 = replace(
    FID,
    name="fd-dinov2",
    help="the Frechet distance of DINOv2's class token",
    title="FD-DINOv2",
    cite="[Stein et al. 2023](https://arxiv.org/abs/2306.04675)",
    definition="the Frechet distance of DINOv2 ViT-L/14's class token, through torch-fidelity's extractor",
    network=DINOV2.name,
    standard=False,
    elsewhere=None,
    note="FD-DINOv2 resizes as torch-fidelity does, without antialiasing, where the authors' code takes bicubic",
)

CLASS_ACCURACY = Metric(
    name="class_accuracy",
    help="share of the samples that a classifier of their data takes for the class that they were made as",
    title="Class accuracy",
    short="Acc.",
    cite="[Shmelkov et al. 2018](https://arxiv.org/abs/1807.09499), GAN-test",
    body="ssdbench.metrics.class_accuracy:ClassAccuracy",
    better="higher",
    unit=SHARE,
    low=0.0,
    high=1.0,
    definition="the share of samples whose largest logit is that of their label; of networks alone whose logits are the"
    " classes of the samples' data",
    interval="Wilson's interval",
    taps=("logits",),
    given=("labels",),
    least=1,
)

TRAJECTORY = Metric(
    name="trajectory",
    help="root mean square distance of samples from those of a fine solver, from the same noise (eval.trajectory)",
    title="Trajectory error",
    cite="the global error of Hairer, Nørsett and Wanner 1993, ch. II.3, as a root mean square",
    body="ssdbench.metrics.diagnostics:TrajectoryError",
    better=None,
    unit="the sampled space's",
    low=0.0,
    definition="root mean square distance of the first samples from those that the base model reaches in"
    " eval.trajectory DDIM steps from the same noise and label",
    interval="delta method: the standard error of the mean square over samples, by twice the root",
    given=("trajectory",),
    setting="trajectory",
    least=1,
)

NEAREST = Metric(
    name="nearest_training",
    help="mean distance to the nearest training image (eval.memorisation)",
    title="Nearest training image",
    cite="the mean of the distances that the test of [Meehan et al. 2020](https://arxiv.org/abs/2004.05675) ranks",
    body="ssdbench.metrics.diagnostics:Memorisation",
    better=None,
    unit="feature units",
    low=0.0,
    definition="mean distance of the pooled features to the nearest training image's",
    interval="standard error of the mean over samples",
    taps=("pooled",),
    reference="features",
    given=("training",),
    setting="memorisation",
    least=1,
    least_reference=1,
)

NEARER = replace(
    NEAREST,
    name="nearer_training",
    help="share of samples that are nearer to a training than to a reference image (eval.memorisation)",
    title="Nearer to training",
    cite="this package's; the test of [Meehan et al. 2020](https://arxiv.org/abs/2004.05675) asks the same of held-out"
    " images' distances to the training images",
    unit=SHARE,
    high=1.0,
    interval="Wilson's interval",
    definition="share of samples nearer to a training image than to a reference image, of as many of each; ½ where the"
    " model treats both alike, 1 where it copies",
)

BUILTIN = (FID, SFID, IS, PRECISION, RECALL, KID, FD_DINOV2, CLASS_ACCURACY, TRAJECTORY, NEAREST, NEARER)
"""In the order of a table's columns."""

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


@cache  # which packages are installed does not change while a process runs
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
