"""Artifacts and records on disk: commit, leases, verification, housekeeping. Knows nothing of plans."""

from ssdbench.store.manifest import InputDigest, Manifest, Provenance
from ssdbench.store.record import Record, StageRecord, SuiteRun
from ssdbench.store.store import Attempt, Store, now
from ssdbench.store.upstream import StoreReader

__all__ = [
    "Attempt",
    "InputDigest",
    "Manifest",
    "Provenance",
    "Record",
    "StageRecord",
    "Store",
    "StoreReader",
    "SuiteRun",
    "now",
]
