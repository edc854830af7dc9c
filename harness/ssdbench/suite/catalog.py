"""Everything that a suite can name, kind by kind."""

from __future__ import annotations

from ssdbench.data.datasets import DATASETS
from ssdbench.layouts import LAYOUTS
from ssdbench.methods import METHODS
from ssdbench.metrics.catalog import METRICS
from ssdbench.metrics.networks import NETWORKS
from ssdbench.metrics.reference_set import REFERENCES
from ssdbench.models.catalog import FAMILIES, MODELS
from ssdbench.samplers import GRIDS, SAMPLERS

VARIANTS = METHODS
"""What the key ``variant`` is made of."""

__all__ = [
    "DATASETS",
    "FAMILIES",
    "GRIDS",
    "LAYOUTS",
    "METRICS",
    "MODELS",
    "NETWORKS",
    "REFERENCES",
    "SAMPLERS",
    "VARIANTS",
]
