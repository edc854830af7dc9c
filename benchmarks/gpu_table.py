"""The tables of ``gpu.py``'s results, and their place on a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import paired  # beside this file
from gpu_sides import PLAIN, SHOWN_NFE, SIDES

BEGIN, END = "<!-- benchmarks/gpu.py: begin -->", "<!-- benchmarks/gpu.py: end -->"
NONE = "-"

Found = Mapping[str, Any]


def best(found: Found) -> dict[str, Any] | None:
    """The batch of most images a second."""
    return max(found.get("batches", []), key=lambda row: row["images_s"], default=None)


def short(found: Found) -> str:
    """A result in a line."""
    if "error" in found:
        return str(found["error"]).splitlines()[0]
    row = best(found)
    if row is not None:
        extra = "".join(f", {key}: {found[key]}" for key in ("stopped", "failed") if found.get(key))
        off = f", off by {found['difference']:.1e}" if "difference" in found else ""
        return (
            f"{row['images_s']:.1f} images/s, {row['tflops']:.1f} TFLOP/s at batch {row['batch']}, "
            f"{row['peak_gib']:.1f} GiB, first call {row['first_seconds']:.1f} s{off}{extra}"
        )
    return ", ".join(f"{key} {value}" for key, value in found.items() if key != "output")


def tables(all: Found) -> str:
    """Markdown."""
    about, parts = all["about"], all["parts"]
    cards = [name for name in parts if name.startswith("DiT-")]
    lines = [f"{about['card']}, torch {about['torch']}, CUDA {about['cuda']}, {about['date']}."]
    if about["dry_run"]:
        lines = ["**A rehearsal at tiny sizes on a CPU: the figures mean nothing.**", *lines]
    peaks = parts.get("peaks", {})
    rows = [
        [name, f"{found['tflops']:.1f} TFLOP/s" if "tflops" in found else f"{found['gb_s']:.0f} GB/s"]
        for name, found in peaks.items()
        if "error" not in found
    ]
    sections = [" ".join(lines), paired.table(["measured peak", ""], rows)] if rows else [" ".join(lines)]
    if "gpu" in parts.get("tests", {}) and "error" not in parts["tests"]["gpu"]:
        found = parts["tests"]["gpu"]
        sections.append(
            f"Tests marked `gpu`: {found['passed']} passed, {len(found['failed'])} failed, {found['skipped']} skipped."
        )
    if cards:
        sections += [
            f"Images a second at {SHOWN_NFE} NFE with guidance, without decoding, and the batch of it:",
            _matrix(parts, cards, lambda row: f"{_digits(row['images_s'])} ({row['batch']})"),
            "How many times as fast as the plain loop in TF32:",
            _matrix(parts, cards, lambda row: f"{row['over_plain']:.2f}"),
            "Share of the measured peak of its precision:",
            _matrix(parts, cards, lambda row: f"{row['share']:.2f}"),
            "Peak memory at that batch, GiB:",
            _matrix(parts, cards, lambda row: f"{row['peak_gib']:.1f}"),
            "Relative difference (root mean square) of latents from ours in float32, on the same grid:",
            _matrix(parts, cards, lambda row: f"{row['difference']:.0e}"),
        ]
    trained = {name: found for name, found in parts.get("training", {}).items() if "error" not in found}
    if trained:
        steps, made_of = ("ssd", "issd"), ("two forward", "forward and backward", "AdamW")
        header = ["ms a step", "batch", "SSD", "iSSD", *made_of, "SSD / parts", "iSSD / parts", "GiB"]
        sections += [
            "A distillation step, beside its parts:",
            paired.table(
                header,
                [
                    [
                        name,
                        str(found["batch"]),
                        *(f"{found['ms'][side]:.1f}" for side in (*steps, *made_of)),
                        *(f"{found['over_parts'][side]:.2f}" for side in steps),
                        f"{found['peak_gib']:.1f}",
                    ]
                    for name, found in trained.items()
                ],
            ),
        ]
    for name, found in parts.get("features", {}).items():
        if "error" not in found:
            sections.append(
                f"{name}: {found['images_s']:.0f} images of 256x256 a second, batch {found['batch']}."
            )
    failed = [
        f"{part}: {name}"
        for part, all_of in parts.items()
        for name, found in all_of.items()
        if "error" in found
    ]
    if failed:
        sections.append(f"Failed: {'; '.join(failed)}.")
    for why, names in all["left_out"].items():
        rows = {part: [n.partition(": ")[2] for n in names if n.startswith(f"{part}: ")] for part in cards}
        others = [name for name in names if name.partition(": ")[0] not in rows]
        unseen = dict.fromkeys(n.partition(": ")[0] for n in others if n.startswith("DiT-"))
        others = [name for name in others if not name.startswith("DiT-")]
        listed = [f"{part}: {', '.join(f'({n})' for n in of)}" for part, of in rows.items() if of]
        rows_left = [*listed, *(f"{part}: all" for part in unseen), *others]
        sections.append(f"Left out, {why}: {'; '.join(rows_left)}.")
    return "\n\n".join(sections)


def _digits(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _matrix(parts: Found, cards: list[str], cell: Any) -> str:
    """A line a size, a column a side."""
    peaks = {name: found.get("tflops") for name, found in parts.get("peaks", {}).items()}
    rows = []
    for card in cards:
        plain = best(parts[card].get(PLAIN.name, {}))
        row = [card]
        for side in SIDES:
            found = parts[card].get(side.name, {})
            top = best(found)
            if top is None:
                row.append("error" if "error" in found else NONE)
                continue
            known = top | {key: found[key] for key in ("difference",) if key in found}
            if plain is not None:
                known["over_plain"] = top["images_s"] / plain["images_s"]
            if peaks.get(side.precision):
                known["share"] = top["tflops"] / peaks[side.precision]
            try:
                row.append(cell(known) + (" *" if found.get("failed") else ""))
            except KeyError:
                row.append(NONE)
        rows.append(row)
    stars = (
        "\n\n\\* compiling or recording failed: as it is." if any(" *" in c for r in rows for c in r) else ""
    )
    return paired.table(["", *(side.name for side in SIDES)], rows) + stars


def render(page: Path, all: Found) -> None:
    """Replace what is between the page's markers.

    Raises:
        SystemExit: the page has not both markers, in their order.
    """
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: expected the lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{tables(all)}\n\n{END}{after}")
