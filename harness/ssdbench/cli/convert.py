"""``ssdbench convert``: a checkpoint from one layout to another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ssdbench.cli.export import Dtype


class Target(StrEnum):
    """What can be written."""

    ours = "ours"
    official = "official"
    diffusers = "diffusers"
    stable_diffusion = "stable-diffusion"
    tensors = "tensors"


class Origin(StrEnum):
    """What can be read."""

    auto = "auto"
    ours = "ours"
    official = "official"
    repa = "repa"
    diffusers = "diffusers"


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A .pt or safetensors file of DiT, SiT or REPA; a folder of ours, of diffusers'"
            " DiTTransformer2DModel, of a DiTPipeline or a StableDiffusionPipeline; or hub:OWNER/NAME.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Folder to create; a file with --to official and --to tensors.",
        ),
    ],
    to: Annotated[
        Target,
        typer.Option("--to", help="Layout to write; tensors: all of a file, without objects beside them."),
    ],
    origin: Annotated[
        Origin, typer.Option("--from", help="Layout that SOURCE has to have; told by its content by default.")
    ] = Origin.auto,
    heads: Annotated[
        int | None,
        typer.Option("--heads", min=1, metavar="N", help="Attention heads, for a file of no published size."),
    ] = None,
    dtype: Annotated[
        Dtype | None, typer.Option("--dtype", help="Precision of the weights; as stored by default.")
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            metavar="NAME",
            help="Which weights of a file that holds several sets, such as ema, model or model_ema; the moving average"
            " by default.",
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is a file or a model.")] = False,
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
    """
    from ssdbench.cli.placing import appearing_whole, refuse_to_replace
    from ssdbench.errors import UsageError

    refuse_to_replace(output, force)  # before anything is read or downloaded
    if to in (Target.stable_diffusion, Target.tensors):
        given = {"--from": origin != Origin.auto, "--heads": heads is not None, "--dtype": dtype is not None}
        given["--weights"] = bool(weights) and to == Target.tensors
        if unused := [option for option, is_given in given.items() if is_given]:
            what = "a pipeline" if to == Target.stable_diffusion else "all tensors"
            raise UsageError(f"{', '.join(unused)}: not with --to {to.value}, which copies {what}")
        copy = _stable_diffusion if to == Target.stable_diffusion else _tensors
        copy(source, output, force, weights)
        return
    from ssdbench.models.convert import open_checkpoint, write_checkpoint
    from ssdbench.models.layouts import Layout

    layout = None if origin == Origin.auto else Layout(origin.value)
    found = open_checkpoint(source, layout, heads, part=weights)
    if found.note:
        typer.echo(f"note: {found.note}", err=True)
    with appearing_whole(output, force=force) as new:
        write_checkpoint(found, new, Layout(to.value), dtype and dtype.value)
    shape = found.shape
    typer.echo(
        f"{found.layout.value} to {to.value}: width {shape.width}, depth {shape.depth}, {shape.heads} heads, patch"
        f" {shape.patch_size}, {shape.input_size}x{shape.input_size}x{shape.in_channels}, {shape.num_classes} classes,"
        f" sigma {'learned' if shape.learn_sigma else 'fixed'}",
        err=True,
    )
    if to == Target.diffusers:
        typer.echo(
            "note: diffusers spaces the frequencies of its timestep embedding otherwise than DiT; set"
            " downscale_freq_shift to 0 after loading (docs/convert.md)",
            err=True,
        )
    typer.echo(output)


def _tensors(source: str, output: Path, force: bool, _: str) -> None:
    """All tensors of a file without the objects beside them, as safetensors."""
    from ssdbench.cli.placing import appearing_whole
    from ssdbench.models.convert import write_tensors

    with appearing_whole(output, force=force) as new:
        count = write_tensors(source, new)
    typer.echo(f"{count} tensors, and nothing else that {source} holds", err=True)
    typer.echo(output)


def _stable_diffusion(source: str, output: Path, force: bool, weights: str) -> None:
    """Stable Diffusion v1.5 from a folder, the hub or one file, as suites read it."""
    from ssdbench.cli.placing import appearing_whole
    from ssdbench.models.catalog import MODELS
    from ssdbench.models.convert import write_pipeline
    from ssdbench.models.parts import PARTS
    from ssdbench.models.sd_family import SD_V15
    from ssdbench.models.unet_shape import UNetShape

    [shape] = MODELS[SD_V15.name].shapes.values()
    assert isinstance(shape, UNetShape)
    with appearing_whole(output, force=force) as new:
        written, note = write_pipeline(source, new, shape, part=weights)
    if note:
        typer.echo(f"note: {note}", err=True)
    lacking = [part for part in PARTS if part not in written]
    if lacking:
        typer.echo(f"note: {source} has no {', '.join(lacking)}: put those of the pipeline beside", err=True)
    typer.echo(output)
