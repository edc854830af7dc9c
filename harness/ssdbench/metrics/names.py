"""What a metric may be called: FID is said only of the FID Inception. Torch-free."""

from __future__ import annotations

INCEPTION = "inception"
EFFNET_LITE0 = "effnet-lite0"

FORMAT = "ssdbench-reference-1"
"""The metadata of a safetensors file that is a reference of our own writing: what it says of itself."""

DESCRIPTION = "ssdbench"
"""The array of an ``.npz`` that says the same."""

STATISTICS = (("mu", "sigma"), ("mu_s", "sigma_s"))
"""Arrays of an ``.npz`` of ADM's: of the pooled features, and of the spatial ones."""

KID = "kid"
FD_DINOV2 = "fd-dinov2"
OPTIONAL = {KID: "KID", FD_DINOV2: "FD-DINOv2"}
"""What ``ssdbench eval`` computes besides, where it is asked to."""

# Images that a metric needs, 2 unless said otherwise: a covariance divides by N - 1, and IS of one image is always 1.
# A third neighbour takes four points, and KID's subsets hold a thousand.
_LEAST = {"precision": 4, "recall": 4, KID: 1000}


def too_few(metric: str, samples: int | None, reference: int | None) -> str | None:
    """Return why a metric cannot be had of so many samples and reference images, or None.

    A count that is not known is None, and enough. IS has no need of a reference.
    """
    least = _LEAST.get(metric, 2)
    for count, what in ((samples, "sample"), (None if metric == "is" else reference, "reference image")):
        if count is not None and count < least:
            return f"{count:,} {what}{'s' * (count != 1)}: at least {least:,} are needed"
    return None


def lacking_counts(network: str, samples: int | None, reference: int | None) -> tuple[str, ...]:
    """Return a line for each reason why some of a network's metrics cannot be had of so many images."""
    found: dict[str, list[str]] = {}
    for metric in metric_keys(network):
        if (reason := too_few(metric, samples, reference)) is not None:
            found.setdefault(reason, []).append(metric)
    return tuple(f"no {', '.join(metrics)}: {reason}" for reason, metrics in found.items())


DIAGNOSTICS = {
    "trajectory": "Trajectory error",
    "nearest_training": "Nearest training image",
    "nearer_training": "Nearer to training",
}
"""What :mod:`ssdbench.metrics.diagnostics` adds to the five metrics, where a run asks for it."""

_HEADERS = (
    DIAGNOSTICS
    | OPTIONAL
    | {
        "fid": "FID",
        "sfid": "sFID",
        "fd": "FD",
        "sfd": "sFD",
        "is": "IS",
        "precision": "Precision",
        "recall": "Recall",
    }
)


def metric_keys(network: str) -> tuple[str, ...]:
    """Return the metrics' keys in table order: Frechet, spatial Frechet, IS, precision, recall."""
    frechet = ("fid", "sfid") if network == INCEPTION else ("fd", "sfd")
    return (*frechet, "is", "precision", "recall")


def header(metric: str, network: str, *, short: str | None = None, always: bool = False) -> str:
    """Return a metric's column header: ``FID``, or ``FD(effnet-lite0)`` for any but the FID Inception.

    Shares, as precision and recall are, name their network only where ``always`` asks for it, as a table with two
    networks must; then all do. ``short`` replaces the metric's own name.

    Raises KeyError for a metric that the network does not have (``fid`` of another network than Inception).
    """
    if metric not in metric_keys(network) and metric not in DIAGNOSTICS | OPTIONAL:
        raise KeyError(f"{metric!r} is no metric of the network {network!r}")
    name = short or _HEADERS[metric]
    plain = network == INCEPTION or metric in ("precision", "recall", "nearer_training")
    if metric in ("trajectory", FD_DINOV2):  # the space that is sampled; the network is in the name
        return name
    return name if plain and not always else f"{name}({network})"
