"""A bundle: results as a folder for a static host or an attachment, which needs no program to be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ssdbench.api.doctor import examine
from ssdbench.api.records import copy_records
from ssdbench.errors import UsageError
from ssdbench.report.document import Show, SuiteReport, render
from ssdbench.store import Record, Store
from ssdbench.store.files import write_text, writing

_README = """\
What {page} shows, it shows by itself: open it in a browser, or put this folder on any static host.

index.html        the tables, figures, samples, claims, and where every number comes from
tables.md         the tables; tables.csv has one row a run with its whole provenance
suites/           what was run: NAME.yaml as its author wrote it
records/          the record of each run and its sheet of samples; ssdbench report --results THIS_FOLDER reads them
environment.json  the machine and the versions that the records name, and those that made this bundle
"""


def write_bundle(
    reports: Sequence[SuiteReport], show: Show, store: Store, results: str, directory: Path
) -> int:
    """Write the bundle of ``reports``, whose results are in ``store``; return how many records it has.

    Args:
        reports: the suites.
        show: columns and figures.
        store: the store.
        results: its directory or URL.
        directory: what is created; it may not hold anything yet.

    Raises:
        UsageError: the directory holds something or cannot be written, or there is no record.

    """
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise UsageError(f"--bundle {directory}: expected a directory that is not there yet, or an empty one")
    records = [result.record for report in reports for result in report.results if result.record]
    if not records:
        raise UsageError("there is no record to put into a bundle")
    named = {report.name for report in reports}
    history = [one for one in store.history() if one.suite in named]
    copy_records(store, records, history, directory)
    with writing(directory):
        for one in history:
            write_text(directory / "suites" / f"{Path(one.path).stem}.yaml", one.text)
        for name, form in (("index.html", "html"), ("tables.md", "markdown"), ("tables.csv", "csv")):
            write_text(directory / name, render(reports, form, show, store))
        write_text(
            directory / "environment.json", json.dumps(_environment(records, results), indent=2) + "\n"
        )
        write_text(directory / "README.txt", _README.format(page="index.html"))
    return len({record.key for record in records})


def _environment(records: Sequence[Record], results: str) -> dict[str, object]:
    """The distinct machines and versions of the records, and the machine that writes the bundle."""
    told = ("device", "threads", "versions", "git_commit", "sources")
    distinct = {
        json.dumps(record.model_dump(mode="json", include=set(told)), sort_keys=True): None
        for record in records
    }
    # Where things lie on this machine is nobody's business.
    hidden = str(Path.home()), str(Path.cwd())
    here = {name: text for name, text in examine(results) if not any(place in text for place in hidden)}
    return {"runs": [json.loads(text) for text in distinct], "bundled_by": here}
