"""``ssdbench eval``: the metrics of samples that any program made."""

from __future__ import annotations

from pathlib import Path

from ssdbench.cli import options


def eval_(
    samples: str | None = None,
    /,
    reference: str | None = None,
    network: str = "inception",
    weights: Path | None = None,
    metrics: str | None = None,
    resolution: options.SomeCount = None,
    limit: options.SomeCount = None,
    features: Path | None = None,
    captions: Path | None = None,
    save_reference: Path | None = None,
    export_npz: Path | None = None,
    intervals: bool = True,
    seed: options.SeedNumber = None,
    force: bool = False,
    results: str = options.DEFAULT_RESULTS,
    device: str | None = None,
    json: bool = False,
) -> None:
    """Measure samples against a reference: FID, sFID, IS, precision and recall as ADM's evaluator defines them.

    FID is said only of the FID Inception; its weights are found in the torch hub cache, downloaded into it, or given
    by --weights. Offline, effnet-lite0 comes with the installation; its distances are no FID.

    [bold]Examples[/bold]

      ssdbench eval samples.npz --reference VIRTUAL_imagenet256_labeled.npz

      ssdbench eval out/ --reference photos/ --network effnet-lite0 --json

      ssdbench eval --reference photos/ --save-reference photos.npz

      ssdbench eval 3fa9 --export-npz samples.npz

      ssdbench eval out/ --reference photos/ --features out.features --metrics kid     from the second time in seconds

    Options:
        samples (SAMPLES): A .npz (arr_0), a folder of images, a .tar or a folder of them, our shards, a data set's
            name, or the key of a run.
        reference (REF): ADM's .npz, a saved reference, images in any of the forms of SAMPLES, or a suite's reference.
        network (NAME): A name of 'ssdbench list networks' or package.module:NAME.
        weights (FILE): The network's weights.
        metrics (NAME,...): Names of 'ssdbench list metrics' or package.module:NAME; fid, sfid, is, precision, recall
            by default (fd, sfd under another network).
        resolution (N): Crop and resize files to N; read data sets at N.
        limit (N): Only the first N samples.
        features (FILE): Keep what the network computes of SAMPLES in this file, and take from it what is there.
        captions (FILE): The texts that SAMPLES were made with, one a line, for clip_score.
        save_reference (OUT): Write the reference: .npz as ADM's, or .safetensors.
        export_npz (OUT): Write the samples as ADM's evaluator reads them.
        intervals: Give each value a 95 % confidence interval.
        seed: Of what is drawn: KID's subsets, and what intervals are found by.
        force: Replace files that exist.
    """
    from ssdbench.api.evaluation import load_network, prepare
    from ssdbench.api.export import refuse_to_replace, save_samples
    from ssdbench.api.export import save_reference as save
    from ssdbench.api.images import Against, identity, open_samples, run_samples
    from ssdbench.cli.common import counting, emit_fitted, emit_json, tell
    from ssdbench.errors import UsageError

    if samples is None and (reference is None or save_reference is None):
        raise UsageError("nothing to do: give SAMPLES and --reference, or --reference and --save-reference")
    if samples is None and export_npz is not None:
        raise UsageError("--export-npz writes SAMPLES: give them")
    if reference is None and (save_reference is not None or export_npz is None):
        raise UsageError("give --reference: what the samples are measured against")
    for path, suffixes in ((save_reference, (".npz", ".safetensors")), (export_npz, (".npz",))):
        if path is not None and path.suffix not in suffixes:
            raise UsageError(f"{path}: expected a name that ends in {' or '.join(suffixes)}")
        if path is not None:
            refuse_to_replace(path, force)
    names = None if metrics is None else [name.strip() for name in metrics.split(",")]
    images = None
    if samples is not None:
        images = open_samples(run_samples(samples, results) or samples, resolution, limit)
    with counting() as progress:
        against = Against(reference or "", resolution, progress)
        kept = None if save_reference is None else load_network(network, weights, device, tell)
        evaluation = None
        if images is not None and reference is not None:
            evaluation = prepare(images, against, kept or network, names, weights, device, tell)
            evaluation.caption(captions)
            if features is not None and samples is not None:
                evaluation.keep(features, identity(samples, resolution), progress("samples", images.count))
        if images is not None and export_npz is not None:
            save_samples(images, export_npz, force=force, progress=progress("export", images.count))
            tell(f"wrote {images.count} samples to {export_npz}")
        if kept is not None and save_reference is not None:
            save(against.under(kept), save_reference, against.images(), force=force)
            tell(f"wrote the reference to {save_reference}")
        if evaluation is None or images is None:  # files were all that was wanted
            for note in against.notes:
                tell(note)
            return
        scores = evaluation.measure(
            intervals=intervals, seed=seed, progress=progress("samples", images.count)
        )
    if scores.network_share is not None:
        tell(f"{scores.network_share:.0%} of the time was the network's")
    if json:
        emit_json(scores.as_dict())
    else:
        emit_fitted(str(scores))
