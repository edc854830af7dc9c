"""``ssdbench doctor``: what this machine and installation have."""

from __future__ import annotations

from ssdbench.cli import options


def doctor(results: str = options.DEFAULT_RESULTS, bench: bool = False, json: bool = False) -> None:
    """Check Python, torch, devices, weights, data sets and references (whether they are there), and the store.

    [bold]Examples[/bold]

      ssdbench doctor
      ssdbench doctor --results /data/results --json
      ssdbench doctor --bench

    Options:
        bench: Time sampling instead, beside diffusers' pipeline on one core: about a minute on an idle machine.
    """
    from ssdbench.api.doctor import examine, examine_speed
    from ssdbench.api.words import aligned
    from ssdbench.cli.common import emit, emit_json

    checks = examine_speed() if bench else examine(results)
    if json:
        emit_json(dict(checks))
    else:
        emit("\n".join(aligned([*checks])))
