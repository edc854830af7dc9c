"""Checkpoints from one layout to another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ssdbench.api.export import appearing_whole, refuse_to_replace
from ssdbench.errors import UsageError

_WHOLE = {"stable-diffusion": "a pipeline", "tensors": "all tensors"}


def convert(
    source: str,
    target: Path,
    to: str,
    origin: str | None = None,
    *,
    heads: int | None = None,
    dtype: str | None = None,
    weights: str = "",
    force: bool = False,
    say: Callable[[str], None] = lambda note: None,
) -> None:
    """Convert a checkpoint; arguments as the options of ``ssdbench convert``.

    Args:
        source: a file, a folder, or ``hub:OWNER/NAME``.
        target: a folder; a file to ``official`` and ``tensors``. It appears whole or not at all.
        to: ``ours``, ``official``, ``diffusers``, ``stable-diffusion`` or ``tensors``.
        origin: the layout that the source has to have; told by its content by default.
        heads: attention heads, for a file of no published size.
        dtype: precision of the weights; as stored by default.
        weights: which weights of a file that holds several sets.
        force: replace ``target`` if it is a file or a model.
        say: called with what is worth a line.

    Raises:
        UsageError: ``target`` exists or cannot be written, or an argument does not go with ``to``.
        InputError: tensors are missing, unknown or misshapen, each listed.

    """
    refuse_to_replace(target, force)  # before anything is read or downloaded
    given = {"--from": origin is not None, "--heads": heads is not None, "--dtype": dtype is not None}
    given["--weights"] = bool(weights) and to == "tensors"
    if to in _WHOLE and (unused := [option for option, is_given in given.items() if is_given]):
        raise UsageError(f"{', '.join(unused)}: not with --to {to}, which copies {_WHOLE[to]}")
    with appearing_whole(target, force=force) as new:
        if to == "stable-diffusion":
            _write_pipeline(source, new, weights, say)
            return
        from ssdbench.models.convert import open_checkpoint, write_checkpoint, write_tensors
        from ssdbench.models.layouts import Layout

        if to == "tensors":
            say(f"{write_tensors(source, new)} tensors, and nothing else that {source} holds")
            return
        found = open_checkpoint(source, None if origin is None else Layout(origin), heads, part=weights)
        if found.note:
            say(f"note: {found.note}")
        write_checkpoint(found, new, Layout(to), dtype)
        shape = found.shape
        say(
            f"{found.layout.value} to {to}: width {shape.width}, depth {shape.depth}, {shape.heads} heads, patch"
            f" {shape.patch_size}, {shape.input_size}x{shape.input_size}x{shape.in_channels}, {shape.num_classes}"
            f" classes, sigma {'learned' if shape.learn_sigma else 'fixed'}"
        )
    if to == "diffusers":
        say(
            "note: diffusers spaces the frequencies of its timestep embedding otherwise than DiT; set"
            " downscale_freq_shift to 0 after loading (docs/convert.md)"
        )


def _write_pipeline(source: str, new: Path, weights: str, say: Callable[[str], None]) -> None:
    """Stable Diffusion v1.5 from a folder, the hub or one file, as suites read it."""
    from ssdbench.models.catalog import MODELS
    from ssdbench.models.convert import write_pipeline
    from ssdbench.models.parts import PARTS
    from ssdbench.models.sd_family import SD_V15
    from ssdbench.models.unet_shape import UNetShape

    [shape] = MODELS[SD_V15.name].shapes.values()
    assert isinstance(shape, UNetShape)
    written, note = write_pipeline(source, new, shape, part=weights)
    if note:
        say(f"note: {note}")
    if lacking := [part for part in PARTS if part not in written]:
        say(f"note: {source} has no {', '.join(lacking)}: put those of the pipeline beside")
