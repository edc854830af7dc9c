"""One self-contained page of a directory of results: tables, curves, samples, and the provenance of every number."""

from __future__ import annotations

import base64
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssdbench import __version__
from ssdbench.errors import UsageError
from ssdbench.layouts import LAYOUTS
from ssdbench.methods.method import layer_names
from ssdbench.report.claims import judge, read_claims
from ssdbench.report.columns import column, ordered
from ssdbench.report.curves import Chart, Series
from ssdbench.report.fields import uses_training
from ssdbench.report.frame import finite
from ssdbench.report.fronts import drawings, front, steep
from ssdbench.report.identity import call, names
from ssdbench.report.ledger import to_table
from ssdbench.report.rows import Row, gather
from ssdbench.report.table import Cell, Column, Section, Table
from ssdbench.store import Record, Store, now
from ssdbench.suite.find import find_claims
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.yaml_nodes import dump_yaml

if TYPE_CHECKING:
    from ssdbench.report.document import Show, SuiteReport

LOSSES = "loss.jsonl"
LOSS = "loss"
_BINS = 120  # points of a loss curve, each the mean of the steps in it
_MAX_CURVES = 12


def to_page(reports: Sequence[SuiteReport], show: Show, results: Store | Path | None = None) -> str:
    """Return the page, which needs nothing else and asks no host for anything.

    ``results`` holds the records' pictures and the trainings' losses; what is not there is left out.
    """
    store = Store(results) if isinstance(results, Path) else results
    records: dict[str, Any] = {}
    suites = []
    for report in reports:
        rows = report.gathered(show)
        told = (result for row in rows for result in row.results)
        records |= {one.record.key: _record(one.record, one.run) for one in told if one.record is not None}
        suites.append(_suite(report, report.shown(replace(show, delta=show.paper)), rows, store))
    data = {
        "made": now(),
        "version": __version__,
        "suites": suites,
        "drawn": _drawn(reports, suites),
        "claims": _claims(reports),
        "records": records,
    }
    # The page is ASCII, whatever a stream or a server takes its encoding for. In a script element '<' could end it;
    # JSON may write it as an escape.
    text = json.dumps(finite(data), allow_nan=False).replace("<", "\\u003c")
    template = files("ssdbench.report").joinpath("page.html").read_text(encoding="utf-8")
    return template.replace("{{DATA}}", text, 1)


def _suite(report: SuiteReport, table: Table, rows: Sequence[Row], store: Store | None) -> dict[str, Any]:
    measured = [row for row in rows if row.records]
    called = names([row.run for row in measured], call)
    drawn = [_chart(chart) for chart in drawings(LAYOUTS.named(report.layout), rows)]
    losses = None if store is None else _losses(measured, called, store)
    return {
        "name": report.name,
        "title": table.title,
        "table": _table(table),
        "costs": _table(_costs(measured, called)) if measured else None,
        "charts": drawn + ([losses] if losses else []),
        "samples": [] if store is None else _samples(measured, called, store),
    }


def _table(table: Table) -> dict[str, Any]:
    """A table as JSON; of its cells, which are many, only what they hold."""
    sections = [
        {
            "title": section.title,
            "lines": [
                [{name: value for name, value in vars(cell).items() if value} for cell in line]
                for line in section.lines
            ],
        }
        for section in table.sections
    ]
    columns = [vars(column) for column in table.columns]
    return {"columns": columns, "sections": sections, "notes": table.notes, "footnotes": table.footnotes}


def _costs(rows: Sequence[Row], called: Sequence[str]) -> Table:
    """Seconds of each kind of stage and peak memory, the mean and the largest over the seeds."""
    kinds = list(dict.fromkeys(stage.kind for row in rows for stage in row.stages))
    columns = [Column("Row"), *(Column(f"{kind} s", numeric=True) for kind in kinds)]
    columns += [Column("all s", numeric=True), Column("peak MiB", numeric=True), Column("Device")]
    lines = []
    for name, row in zip(called, rows, strict=True):
        keys = tuple(record.key for record in row.records)
        spent = map(row.seconds, kinds)
        peaks = [stage.peak_gpu_mb or stage.peak_rss_mb for stage in row.stages]
        total = statistics.fmean(record.seconds for record in row.records)
        cells = [Cell(name)]
        cells += [Cell(f"{seconds:,.1f}") for seconds in (*spent, total)]
        cells += [Cell(f"{max(peaks):,.0f}" if peaks else "–"), Cell(row.records[0].device)]
        lines.append(tuple(cell.of(keys) for cell in cells))
    notes = ("Stages that rows share, such as the training of a base model, count in each of them.",)
    return Table("costs", "Time and memory", tuple(columns), (Section(None, tuple(lines)),), notes=notes)


