"""``ssdbench doctor``: what this machine and installation have."""

from __future__ import annotations

from ssdbench.cli import options


def doctor(results: str = options.DEFAULT_RESULTS, json: bool = False) -> None:
    """Check Python, torch, devices, weights, data sets and references (whether they are there), and the store.

    [bold]Examples[/bold]

      ssdbench doctor
      ssdbench doctor --results /data/results --json
    """
    from ssdbench.api.doctor import examine
    from ssdbench.api.words import aligned
    from ssdbench.cli.common import emit, emit_json

    checks = dict(examine(results))
    if json:
        emit_json(checks)
        return
    emit("\n".join(aligned([*checks.items()])))
