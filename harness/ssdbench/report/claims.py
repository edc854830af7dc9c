"""Claims as data: what is said to differ, the rows that test it, and what the records say of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from operator import sub
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ssdbench.metrics.metric import Metric
from ssdbench.report.columns import column, shared_values
from ssdbench.report.compare import merged
from ssdbench.report.frame import dotted
from ssdbench.report.identity import names
from ssdbench.report.rows import Row
from ssdbench.report.statistics import ALPHA, Estimate, holm, paired
from ssdbench.suite.author import Condition
from ssdbench.suite.document import INVALID, Problems
from ssdbench.suite.schema import ResolvedRun
from ssdbench.suite.select import matches
from ssdbench.suite.training import Frozen
from ssdbench.suite.validate import read_checked

HOLDS, CONTRADICTED, SAME, OPEN = "holds", "contradicted", "no difference", "open"
"""What is said of a claim."""
_MOST_CHOICES = 10_000  # of rows for the sides of a test

Side = Condition | Annotated[list[Condition], Field(min_length=1)]


class Contrast(Frozen):
    """A difference of two rows."""

    left: Side
    """The row, or the rows whose mean is taken, by their settings."""
    right: Side
    """What is subtracted."""


class Test(Contrast):
    """One test of a claim."""

    at: str | None = None
    """Where: the evaluations, say."""
    than: Contrast | None = None
    """A second difference, which is subtracted from the first: whether a gain is greater than another."""


class Claim(Frozen):
    """What is said, by whom, and the tests of it."""

    claim: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    """Short name."""
    text: str
    """What is said."""
    paper: str | None = None
    """The paper's figures and where they stand; null: a question beyond it."""
    family: str
    """Tests that are corrected for their number together."""
    metric: str = "fid"
    """What is compared; fid stands for the distance under any network."""
    expect: Literal["lower", "higher", "not lower", "not higher", "equal"]
    """How the left side is to the right one."""
    margin: Annotated[float, Field(gt=0)] | None = None
    """Within it a difference is none; by the equivalence test."""
    rows: Condition | None = None
    """Settings of all its rows."""
    tests: Annotated[list[Test], Field(min_length=1)]
    """All of them have to hold."""
    run: str
    """The command that measures it."""
    remark: str | None = None
    """Why it comes out so, as it was tested; by hand."""


class ClaimsFile(Frozen):
    """All claims."""

    seeds: Annotated[int, Field(ge=2)] = 5
    """Fewer seeds than these leave a test open."""
    rows: Condition | None = None
    """Settings of all rows of all claims."""
    claims: Annotated[list[Claim], Field(min_length=1)]
    """In the ledger's order."""


@dataclass(frozen=True)
class Finding:
    """One test with what the records say.

    Args:
        claim: whose it is.
        at: where.
        left: the left side's mean over the seeds; None where it was not measured.
        right: the right side's.
        estimate: the difference over the seeds that all rows have; None where there is none.
        p_holm: the p value after Holm's correction over the family.
        p_equal: the equivalence test's, with a margin.
        verdict: see ``HOLDS``.
        remarks: what is missing, or has to be said of the rows.
        samples: images behind each number.
        network: the feature network that measured them.
        reference: what they were measured against.

    """

    claim: Claim
    at: str
    left: float | None = None
    right: float | None = None
    estimate: Estimate | None = None
    p_holm: float | None = None
    p_equal: float | None = None
    verdict: str = OPEN
    remarks: tuple[str, ...] = ()
    samples: int | None = None
    network: str | None = None
    reference: str | None = None


def read_claims(path: Path) -> ClaimsFile:
    """Read a file of claims.

    Raises:
        UsageError: it cannot be read.
        SuiteError: all that is wrong with it, located.

    """
    problems = Problems()
    document = read_checked(path, ClaimsFile, problems)
    data = document.data if isinstance(document.data, dict) else {}
    listed = data.get("claims")
    seen: set[str] = set()
    for i, one in enumerate(listed if isinstance(listed, list) else []):
        given = one if isinstance(one, dict) else {}
        name = str(given.get("claim"))
        if "claim" in given and name in seen:
            problems.add(document.mark(("claims", i, "claim")), "claim", f"{name!r} is the name of another")
        if given.get("expect") == "equal" and given.get("margin") is None:
            problems.add(document.mark(("claims", i, "expect")), "expect", "equal needs a margin")
        seen.add(name)
    problems.raise_any()
    assert document.data is not INVALID
    return ClaimsFile.model_validate(document.data)


def judge(claims: ClaimsFile, rows: Sequence[Row]) -> list[Finding]:
    """Return what the records say of every test, in the order of the claims."""
    known = known_of(rows)
    common = conditions(claims.rows)
    found = [_measured(claim, test, common, known) for claim in claims.claims for test in claim.tests]
    ps = [None if one.estimate is None else one.estimate.p for one in found]
    corrected = holm(ps, [one.claim.family for one in found])
    return [_decided(one, p, claims.seeds) for one, p in zip(found, corrected, strict=True)]