def _chart(chart: Chart) -> dict[str, Any]:
    metrics = [
        {
            "name": column(name).key(chart.network),
            "header": column(name).header(chart.network),
            "series": [one for one in (_curve(series, name) for series in chart.series) if one],
            "front": front(chart, name) if chart.scattered else [],
            "log": chart.scattered and steep(chart, name),
        }
        for name in chart.metrics
    ]
    told = ("title", "axis", "log", "ticks", "scattered")
    return {name: getattr(chart, name) for name in told} | {"metrics": metrics}


def _claims(reports: Sequence[SuiteReport]) -> dict[str, Any] | None:
    """The ledger of the claims whose rows are among those of the page; None where there are none."""
    rows = gather(result for report in reports for result in report.results if result.record is not None)
    try:
        listed = read_claims(find_claims())
    except UsageError:  # there is no such file
        return None
    ledger = to_table(listed, judge(listed, rows))
    return None if ledger is None else _table(ledger)


def _drawn(reports: Sequence[SuiteReport], suites: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the charts can be switched to, with headers and names under all networks; what layouts draw comes first."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for metric in (metric for suite in suites for chart in suite["charts"] for metric in chart["metrics"]):
        if metric["name"] != LOSS:
            one = found.setdefault(column(metric["name"]).name, {"names": {}, "headers": {}})
            one["names"][metric["name"]] = one["headers"][metric["header"]] = None
    first = [name for report in reports for name in LAYOUTS.named(report.layout).drawn if name in found]
    order = dict.fromkeys([*first, *ordered(found)])
    return [{name: list(values) for name, values in found[metric].items()} for metric in order]


def _curve(series: Series, metric: str) -> dict[str, Any] | None:
    points, level = series.of(metric)
    if not points and level is None:
        return None
    return {
        "name": series.name,
        "points": [[x, value.mean, value.spread] for x, value in points],
        "level": level and level.mean,
        "published": series.published,
    }


def _losses(rows: Sequence[Row], called: Sequence[str], store: Store) -> dict[str, Any] | None:
    """The loss of each training that is still in the store, of the first seed."""
    curves: dict[str, dict[str, Any]] = {}
    for name, row in zip(called, rows, strict=True):
        for key, stage in row.records[0].stages.items():
            if stage.kind == "train" and key not in curves and store.manifest(key) is not None:
                points = _binned(store.file(key, LOSSES))
                if len(points) > 1:
                    text = f"{name}: {stage.title}"
                    curves[key] = {"name": text, "points": points, "level": None, "published": False}
    if not curves:
        return None
    shown = list(curves.values())[:_MAX_CURVES]
    metric = {"name": LOSS, "header": "loss", "series": shown, "log": True}
    return {"title": "Training", "axis": "step", "log": False, "ticks": [], "metrics": [metric]}


def _binned(path: Path) -> list[list[Any]]:
    """(step, mean loss, None) of at most ``_BINS`` equal parts of a training."""
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    size = -(-len(entries) // _BINS) or 1
    parts = [entries[start : start + size] for start in range(0, len(entries), size)]
    return [
        [part[len(part) // 2]["step"], statistics.fmean(entry["loss"] for entry in part), None]
        for part in parts
    ]


def _samples(rows: Sequence[Row], called: Sequence[str], store: Store) -> list[dict[str, Any]]:
    """The first samples of each row's first seed, in the order of the rows."""
    found = []
    for name, row in zip(called, rows, strict=True):
        record = row.records[0]
        picture = store.thumbnail(record)
        if picture is None:
            continue
        source = "data:image/png;base64," + base64.b64encode(picture).decode()
        found.append({"caption": name, "key": record.key, "source": source})
    return found


def _record(record: Record, run: ResolvedRun) -> dict[str, Any]:
    """What a cell's provenance shows: the run's settings as YAML, then facts, then the stages."""
    unused = {"mark", *(set() if uses_training(run) else {"train"})}
    facts = {
        "key": record.key,
        "digest": record.digest,
        "seed": record.seed,
        "samples": f"{record.samples:,}",
        "NFE": record.nfe,
        "feature network": f"{record.network} ({record.network_digest[:12]})",
        "reference": record.reference,
        "fused layers": record.fuse and layer_names(record.fuse),
        "w": record.w,
        "stamps": "; ".join(record.stamps),
        "device": f"{record.device}, {record.threads} threads",
        "seconds": f"{record.seconds:,.1f}",
        "git commit": record.git_commit,
        "science sources": record.sources,
        "versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "made": record.created,
    }
    return {
        "yaml": dump_yaml(run.model_dump(mode="json", by_alias=True, exclude=unused, exclude_none=True)),
        "seed": str(record.seed),  # a number of JavaScript has 53 bits
        "metrics": record.metrics,
        "facts": [[name, str(value)] for name, value in facts.items() if value not in (None, "")],
        "stages": [
            [stage.title, f"{stage.seconds:,.1f} s", "cached" if stage.cached else "run", key]
            for key, stage in record.stages.items()
        ],
    }
