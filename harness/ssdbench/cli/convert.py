"""``ssdbench convert``: a checkpoint from one layout to another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from ssdbench.cli import options


def convert(
    source: str,
    /,
    output: Path,
    to: Literal["ours", "official", "diffusers", "stable-diffusion", "tensors"],
    origin: Literal["auto", "ours", "official", "repa", "diffusers"] = "auto",
    heads: options.SomeCount = None,
    dtype: options.Precision | None = None,
    weights: str = "",
    pipeline: bool = False,
    nfe: options.SomeCount = None,
    grid: str | None = None,
    parts: str | None = None,
    noise_at: Literal["0", "1"] | None = None,
    force: bool = False,
) -> None:
    """Convert the checkpoint of a DiT, SiT or REPA model between the layouts in which they are kept.

    Missing, unknown and misshapen tensors are refused, each listed; code in a checkpoint is never run.

    [bold]Examples[/bold]

      ssdbench convert my-student -o my-student-diffusers --to diffusers

      ssdbench convert my-student -o my-pipeline --to diffusers --pipeline --parts my-autoencoder

      ssdbench convert sd-student -o sd-4-steps --to diffusers --pipeline --nfe 4 --parts hub:OWNER/NAME

      ssdbench convert DiT-XL-2-256x256.pt -o DiT-XL-2-256 --to ours --dtype float16

      ssdbench convert hub:facebook/DiT-XL-2-256 -o DiT-XL-2-256x256.pt --to official

      ssdbench convert last.pt -o student.pt --from repa --to official --heads 6

      ssdbench convert 0400000.pt -o student.pt --to official --weights model

      ssdbench convert training.ckpt -o training.safetensors --to tensors

      ssdbench convert hub:OWNER/NAME -o stable-diffusion-v1-5 --to stable-diffusion

    Options:
        source (SOURCE): A .pt or safetensors file of DiT, SiT or REPA; a folder of ours, of diffusers'
            DiTTransformer2DModel, of a DiTPipeline or a StableDiffusionPipeline; or hub:OWNER/NAME.
        output (OUT): Folder to create; a file with --to official and --to tensors.
        to: Layout to write; tensors: all of a file, without objects beside them.
        origin: Layout that SOURCE has to have; told by its content by default.
        heads (N): Attention heads, for a file of no published size.
        dtype: Precision of the weights; as stored by default.
        weights (NAME): Which weights of a file that holds several sets, such as ema, model or model_ema; the moving
            average by default.
        pipeline: With --to diffusers: write a whole DiTPipeline or StableDiffusionPipeline, whose scheduler walks the
            grid of --nfe evaluations.
        nfe (N): Of a pipeline: its evaluations; by default those of the grid that the weights were trained on.
        grid (NAME): Of a pipeline: its timesteps, by name or listed, such as '999, 749, 499, 249'; by default those
            that the weights were trained on, else even, or of a UNet sd.
        parts (FOLDER): Of a pipeline: where its autoencoder is, of a UNet the text encoder and tokenizer too; or
            hub:OWNER/NAME.
        noise_at: Of a pipeline of a flow model: the time of pure noise, 0 for SiT, 1 for REPA.
        force: Replace OUT if it is a file or a model.
    """
    from ssdbench.api.export import convert as convert_checkpoint
    from ssdbench.api.pipelines import PipelineOf, convert_pipeline
    from ssdbench.cli.common import tell
    from ssdbench.errors import UsageError

    asked = PipelineOf(nfe, grid, parts, None if noise_at is None else int(noise_at))
    if pipeline:
        others = {"--from": origin != "auto", "--heads": heads is not None, "--dtype": dtype is not None}
        if to != "diffusers" or any(others.values()):
            named = ", ".join(option for option, is_given in others.items() if is_given) or f"--to {to}"
            raise UsageError(
                f"{named}: not with --pipeline, which is of --to diffusers: convert to ours first"
            )
        convert_pipeline(source, output, asked, weights, force, lambda line: tell(f"note: {line}"))
        typer.echo(output)
        return
    if asked != PipelineOf():
        raise UsageError("--nfe, --grid, --parts and --noise-at are of a pipeline: give --pipeline too")
    layout = None if origin == "auto" else origin
    convert_checkpoint(
        source, output, to, layout, heads=heads, dtype=dtype, weights=weights, force=force, say=tell
    )
    typer.echo(output)
