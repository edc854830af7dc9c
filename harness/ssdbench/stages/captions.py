"""The ``encode`` stage's other body: captions of a data set, or of a file of them, to what a UNet attends to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ssdbench.stages.runtime import Runtime
from ssdbench.stages.spec import JSON, with_notes

if TYPE_CHECKING:
    from ssdbench.stages.encode import EncodeSpec

FILE = "captions"  # what every file of captions is called as a data set: its content says which one it is
SHARD, BATCH = 1000, 50


def encode_captions(spec: EncodeSpec, output: Path, runtime: Runtime) -> dict[str, JSON]:
    """Encode the distinct captions; the artifact is a folder of shards of hidden states, and an index."""
    import numpy as np
    import torch

    from ssdbench.data.captions import numbered, read_lines
    from ssdbench.data.datasets import load_images
    from ssdbench.data.texts import save_index, save_texts, shard_name
    from ssdbench.errors import InputError
    from ssdbench.models.text import TextEncoder
    from ssdbench.store.files import link_or_copy

    assert spec.text is not None
    labels: np.ndarray
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
    encoder = TextEncoder(Path(spec.text.path), runtime.device)
    shards = range(0, len(captions), SHARD)
    for shard, start in enumerate(shards):
        stop = min(start + SHARD, len(captions))
        if (runtime.scratch / shard_name(shard)).exists():
            continue
        parts = []
        for i in range(start, stop, BATCH):
            runtime.raise_if_stopping(
                "stopped while encoding; the next run goes on after the last finished shard"
            )
            parts.append(encoder.encode(captions[i : min(i + BATCH, stop)]))
            runtime.report(min(i + BATCH, stop), len(captions), "captions")
        save_texts(runtime.scratch, shard, torch.cat(parts))
    for shard in range(len(shards)):
        # They stay in scratch, too: another run may have taken the stage over and be counting on them.
        link_or_copy(runtime.scratch / shard_name(shard), output / shard_name(shard))
    save_index(output, encoder.encode([""]), torch.from_numpy(labels), captions)
    return with_notes({"captions": len(captions)}, encoder.notes(captions))
