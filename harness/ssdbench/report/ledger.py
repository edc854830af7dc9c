"""The ledger of claims as a page or as JSON, and the plan of what a difference needs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ssdbench.declaration import called
from ssdbench.report.claims import OPEN, Claim, ClaimsFile, Finding, overall
from ssdbench.report.columns import column
from ssdbench.report.frame import finite
from ssdbench.report.statistics import ALPHA, POWER, Estimate, effect_seen, seeds_needed
from ssdbench.report.table import Cell, Column, Section, Table

_HEAD = """\
# Claims

What the paper claims that this harness can test, and questions beyond it, with what the records say of each. Written by
`{command}` from `suites/claims.yaml` and the records; nothing on this page is typed.

"""
_HOW = """\
- **Difference**: left minus right, the mean over the seeds that both have, which start from the same noise and
  labels; in brackets its 95 % interval (paired t test).
- **p**: two-sided, of the paired t test; then after Holm's correction within the claim's family.
- **holds** or **contradicted**: the difference counts (p < {alpha:g} after correction) as claimed, or the other way.
  **no difference**: two one-sided tests put it within the margin. **open**: neither, or fewer than {seeds} seeds.
  A claim is as good as the worst of its tests.
- The paper's figures are FIDs on ImageNet unless it is said otherwise. Ours are what the rows were measured by, and
  compare with each other alone."""


def to_page(claims: ClaimsFile, findings: Sequence[Finding], command: str) -> str:
    """Return the ledger as Markdown: a summary, then every claim with its tests."""
    grouped = _grouped(claims, findings)
    summary = [f"| [{claim.text}](#{claim.claim}) | **{overall(own)}** |" for claim, own in grouped]
    parts = [
        _HEAD.format(command=command) + _how(claims),
        "\n".join(["| claim | verdict |", "|:--|:--|", *summary]),
    ]
    for beyond, title in ((False, "## The paper's claims"), (True, "## Beyond the paper")):
        if some := [(claim, own) for claim, own in grouped if (claim.paper is None) == beyond]:
            parts += [title, *(_section(claim, own) for claim, own in some)]
    return "\n\n".join(parts) + "\n"


def _how(claims: ClaimsFile) -> str:
    return _HOW.format(alpha=ALPHA, seeds=claims.seeds)


def to_table(claims: ClaimsFile, findings: Sequence[Finding]) -> Table | None:
    """Return the claims that have a measured test, each a section with its verdict; None where there is none."""
    sections = []
    for claim, own in _grouped(claims, findings):
        if any(one.estimate is not None for one in own):
            paper = "" if claim.paper is None else f" (the paper: {claim.paper})"
            title = f"{claim.text}{paper}: {overall(own)}. {_measure(claim, own)}"
            lines = tuple(tuple(map(Cell, (one.at or "all", *_cells(one)))) for one in own)
            sections.append(Section(title, lines))
    numbers = (Column(header, numeric=True) for header in _COLUMNS[1:-1])
    columns = (Column("At"), *numbers, Column("Verdict"))
    how = (" ".join(line.split()) for line in _how(claims).split("\n- "))
    notes = tuple(line.removeprefix("- ").replace("**", "") for line in how)
    return Table("claims", "Claims", columns, tuple(sections), notes=notes) if sections else None


def _grouped(claims: ClaimsFile, findings: Sequence[Finding]) -> list[tuple[Claim, list[Finding]]]:
    return [(claim, [one for one in findings if one.claim is claim]) for claim in claims.claims]


def _section(claim: Claim, findings: Sequence[Finding]) -> str:
    lines = [f"### {claim.claim}", f"{claim.text}: **{overall(findings)}**."]
    lines += [] if claim.paper is None else [f"The paper: {claim.paper}."]
    difference = f"{_measure(claim, findings)}: difference".removeprefix(": ")
    header = _line(*(difference if name == "difference" else name for name in _COLUMNS))
    lines.append("\n".join([header, "|:--|--:|--:|--:|--:|--:|--:|:--|", *map(_test, findings)]))
    margin = "" if claim.margin is None else f", margin {claim.margin:g}"
    lines.append(f"Expected: {claim.expect}{margin}. Family: {claim.family}. Measured by `{claim.run}`.")
    measured = dict.fromkeys(
        f"{one.samples:,} samples against {called(one.reference or '')}"
        for one in findings
        if one.samples is not None
    )
    lines += [f"Rows of {', '.join(measured)}."] if measured else []
    remarks = (f"- {one.at}: {text}" if one.at else f"- {text}" for one in findings for text in one.remarks)
    lines += dict.fromkeys(remarks)
    lines += [claim.remark] if claim.remark else []
    return "\n\n".join(lines)


_COLUMNS = ("at", "n", "left", "right", "difference", "p", "p (Holm)", "verdict")


def _measure(claim: Claim, findings: Sequence[Finding]) -> str:
    networks = dict.fromkeys(one.network for one in findings if one.network is not None)
    return ", ".join(column(claim.metric).header(network, always_name=False) for network in networks)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _test(one: Finding) -> str:
    return _line(one.at, *_cells(one))


def _cells(one: Finding) -> tuple[str, ...]:
    """What stands in the columns behind the first one."""
    estimate = one.estimate
    if estimate is None or one.left is None or one.right is None:
        return *"–" * 6, one.verdict
    digits = _digits(one.left, one.right)
    interval = estimate.interval
    between = "" if interval is None else f" [{interval[0]:+.{digits}f}, {interval[1]:+.{digits}f}]"
    means = (f"{value:.{digits}f}" for value in (one.left, one.right))
    difference = f"{estimate.mean:+.{digits}f}{between}"
    return str(estimate.n), *means, difference, _p(estimate.p), _p(one.p_holm), one.verdict


def _digits(*values: float) -> int:
    return 1 if max(map(abs, values)) >= 10 else 3


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if value >= 1e-3 else "< 0.001"


_TOLD = {"claim", "text", "paper", "family", "metric", "expect", "margin"}


def to_json(claims: ClaimsFile, findings: Sequence[Finding]) -> str:
    """Return the ledger as JSON: a list of claims, each with its tests."""
    told = [
        {
            **claim.model_dump(include=_TOLD),
            "metric": _key(claim, own),
            "verdict": overall(own),
            "tests": [_told(one) for one in own],
        }
        for claim, own in _grouped(claims, findings)
    ]
    return json.dumps(finite(told), indent=2, ensure_ascii=False) + "\n"


def _key(claim: Claim, findings: Sequence[Finding]) -> str:
    """The metric's name under the network that measured it, as records have it."""
    networks = [one.network for one in findings if one.network is not None]
    return column(claim.metric).key(networks[0]) if networks else claim.metric


