"""Executes a notebook's code cells as a kernel would, in one namespace: no kernel is needed, and none is installed.

``python -m tests.api.notebook FILE`` executes it here and writes the new outputs into it.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any


def execute(source: str, namespace: dict[str, Any]) -> tuple[str, Any]:
    """Execute a cell; what it printed, and the value of its last line where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, "<cell>", "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
    return printed.getvalue(), value


def shown(value: Any) -> dict[str, Any]:
    """What a notebook shows of a value, by MIME type: the richest that it offers, and its text."""
    found: dict[str, Any] = {}
    for kind, method in (("text/html", "_repr_html_"), ("image/png", "_repr_png_")):
        content = getattr(value, method)() if hasattr(value, method) else None
        if isinstance(content, bytes):
            content = base64.b64encode(content).decode()
        if content is not None:
            found[kind] = content
    return found | {"text/plain": re.sub(r" at 0x[0-9A-F]+", "", repr(value))}


def refresh(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        printed, value = execute("".join(cell["source"]), namespace)
        outputs: list[dict[str, Any]] = []
        if printed:
            outputs.append({"output_type": "stream", "name": "stdout", "text": printed})
        if value is not None:
            outputs.append(
                {
                    "output_type": "execute_result",
                    "execution_count": number,
                    "metadata": {},
                    "data": shown(value),
                }
            )
        cell |= {"execution_count": number, "outputs": outputs}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    refresh(Path(sys.argv[1]))
