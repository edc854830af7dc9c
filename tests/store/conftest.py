from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ssdbench.store import InputDigest, Manifest, Provenance, Store

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def put(store: Store) -> Callable[..., Manifest]:
    """Commit an artifact of the given files: put(key, {"name": bytes}, inputs={role: manifest})."""

    def commit(key: str, files: dict[str, bytes], inputs: dict[str, Manifest] | None = None) -> Manifest:
        attempt = store.begin(key)
        for name, content in files.items():
            path = attempt.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        consumed = {role: InputDigest(key=m.key, digest=m.digest) for role, m in (inputs or {}).items()}
        return store.commit(
            attempt, Provenance(kind="sample", version=1, title="t", spec={}, inputs=consumed, sources="s")
        )

    return commit
