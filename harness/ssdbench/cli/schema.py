"""``ssdbench schema``: the JSON Schema of suites, for editors."""

from __future__ import annotations

import json
from pathlib import Path


def schema(output: Path | None = None) -> None:
    """Print the JSON Schema of suite files; editors complete and check with it.

    [bold]Examples[/bold]

      ssdbench schema -o schema.json
    """
    from ssdbench.cli.common import emit
    from ssdbench.suite import json_schema

    emit(json.dumps(json_schema(), indent=2) + "\n", output)
