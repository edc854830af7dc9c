"""The worked examples of docs/extending.md, by the file that each block is."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/extending.md"


def write(folder: Path, *names: str) -> None:
    """Write the page's blocks ``title=NAME`` as files."""
    blocks = dict(re.findall(r"```\w+ title=(\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
    for name in names:
        (folder / name).write_text(blocks[name])
