"""Samples of another program are scored as they lie, and as the same images in shards of our own are."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from ssdbench.metrics.networks import network_digest
from ssdbench.stages import Runtime, ScoreSpec, Source, score
from ssdbench.stages.spec import notes_of

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
NETWORK = "effnet-lite0"


def scored(place: Path | None, shards: dict[str, Path], tmp_path: Path) -> dict[str, object]:
    reference = tmp_path / "reference.npz"
    np.savez(reference, PIXELS[::-1])
    spec = ScoreSpec(
        network=NETWORK,
        weights=Source(digest=network_digest(NETWORK, None), path=""),
        reference=Source(digest="r" * 64, path=str(reference)),
        samples=8,
        given=None if place is None else Source(digest="g" * 64, path=str(place)),
    )
    return score.body(spec, shards, tmp_path, Runtime(tmp_path))


def test_a_file_a_folder_and_our_own_shards_give_the_same_figures(tmp_path: Path) -> None:
    labels = np.arange(10) // 5
    np.savez(tmp_path / "x.npz", PIXELS, labels)
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(PIXELS):
        Image.fromarray(image).save(tmp_path / "folder" / f"{i}.png")
    shards = {}
    for i in range(2):
        folder = shards[f"samples/{i:05d}"] = tmp_path / f"shard{i}"
        folder.mkdir()
        part = torch.from_numpy(PIXELS[5 * i : 5 * i + 5].copy())
        save_file(
            {"images": part, "labels": torch.zeros(5, dtype=torch.int64)}, folder / "samples.safetensors"
        )
    expected = scored(None, shards, tmp_path)
    assert notes_of(expected) == []  # type: ignore[arg-type]
    for name in ("x.npz", "folder"):
        found = scored(tmp_path / name, {}, tmp_path)
        assert found["metrics"] == expected["metrics"]
        assert found["samples"] == 8
    [note] = notes_of(scored(tmp_path / "x.npz", {}, tmp_path))  # type: ignore[arg-type]
    assert note.startswith("the samples come class by class")
