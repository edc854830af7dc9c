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
    force: bool = False,
) -> None:
    """Convert the checkpoint of a DiT, SiT or REPA model between the layouts in which they are kept.

    Missing, unknown and misshapen tensors are refused, each listed; code in a checkpoint is never run.

    [bold]Examples[/bold]

      ssdbench convert my-student -o my-student-diffusers --to diffusers

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
        force: Replace OUT if it is a file or a model.
    """
    from ssdbench.api.export import convert as convert_checkpoint
    from ssdbench.cli.common import tell

    layout = None if origin == "auto" else origin
    convert_checkpoint(
        source, output, to, layout, heads=heads, dtype=dtype, weights=weights, force=force, say=tell
    )
    typer.echo(output)
