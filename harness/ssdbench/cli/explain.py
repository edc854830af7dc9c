"""``ssdbench explain``: why a figure differs from one that somebody reports."""

from __future__ import annotations

from pathlib import Path

from ssdbench.cli import options


def explain(
    samples: str,
    /,
    reference: str,
    reported: list[str] | None = None,
    network: str = "inception",
    weights: Path | None = None,
    metrics: str | None = None,
    resolution: options.SomeCount = None,
    limit: options.SomeCount = None,
    conventions: str | None = None,
    pairs: bool = True,
    seed: options.SeedNumber = None,
    results: str = options.DEFAULT_RESULTS,
    device: str | None = None,
    json: bool = False,
) -> None:
    """Measure samples under every convention that programs differ in, and say which of them gives a reported figure.

    Resizing, the scale of the network's input, sample counts, labels, order, covariances, chunks and ranks are tried
    one by one, then in pairs where none alone gives the figure. The images go through the network once for each way of
    making its input: on a CPU, begin with --limit.

    [bold]Examples[/bold]

      ssdbench explain samples.npz --reference VIRTUAL_imagenet256_labeled.npz --reported fid=3.39

      ssdbench explain out/ --reference photos/ --network effnet-lite0 --reported fd=121.5 --reported is=14.9 --json

      ssdbench explain out/ --reference photos/ --network effnet-lite0        how far each convention moves the values

    Options:
        samples (SAMPLES): As of 'ssdbench eval'.
        reference (REF): As of 'ssdbench eval'.
        reported (METRIC=FIGURE): A figure to explain, with as many digits as it was given. Repeatable.
        network (NAME): A name of 'ssdbench list networks' or package.module:NAME.
        weights (FILE): The network's weights.
        metrics (NAME,...): What is measured; by default what is reported, or those of 'ssdbench eval'.
        resolution (N): Crop and resize files to N; read data sets at N.
        limit (N): Only the first N samples.
        conventions (NAME,...): Those to try, such as scale-127.5,half; by default all.
        pairs: Try them in pairs where none alone gives what is reported.
        seed: Of what is drawn: KID's subsets, and what intervals are found by.
    """
    from ssdbench.api.explanation import explain as explained
    from ssdbench.api.images import open_samples, run_samples
    from ssdbench.cli.common import counting, emit_fitted, emit_json
    from ssdbench.errors import UsageError

    figures = {}
    for given in reported or ():
        name, equals, figure = given.partition("=")
        if not equals:
            raise UsageError(f"--reported {given}: expected METRIC=FIGURE, such as fid=3.39")
        figures[name.strip().lower()] = figure
    names, tried = (
        None if text is None else [*map(str.strip, text.split(","))] for text in (metrics, conventions)
    )
    images = open_samples(run_samples(samples, results) or samples, resolution, limit)
    with counting() as progress:
        found = explained(
            images,
            reference=reference,
            reported=figures,
            network=network,
            metrics=names,
            weights=weights,
            resolution=resolution,
            conventions=tried,
            pairs=pairs,
            device=device,
            seed=seed,
            counting=progress,
        )
    if json:
        emit_json(found.as_dict())
    else:
        emit_fitted(str(found))