def overall(findings: Iterable[Finding]) -> str:
    """Return what is said of a claim whose tests came out so: the worst of them."""
    said = {one.verdict for one in findings}
    return next(verdict for verdict in (CONTRADICTED, OPEN, SAME, HOLDS) if verdict in said)


def conditions(condition: Condition | None) -> dict[str, Any]:
    """Return settings by dotted key as they were written."""
    return {} if condition is None else condition.model_dump(by_alias=True, exclude_unset=True)


Known = tuple[Row, Mapping[str, Any]]


def known_of(rows: Iterable[Row]) -> list[Known]:
    """Return the rows with their settings by dotted key, names as the suite wrote them; without trials of a search."""
    return [(row, _values(row.run)) for row in rows if row.run.eval.half != "search"]


def _values(run: ResolvedRun) -> dict[str, Any]:
    values = dotted(run.model_dump(mode="json", by_alias=True, exclude={"named", "mark"}))
    named = run.named.model_dump()
    return values | {"eval.reference": named.pop("reference")} | named


def meeting(known: Iterable[Known], wanted: Mapping[str, Any]) -> list[Row]:
    """Return the rows that have these settings, those that differ in naming alone as one of all their seeds."""
    return list(merged([row for row, values in known if matches(values, wanted)]).values())


def _measured(claim: Claim, test: Test, common: dict[str, Any], known: Sequence[Known]) -> Finding:
    """Find the rows of a test, and take the difference seed by seed."""
    found = Finding(claim, test.at or "")
    shared = common | conditions(claim.rows)
    sides = [side for one in (test, test.than) if one is not None for side in (one.left, one.right)]
    wanted = [
        [shared | conditions(one) for one in (side if isinstance(side, list) else [side])] for side in sides
    ]
    listed = [condition for side in wanted for condition in side]
    choices = [meeting(known, condition) for condition in listed]
    missing = [condition for condition, rows in zip(listed, choices, strict=True) if not rows]
    if missing:
        return replace(found, remarks=tuple(f"not measured: {_told(one, shared)}" for one in missing))
    metric = column(claim.metric)
    chosen, remark = _comparable(choices, metric)
    if remark is not None:
        return replace(found, remarks=(remark,))
    values = iter(shared_values(metric, *chosen))
    left, right, *than = (
        [statistics.fmean(seed) for seed in zip(*(next(values) for _ in side), strict=True)]
        for side in wanted
    )
    if not left:
        return replace(found, remarks=("the rows have no seed in common",))
    if than:
        left, right = [*map(sub, left, right)], [*map(sub, *than)]
    return replace(
        found,
        left=statistics.fmean(left),
        right=statistics.fmean(right),
        estimate=paired([*map(sub, left, right)]),
        samples=chosen[0].samples,
        network=chosen[0].network,
        reference=chosen[0].reference,
    )


def _comparable(choices: Sequence[Sequence[Row]], metric: Metric) -> tuple[tuple[Row, ...], str | None]:
    """Return one row for each condition, all measured alike, or else what is in the way.

    Of several such choices it is that of the most seeds, then of the most samples.
    """

    def size(some: tuple[Row, ...]) -> tuple[int, int]:
        return len(shared_values(metric, *some)[0]), some[0].samples

    if math.prod(map(len, choices)) > _MOST_CHOICES:
        return (), "too many rows are meant: say more of them"
    alike = [some for some in product(*choices) if len({row.measured_by for row in some}) == 1]
    alike.sort(key=size, reverse=True)
    if not alike:
        return (), "not comparable: other samples, networks or references"
    # Rows that share their records are one: what a suite says of training changes nothing in a base row.
    best = alike[0]
    others = (some for some in alike[1:] if size(some) == size(best))
    for one, other in chain.from_iterable(zip(best, some, strict=True) for some in others):
        keys, others_keys = ({record.key for record in row.records} for row in (one, other))
        if not (keys <= others_keys or others_keys <= keys):
            return (), f"several rows are meant: {'; '.join(names([one.run, other.run]))}"
    return best, None


def _told(condition: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    own = {key: value for key, value in condition.items() if key not in shared} or condition
    return ", ".join(f"{key}={value}" for key, value in own.items())


def _decided(found: Finding, p_holm: float | None, seeds: int) -> Finding:
    """Return the finding with its verdict, by its p value after the correction."""
    estimate, claim = found.estimate, found.claim
    if estimate is None:
        return found
    p_equal = None if claim.margin is None else estimate.equivalence(claim.margin)
    found = replace(found, p_holm=p_holm, p_equal=p_equal)
    if estimate.n < seeds:
        return replace(found, remarks=(*found.remarks, f"{estimate.n} of at least {seeds} seeds"))
    side = "lower" if estimate.mean < 0 else "higher"
    verdict = OPEN
    if p_equal is not None and p_equal < ALPHA:
        verdict = SAME if claim.expect in ("lower", "higher") else HOLDS
    elif p_holm is not None and p_holm < ALPHA:
        other = "not higher" if side == "lower" else "not lower"
        verdict = HOLDS if claim.expect in (side, other) else CONTRADICTED
    return replace(found, verdict=verdict)
