"""Artifacts and records on disk: commit, leases, verification, housekeeping. Knows nothing of plans."""

from ssdbench.store.manifest import InputDigest as InputDigest
from ssdbench.store.manifest import Manifest as Manifest
from ssdbench.store.manifest import Provenance as Provenance
from ssdbench.store.record import Record as Record
from ssdbench.store.record import StageRecord as StageRecord
from ssdbench.store.record import SuiteRun as SuiteRun
from ssdbench.store.store import Attempt as Attempt
from ssdbench.store.store import Store as Store
from ssdbench.store.store import now as now
from ssdbench.store.upstream import StoreReader as StoreReader
