"""``ssdbench eval``: the metrics of samples that any program made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssdbench.cli import options


def eval_(
    samples: Annotated[
        str | None,
        typer.Argument(
            metavar="SAMPLES",
            help="A .npz (arr_0), a folder of images, a .tar or a folder of them, our shards, a data set's name,"
            " or the key of a run.",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="REF",
            help="ADM's .npz, a saved reference, images in any of the forms of SAMPLES, or a suite's reference.",
        ),
    ] = None,
    network: Annotated[
        str,
        typer.Option(
            "--network", metavar="NAME", help="A name of 'ssdbench list networks' or package.module:NAME."
        ),
    ] = "inception",
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="The network's weights.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="NAME,...",
            help="Names of 'ssdbench list metrics' or package.module:NAME; fid, sfid, is, precision, recall by"
            " default (fd, sfd under another network).",
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution", min=1, metavar="N", help="Crop and resize files to N; read data sets at N."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N samples.")
    ] = None,
    save_reference: Annotated[
        Path | None,
        typer.Option(
            "--save-reference", metavar="OUT", help="Write the reference: .npz as ADM's, or .safetensors."
        ),
    ] = None,
    export_npz: Annotated[
        Path | None,
        typer.Option("--export-npz", metavar="OUT", help="Write the samples as ADM's evaluator reads them."),
    ] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals/--no-intervals", help="Give each value a 95 % confidence interval.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    results: options.Results = options.DEFAULT_RESULTS,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Measure samples against a reference: FID, sFID, IS, precision and recall as ADM's evaluator defines them.

    FID is said only of the FID Inception; its weights are found in the torch hub cache, downloaded into it, or given
    by --weights. Offline, effnet-lite0 comes with the installation; its distances are no FID.

    [bold]Examples[/bold]

      ssdbench eval samples.npz --reference VIRTUAL_imagenet256_labeled.npz

      ssdbench eval out/ --reference photos/ --network effnet-lite0 --json

      ssdbench eval --reference photos/ --save-reference photos.npz

      ssdbench eval 3fa9 --export-npz samples.npz
    """
    from ssdbench.cli.common import emit, emit_json
    from ssdbench.cli.evaluation import carry_out
    from ssdbench.cli.request import Request
    from ssdbench.cli.scores import describe

    request = Request(
        samples=samples,
        reference=reference,
        network=network,
        weights=weights,
        metrics=None if metrics is None else tuple(name.strip() for name in metrics.split(",")),
        resolution=resolution,
        limit=limit,
        save_reference=save_reference,
        export_npz=export_npz,
        intervals=intervals,
        force=force,
        results=results,
        device=device,
    )
    result = carry_out(request)
    if result is None:  # files were all that was wanted
        return
    if json:
        emit_json(result)
    else:
        emit(describe(result))
