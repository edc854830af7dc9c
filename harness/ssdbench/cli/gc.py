"""``ssdbench gc``: housekeeping of a store."""

from __future__ import annotations

import typer

from ssdbench.cli import options


def gc(
    results: str = options.DEFAULT_RESULTS,
    dry_run: bool = False,
    verify: bool = False,
    set_aside: bool = False,
) -> None:
    """Remove what dead or finished work left behind; artifacts, records and running work stay.

    With --verify nothing is removed: every file is compared with its artifact's manifest, and the exit code
    is 1 when one does not match. A run looks at what it consumes, and makes that again where it is damaged; what
    nothing has to read just now is made again once --set-aside has taken it back.

    [bold]Examples[/bold]

      ssdbench gc --dry-run
      ssdbench gc --verify --results /data/results
      ssdbench gc --verify --set-aside

    Options:
        dry_run: Only say what would be removed.
        verify: Remove nothing; check every file of every artifact.
        set_aside: With --verify: take damaged artifacts back, for the next run to make.
    """
    from ssdbench.api.words import quantity
    from ssdbench.errors import SsdbenchError, UsageError
    from ssdbench.store.gc import collect, verify_all
    from ssdbench.store.places import open_store

    store = open_store(results)
    if set_aside and not verify:
        raise UsageError("--set-aside goes with --verify, which finds what is damaged")
    if verify:
        problems = verify_all(store, set_aside=set_aside)
        for problem in problems:
            typer.echo(f"{problem.key[:12]} {problem.kind} ({problem.title}): {problem.text}")
        if problems:
            again = "'--verify --set-aside' lets the next run make it again"
            mend = "run the suites again" if set_aside else again
            raise SsdbenchError(f"{len(problems)} problems in {store.name}; {mend}")
        typer.echo(f"every file in {store.name} is as it was committed", err=True)
        return
    collected = collect(store, dry_run=dry_run)
    for path in collected.paths:
        typer.echo(path)
    verb = "would free" if dry_run else "freed"
    typer.echo(f"{verb} {quantity(collected.bytes, 'B')} in {len(collected.paths)} places", err=True)
