"""Pictures of many images at once."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont


def save_grid(images: NDArray[np.uint8], path: Path, columns: int) -> None:
    """Write uint8 NHWC images (C 1 or 3) as one PNG, row by row."""
    n, h, w, c = images.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, h, w, c), np.uint8)
    sheet[:n] = images
    picture = sheet.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)
    Image.fromarray(picture[..., 0] if c == 1 else picture).save(path)


def labelled_grid(
    cells: Sequence[Sequence[NDArray[np.uint8] | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    scale: int = 1,
) -> Image.Image:
    """Pictures in rows and columns with their names on the left and on top, black on white.

    Args:
        cells: a row of pictures, uint8 (H, W, C) of one size, C 1 or 3, for each of ``rows``; None stays white.
        rows: names on the left; long ones are broken into lines.
        columns: names on top, none of them drawn where all are empty.
        scale: how often each pixel is repeated.
    """
    height, width = next(cell.shape[:2] for row in cells for cell in row if cell is not None)
    height, width = height * scale + _GAP, width * scale + _GAP
    font = ImageFont.load_default(_FONT)
    texts = [textwrap.wrap(name, _LETTERS) or [""] for name in rows]
    left = max((int(font.getlength(line)) for lines in texts for line in lines), default=0) + 2 * _GAP
    heads = [textwrap.wrap(name, max(1, width * 2 // _FONT)) for name in columns]
    top = max((len(lines) for lines in heads), default=0) * _LINE + _GAP
    line_room = max(len(lines) for lines in texts) * _LINE
    height = max(height, line_room)
    sheet = Image.new("RGB", (left + width * len(columns), top + height * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, lines in enumerate(heads):
        draw.multiline_text((left + i * width, 2), "\n".join(lines), fill="black", font=font)
    for i, (lines, row) in enumerate(zip(texts, cells, strict=True)):
        draw.multiline_text((_GAP, top + i * height), "\n".join(lines), fill="black", font=font)
        for j, cell in enumerate(row):
            if cell is not None:
                picture = Image.fromarray(cell[..., 0] if cell.shape[2] == 1 else cell).convert("RGB")
                size = (picture.width * scale, picture.height * scale)
                place = (left + j * width, top + i * height)
                sheet.paste(picture.resize(size, Image.Resampling.NEAREST), place)
    return sheet


_GAP, _FONT, _LINE, _LETTERS = 4, 13, 17, 28  # pixels, pixels, pixels, letters
