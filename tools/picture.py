"""Draw the same samples of several runs below each other: ``python tools/picture.py OUT.png LABEL=KEY ...``.

KEY is a record's key or the beginning of one. Column i starts from the same noise and label in every row.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ssdbench.store import Store

COLUMNS, ROWS, SIDE, SCALE, MARGIN = 16, 2, 32, 2, 150  # the first 32 samples of each run


def main() -> None:
    """Read the records' thumbnails and stack their first rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="+", metavar="LABEL=KEY")
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_args()
    store = Store(options.results)
    keys = [path.stem for path in store.records_dir.glob("*.json")]
    band = ROWS * SIDE * SCALE
    sheet = Image.new("L", (MARGIN + COLUMNS * SIDE * SCALE, (band + 6) * len(options.runs)), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for row, run in enumerate(options.runs):
        label, _, prefix = run.rpartition("=")
        [key] = [key for key in keys if key.startswith(prefix)]
        record = store.read_record(key)
        if record is None or record.thumbnail is None:
            raise SystemExit(f"{key}: no picture in its record")
        grid = np.asarray(Image.open(store.records_dir / record.thumbnail).convert("L"))
        part = Image.fromarray(grid[: ROWS * SIDE, : COLUMNS * SIDE])
        sheet.paste(
            part.resize((part.width * SCALE, part.height * SCALE), Image.Resampling.NEAREST),
            (MARGIN, row * (band + 6)),
        )
        draw.multiline_text(
            (8, row * (band + 6) + band // 2 - 16), label.replace("|", "\n"), fill=0, font=font
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out, optimize=True)


if __name__ == "__main__":
    main()
