"""The ``encode`` stage: images to latents, or captions of a data set or a file to what a UNet attends to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from ssdbench.stages.autoencoding import encode_flops, latent_side
from ssdbench.stages.spec import JSON, Runtime, Source, StageSpec, with_notes
from ssdbench.stages.weights import vae_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

FILE = "captions"  # what every file of captions is called as a data set: its content says which one it is
SHARD, BATCH = 10_000, 100
TEXTS = 1000, 50  # captions of a shard and of a batch

Part = TypeVar("Part")


class EncodeSpec(StageSpec):
    """Role: ``vae`` (a trained autoencoder) unless the source ``vae`` names one; with neither, pixels stay pixels.

    With a text encoder, ``text``, the captions of the images are encoded instead.
    """

    KIND: ClassVar[Literal["encode"]] = "encode"
    VERSION: ClassVar[int] = 1

    dataset: str
    data: Source
    resolution: int
    images: int  # the first so many of the data set, which may hold fewer; 0: all
    vae: Source | None = None
    text: Source | None = None
    text_values: int = 0  # numbers in an encoded caption: the plan's totals need them
    #: the images are flipped horizontally first
    flip: bool = False

    @property
    def title(self) -> str:
        """Data set and resolution."""
        if self.text is not None:
            return f"encode the captions of {self.dataset}"
        return f"encode {self.dataset} at {self.resolution}" + (", flipped" if self.flip else "")

    def flops(self) -> float:
        """Of captions, Stable Diffusion's text encoder takes 13 GFLOP for one of 77 x 768 numbers."""
        return self.images * (2.2e5 * self.text_values if self.text else encode_flops(self.resolution))

    def disk_bytes(self) -> float:
        """Mean and standard deviation of 4 channels."""
        if self.text is not None:
            return self.images * 4.0 * self.text_values
        return self.images * 2 * 4 * 4 * float(latent_side(self.resolution) ** 2)


def body(spec: EncodeSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Encode in data order; the artifact is a folder of shards. Scratch keeps the finished ones."""
    if spec.text is not None:
        return _captions(spec, spec.text, output, runtime)
    return _images(spec, inputs, output, runtime)


def _images(spec: EncodeSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Latents of the images."""
    import torch

    from ssdbench.data.datasets import load_images
    from ssdbench.data.latents import save_shard, shard_name
    from ssdbench.models.vae import open_autoencoder

    images = load_images(spec.dataset, spec.resolution, spec.data.path)
    vae = open_autoencoder(vae_folder(spec.vae, inputs), runtime.device)

    def encode(indices: range) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(images.pixels[indices.start : indices.stop])  # NHWC
        return vae.encode(pixels.flip(2) if spec.flip else pixels, indices)

    def save(shard: int, indices: range, moments: list[tuple[Tensor, Tensor]]) -> None:
        mean, std = (torch.cat(parts) for parts in zip(*moments, strict=True))
        labels = torch.from_numpy(images.labels[indices.start : indices.stop])
        save_shard(runtime.scratch, shard, mean, std, labels)

    count = min(spec.images or len(images), len(images))
    _shards(count, "images", (SHARD, BATCH), encode, save, shard_name, output, runtime)
    return with_notes({"images": count}, images.notes())


def _captions(spec: EncodeSpec, text: Source, output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Hidden states of the distinct captions, and an index."""
    import torch

    from ssdbench.data.captions import numbered, read_lines
    from ssdbench.data.datasets import load_images
    from ssdbench.data.latents import save_index, save_texts, shard_name
    from ssdbench.errors import InputError
    from ssdbench.models.text import TextEncoder

    labels: NDArray[np.integer]
    captions: tuple[str, ...] | None
    if spec.dataset == FILE:
        labels, captions = numbered(read_lines(Path(spec.data.path)))
    else:
        images = load_images(spec.dataset, spec.resolution, spec.data.path)
        labels, captions = images.labels, images.captions
    if captions is None:
        raise InputError(
            f"{spec.data.path}: the images have no captions: expected a .txt file beside each image, or COCO's layout"
        )
    texts, encoder = captions, TextEncoder(Path(text.path), runtime.device)

    def encode(indices: range) -> Tensor:
        return encoder.encode(texts[indices.start : indices.stop])

    def save(shard: int, indices: range, states: list[Tensor]) -> None:
        save_texts(runtime.scratch, shard, torch.cat(states))

    _shards(len(texts), "captions", TEXTS, encode, save, lambda i: shard_name(i, "texts"), output, runtime)
    save_index(output, encoder.encode([""]), torch.from_numpy(labels), texts)
    return with_notes({"captions": len(texts)}, encoder.notes(texts))


def _shards(
    count: int,
    unit: str,
    sizes: tuple[int, int],
    encode: Callable[[range], Part],
    save: Callable[[int, range, list[Part]], None],
    name: Callable[[int], str],
    output: Path,
    runtime: Runtime,
) -> None:
    """Encode ``count`` things, by ``sizes`` of a shard and a batch; shards that scratch has are not made again."""
    from ssdbench.store.files import link_or_copy

    shards = [range(start, min(start + sizes[0], count)) for start in range(0, count, sizes[0])]
    for shard, whole in enumerate(shards):
        if (runtime.scratch / name(shard)).exists():
            continue
        parts = []
        for i in range(0, len(whole), sizes[1]):
            runtime.raise_if_stopping(
                "stopped while encoding; the next run goes on after the last finished shard"
            )
            indices = whole[i : i + sizes[1]]
            parts.append(encode(indices))
            runtime.report(indices.stop, count, unit)
        save(shard, whole, parts)
    for shard in range(len(shards)):
        # They stay in scratch, too: another run may have taken the stage over and be counting on them.
        link_or_copy(runtime.scratch / name(shard), output / name(shard))
