"""Everything that a suite can name, kind by kind."""

from __future__ import annotations

from ssdbench.data.datasets import DATASETS as DATASETS
from ssdbench.layouts import LAYOUTS as LAYOUTS
from ssdbench.methods import METHODS as METHODS
from ssdbench.metrics.catalog import METRICS as METRICS
from ssdbench.metrics.networks import NETWORKS as NETWORKS
from ssdbench.metrics.reference_set import REFERENCES as REFERENCES
from ssdbench.models.catalog import FAMILIES as FAMILIES
from ssdbench.models.catalog import MODELS as MODELS
from ssdbench.samplers import GRIDS as GRIDS
from ssdbench.samplers import SAMPLERS as SAMPLERS

VARIANTS = METHODS
"""What the key ``variant`` is made of."""
