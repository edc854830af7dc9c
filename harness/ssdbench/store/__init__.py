"""Artifacts and records on disk: commit, leases, verification, housekeeping. Knows nothing of plans."""

from ssdbench.store.manifest import (
    FileEntry,
    InputDigest,
    Manifest,
    Measured,
    NewerStore,
    Provenance,
    files_digest,
)
from ssdbench.store.record import Record, StageRecord, SuiteRun
from ssdbench.store.store import Attempt, Store, now
from ssdbench.store.upstream import StoreReader

__all__ = [
    "Attempt",
    "FileEntry",
    "InputDigest",
    "Manifest",
    "Measured",
    "NewerStore",
    "Provenance",
    "Record",
    "StageRecord",
    "Store",
    "StoreReader",
    "SuiteRun",
    "files_digest",
    "now",
]