def _told(one: Finding) -> dict[str, Any]:
    estimate = one.estimate or Estimate(math.nan, None, 0, 0)
    names = ("samples", "network", "reference", "left", "right")
    return {
        "at": one.at,
        "n": estimate.n,
        **{name: getattr(one, name) for name in names},
        "difference": estimate.mean,
        "interval": estimate.interval,
        "p": estimate.p,
        **{name: getattr(one, name) for name in ("p_holm", "p_equal", "verdict", "remarks")},
    }


@dataclass(frozen=True)
class Need:
    """What a test needs to see its difference with a chance of ``POWER``, from the spread that was seen.

    Args:
        finding: the test.
        spread: the standard deviation of the differences over the seeds.
        seeds: how many seeds see the difference that was found, at the samples that there are; None: too many.
        samples: how many samples ``at_seeds`` seeds need, if all of the spread is that of finitely many samples.
        least: the least difference that ``at_seeds`` seeds see at the samples that there are.

    """

    finding: Finding
    spread: float
    seeds: int | None
    samples: int | None
    least: float


def needs(claims: ClaimsFile, findings: Sequence[Finding], at_seeds: int | None = None) -> list[Need]:
    """Return what every test with a spread needs, at the level of the first step of its family's correction."""
    found = []
    n = at_seeds or claims.seeds
    for one in findings:
        estimate = one.estimate
        if estimate is None or not estimate.error:
            continue
        family = sum(
            other.claim.family == one.claim.family and other.estimate is not None for other in findings
        )
        alpha = ALPHA / family
        spread = estimate.error * math.sqrt(estimate.n)
        effect, least = abs(estimate.mean) / spread, effect_seen(n, alpha)
        samples = None
        if one.samples is not None and effect > 0:
            samples = math.ceil(one.samples * max(1.0, (least / effect) ** 2))
        found.append(Need(one, spread, seeds_needed(effect, alpha), samples, least * spread))
    return found


def to_plan(claims: ClaimsFile, findings: Sequence[Finding], at_seeds: int | None = None) -> str:
    """Return the plan as a table of Markdown, with what it rests on."""
    n = at_seeds or claims.seeds
    columns = ("claim", "at", "n", "difference", "spread")
    lines = [
        _line(*columns, "seeds it needs", f"samples at {n} seeds", f"least seen with {n} seeds"),
        "|:--|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for need in needs(claims, findings, at_seeds):
        one, estimate = need.finding, need.finding.estimate
        assert estimate is not None
        digits = _digits(one.left or 0, one.right or 0)
        lines.append(
            _line(
                one.claim.claim,
                one.at,
                str(estimate.n),
                f"{estimate.mean:+.{digits}f}",
                f"{need.spread:.{digits}f}",
                "> 1000" if need.seeds is None else str(need.seeds),
                "–" if need.samples is None else f"{need.samples:,}",
                f"{need.least:.{digits}f}",
            )
        )
    without = sum(one.estimate is None or not one.estimate.error for one in findings)
    still = sum(one.verdict == OPEN for one in findings)
    notes = [
        f"- Seeds: for a chance of {POWER:.0%} that a paired t test sees the difference as it was found, at {ALPHA:g}"
        " divided by the tests of the family. Spread is the standard deviation of the differences over the seeds.",
        "- Samples: as if all of the spread came from the number of samples, and fell with its root. What different"
        " trainings add does not fall, so this is the least.",
        f"- {without} of {len(findings)} tests have no two seeds yet; {still} are open.",
    ]
    return "\n".join([*lines, "", *notes]) + "\n"
