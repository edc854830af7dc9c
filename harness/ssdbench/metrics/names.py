"""What a metric may be called: FID is said only of the FID Inception. Torch-free."""

from __future__ import annotations

INCEPTION = "inception"
EFFNET_LITE0 = "effnet-lite0"

_HEADERS = {
    "fid": "FID",
    "sfid": "sFID",
    "fd": "FD",
    "sfd": "sFD",
    "is": "IS",
    "precision": "Precision",
    "recall": "Recall",
}


def metric_keys(network: str) -> tuple[str, ...]:
    """Return the metrics' keys in table order: Frechet, spatial Frechet, IS, precision, recall."""
    frechet = ("fid", "sfid") if network == INCEPTION else ("fd", "sfd")
    return (*frechet, "is", "precision", "recall")


def header(metric: str, network: str) -> str:
    """Return a metric's column header: ``FID``, or ``FD(effnet-lite0)`` for any but the FID Inception.

    Raises KeyError for a metric that the network does not have (``fid`` of another network than Inception).
    """
    if metric not in metric_keys(network):
        raise KeyError(f"{metric!r} is no metric of the network {network!r}")
    name = _HEADERS[metric]
    return name if network == INCEPTION else f"{name}({network})"
