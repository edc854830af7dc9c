"""What a report reads without touching any artifact: records of runs, and which suites were run last and how."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from ssdbench.metrics.intervals import Interval
from ssdbench.setting import Setting
from ssdbench.store.directory import HISTORY, RECORDS, Directory
from ssdbench.store.manifest import Hex64, Signature, signature_of

log = logging.getLogger(__name__)

INTERVALS = "intervals"  # of the score stage's facts
_INTERVALS = TypeAdapter(dict[str, Interval])
T = TypeVar("T")


class _Written(Setting, ser_json_inf_nan="constants"):
    """Written as JSON: a metric may honestly be infinite or undefined, and null would lose which."""


class StageRecord(_Written):
    """One stage of the run's chain; ``inputs`` are keys by role.

    ``cached``: it was done before the run that wrote the record. ``facts`` is what the stage tells of itself, such as
    the forward passes of a training.
    """

    kind: str
    title: str
    seconds: float
    peak_rss_mb: float
    cached: bool
    digest: Hex64
    device: str
    threads: int
    sources: str
    inputs: dict[str, Hex64] = Field(default_factory=dict)
    peak_gpu_mb: float | None = None
    facts: dict[str, JsonValue] = Field(default_factory=dict)


class Record(_Written):
    """Metrics of one run and where they come from; ``key`` is its score stage's, ``digest`` that artifact's.

    ``seconds`` sums the chain's stages. ``device``, ``threads`` and ``versions`` are the score stage's; each
    stage states its own device and threads. ``sources`` is ``mixed`` where the chain was made by several
    states of the science sources. ``missing`` says of metrics that could not be computed why. ``thumbnail`` is
    relative to the directory of records.
    """

    schema_version: Literal[1] = 1
    key: Hex64
    digest: Hex64
    run: dict[str, JsonValue]
    run_yaml: str
    metrics: dict[str, float]
    network: str
    network_digest: str
    reference: str
    samples: int
    reference_samples: int | None = None
    nfe: int
    seed: int
    fuse: list[int] | None = None
    w: float | None = None
    stamps: list[str] = Field(default_factory=list)
    missing: dict[str, str] = Field(default_factory=dict)
    stages: dict[Hex64, StageRecord]
    seconds: Annotated[float, Field(ge=0)]
    device: str
    threads: int
    versions: dict[str, str]
    git_commit: str | None = None
    sources: str
    thumbnail: str | None = None
    created: str

    @property
    def intervals(self) -> dict[str, Interval]:
        """Confidence intervals of the metrics, by name; none of a record that was made before there were any.

        They are among the facts of the score stage, where earlier versions ignore them.
        """
        score = self.stages.get(self.key)
        return _INTERVALS.validate_python(score.facts.get(INTERVALS, {}) if score else {})


def record_name(key: str) -> str:
    """What the record of a score key is called in the store."""
    return f"records/{key}.json"


def thumbnail_name(key: str) -> str:
    """What the PNG of a record's first samples is called in the store."""
    return f"records/{key}.png"


class SuiteRun(Setting):
    """One ``ssdbench run``: the suite's text and path, and the options that changed its runs."""

    schema_version: Literal[1] = 1
    suite: str
    path: str
    text: str
    profile: str | None = None
    overrides: list[str] = Field(default_factory=list)
    only: str | None = None
    limit: int | None = None
    seed: int | None = None
    run_at: str


def history_path(directory: Path, suite: str, profile: str | None) -> Path:
    """``<directory>/<suite>[.<profile>].json``. Unusual characters are replaced, and a digest is added then."""
    name = suite if profile is None else f"{suite}.{profile}"
    clean = re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".")[:100]
    if clean != name:
        clean = f"{clean or 'suite'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return directory / f"{clean}.json"


class Records:
    """The records of a store, and the history of what was run on it; :class:`ssdbench.store.Store` has more."""

    def __init__(self, backend: Directory) -> None:
        self.backend = backend
        self.name = backend.name
        """Where the store is, for messages."""
        self.url = backend.url
        """Under which machines without a shared directory find the store; None for a directory."""
        self.root = backend.root
        """The directory of this machine that holds it, or copies of what was asked for."""
        self.records_dir = self.root / "records"
        self.suites_dir = self.root / "suites"
        self._known: dict[Path, tuple[Signature, Any]] = {}

    def read_record(self, key: str) -> Record | None:
        """The record of a score key, or None where there is no readable one."""
        self.backend.look(RECORDS)
        try:
            return self._parsed(self.root / record_name(key), Record.model_validate_json)
        except FileNotFoundError:
            return None
        except ValidationError as error:
            log.warning("record %s is not valid and will be written again: %s", key[:12], error)
            return None

    def _parsed(self, path: Path, parse: Callable[[bytes], T]) -> T:
        """What a small file holds, parsed anew only where the file has changed."""
        signature, known = signature_of(path), self._known.get(path)
        if known is None or known[0] != signature:
            known = self._known[path] = signature, parse(path.read_bytes())
        found: T = known[1]
        return found

    def record_keys(self) -> list[str]:
        """Keys of all records, sorted."""
        self.backend.look(RECORDS)
        return sorted(path.stem for path in self.records_dir.glob("*.json"))

    def records(self) -> Iterator[Record]:
        """Every readable record, by key."""
        return (record for key in self.record_keys() if (record := self.read_record(key)) is not None)

    def thumbnail(self, record: Record) -> bytes | None:
        """The PNG of a record's first samples, or None where there is none."""
        if record.thumbnail is None:
            return None
        self.backend.look(RECORDS)
        with suppress(OSError):
            return (self.records_dir / Path(record.thumbnail).name).read_bytes()
        return None

    def write_record(self, record: Record, thumbnail: bytes | None = None) -> Path:
        """Write the record, and before it the PNG that its ``thumbnail`` names."""
        if thumbnail is not None:
            self.backend.write(thumbnail_name(record.key), thumbnail)
        self.backend.write(record_name(record.key), record.model_dump_json(indent=2).encode())
        return self.root / record_name(record.key)

    def history(self) -> list[SuiteRun]:
        """What was run on this store, the last first."""
        self.backend.look(HISTORY)
        history: list[SuiteRun] = []
        for path in sorted(self.suites_dir.glob("*.json")):
            with suppress(OSError, ValidationError):
                history.append(SuiteRun.model_validate_json(path.read_bytes()))
        return sorted(history, key=lambda run: run.run_at, reverse=True)

    def remember(self, run: SuiteRun) -> Path:
        """Note what is being run, in place of the same suite's and profile's last run.

        Where that run had the same options but selected other rows, the whole suite is noted, so that a report of it
        keeps the rows of both.
        """
        path = history_path(Path("suites"), run.suite, run.profile)
        last = next(
            (one for one in self.history() if (one.suite, one.profile) == (run.suite, run.profile)), run
        )
        options = ("overrides", "limit", "seed")
        if last.only != run.only and all(getattr(last, name) == getattr(run, name) for name in options):
            run = run.model_copy(update={"only": None})
        self.backend.write(path.as_posix(), run.model_dump_json(indent=2).encode())
        return self.root / path
