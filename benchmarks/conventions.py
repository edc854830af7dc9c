"""What metrics become under other programs' conventions: ``python benchmarks/conventions.py``.

The first images of Fashion-MNIST under EfficientNet-Lite0 against as many of the reference, by ``ssdbench.explain``.
``--write`` puts the table into docs/metrics.md.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import ssdbench

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
PLACE = re.compile(r"(<!-- measured: .*? -->\n).*?(<!-- end of measured -->)", re.DOTALL)


def table(found: ssdbench.Explanation) -> str:
    """The rows as a Markdown table: the values as they are, then how far each convention moves them."""
    frame = found.table()
    keys = [*found.found.base.metrics]
    lines = [["", *(f"`{key}`" for key in keys)]]
    first = frame.iloc[0]
    lines.append(["as here", *(f"{first[key]:.4f}" for key in keys)])
    for name, row in frame.iloc[1:].iterrows():
        moved = {key: row[key] - first[key] for key in keys}
        lines.append([f"`{name}`", *(f"{moved[key]:+.4g}" if abs(moved[key]) > 1e-9 else "" for key in keys)])
    texts = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([texts[0], "|---" + "|---:" * len(keys) + "|", *texts[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    found = ssdbench.explain(
        ssdbench.dataset("fashion-mnist", 32),
        reference=ssdbench.dataset("fashion-mnist-reference", 32).pixels[: options.count],
        network="effnet-lite0",
        metrics=["fd", "is", "precision", "recall"],
        limit=options.count,
    )
    print(found)
    print(table(found))
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(
            PLACE.sub(lambda place: f"{place[1]}{table(found)}\n{place[2]}", page), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
