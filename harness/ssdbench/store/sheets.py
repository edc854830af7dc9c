"""Sheets: which suites were run last on a store and how, so that a report can be made without naming them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Sheet(BaseModel):
    """One ``ssdbench run``: the suite's text and path, and the options that changed its runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    suite: str
    path: str
    text: str
    profile: str | None = None
    overrides: list[str] = []
    only: str | None = None
    limit: int | None = None
    seed: int | None = None
    run_at: str


def sheet_path(directory: Path, suite: str, profile: str | None) -> Path:
    """``<directory>/<suite>[.<profile>].json``; an unplain name is cleaned and told apart by a digest."""
    name = suite if profile is None else f"{suite}.{profile}"
    clean = re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".")[:100]
    if clean != name:
        clean = f"{clean or 'suite'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return directory / f"{clean}.json"
