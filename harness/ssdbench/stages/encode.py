"""The ``encode`` stage: images of a data set to latents, or its captions to a text encoder's states."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from ssdbench.stages.captions import encode_captions
from ssdbench.stages.runtime import Runtime
from ssdbench.stages.spec import JSON, Source, StageSpec, with_notes

SHARD, BATCH = 10_000, 100


class EncodeSpec(StageSpec):
    """Role: ``vae`` (a trained autoencoder) unless the source ``vae`` names one; with neither, pixels stay pixels.

    With a text encoder, ``text``, the captions of the images are encoded instead.
    """

    KIND: ClassVar[Literal["encode"]] = "encode"
    VERSION: ClassVar[int] = 1

    dataset: str
    data: Source
    resolution: int
    images: int  # how many the data set holds: the plan's totals need it before the data is read
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
        """A VAE costs roughly the same per pixel at every size, and SD's text encoder as much for a caption."""
        return self.images * self.resolution**2 * 1e5

    def disk_bytes(self) -> float:
        """Mean and standard deviation of 4 channels at an eighth of the side at most, a quarter at mini scale."""
        if self.text is not None:
            return self.images * 4.0 * self.text_values
        return self.images * 2 * 4 * 4 * (self.resolution / 4) ** 2


def body(spec: EncodeSpec, inputs: dict[str, Path], output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Encode in data order; the artifact is a folder of shards of latents. Scratch keeps the finished ones."""
    if spec.text is not None:
        return encode_captions(spec, output, runtime)
    import torch

    from ssdbench.data.datasets import load_images
    from ssdbench.data.latents import save_shard, shard_name
    from ssdbench.models.vae import open_autoencoder
    from ssdbench.store.files import link_or_copy

    images = load_images(spec.dataset, spec.resolution, spec.data.path)
    vae = open_autoencoder(vae_folder(spec.vae, inputs), runtime.device)
    shards = range(0, len(images), SHARD)
    for shard, start in enumerate(shards):
        stop = min(start + SHARD, len(images))
        if (runtime.scratch / shard_name(shard)).exists():
            continue
        moments = []
        for i in range(start, stop, BATCH):
            runtime.raise_if_stopping(
                "stopped while encoding; the next run goes on after the last finished shard"
            )
            indices = range(i, min(i + BATCH, stop))
            pixels = torch.from_numpy(images.pixels[i : indices.stop])  # NHWC
            moments.append(vae.encode(pixels.flip(2) if spec.flip else pixels, indices))
            runtime.report(indices.stop, len(images), "images")
        mean, std = (torch.cat(parts) for parts in zip(*moments, strict=True))
        save_shard(runtime.scratch, shard, mean, std, torch.from_numpy(images.labels[start:stop]))
    for shard in range(len(shards)):
        # They stay in scratch, too: another run may have taken the stage over and be counting on them.
        link_or_copy(runtime.scratch / shard_name(shard), output / shard_name(shard))
    return with_notes({"images": len(images)}, images.notes())


def vae_folder(source: Source | None, inputs: dict[str, Path]) -> Path | None:
    """Where the autoencoder lies: the trained one's artifact, or the source; None: there is none."""
    if source is not None:
        return Path(source.path)
    return inputs["vae"] / "model" if "vae" in inputs else None
