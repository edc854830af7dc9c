"""``ssdbench doctor``: what this machine and installation have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ssdbench.cli import options

_KINDS = {
    "network ": "networks",
    "data ": "data sets",
    "model ": "models",
    "autoencoder of ": "autoencoders of",
    "reference ": "references",
}


def doctor(
    results: str = options.DEFAULT_RESULTS, full: bool = False, bench: bool = False, json: bool = False
) -> None:
    """Check Python, torch, devices, weights, data sets and references (whether they are there), and the store.

    [bold]Examples[/bold]

      ssdbench doctor
      ssdbench doctor --full
      ssdbench doctor --results /data/results --json
      ssdbench doctor --bench

    Options:
        full: A line for each thing, with how to get what is not here.
        bench: Time sampling instead, beside diffusers' pipeline on one core: a few minutes on an idle machine.
    """
    from ssdbench.api.doctor import examine, examine_speed
    from ssdbench.api.words import aligned
    from ssdbench.cli.common import emit, emit_fitted, emit_json, tell

    checks = examine_speed() if bench else examine(results)
    if json:
        emit_json(dict(checks))
        return
    if bench:
        for name, found in checks:  # each as it comes, since it takes its time
            emit(f"{name}: {found}")
        return
    emit_fitted("\n".join(aligned([*checks] if full else [*_gathered(checks)])))
    if not full:
        tell("'ssdbench doctor --full' says how to get what is not here")


def _gathered(checks: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The checks with a line for the things of a kind that are here, and one for those that are not."""
    there: dict[str, list[str]] = {}
    rest = []
    for name, found in checks:
        kind = next((kind for kind in _KINDS if name.startswith(kind)), None)
        if kind is None:
            rest.append((name, found))
            continue
        told = _KINDS[kind] if found == "available" else f"{_KINDS[kind]} not here"
        there.setdefault(told, []).append(name.removeprefix(kind))
    yield from rest
    for told, names in there.items():
        yield told, "; ".join(names)
