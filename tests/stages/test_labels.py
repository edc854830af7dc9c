"""Which classes are sampled: drawn one by one, balanced, or those of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from ssdbench.data.labels import read_labels
from ssdbench.errors import InputError
from ssdbench.models.checkpoint import save_dit
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape
from ssdbench.models.vae import build_vae
from ssdbench.stages import Runtime, SampleSpec, Source, sample
from ssdbench.stages.conditioning import of_classes
from ssdbench.stages.sample import Sampling

SHAPE = DiTShape(width=16, depth=1, heads=2, input_size=8, num_classes=10, learn_sigma=False)


@settings(deadline=None, max_examples=30)
@given(
    classes=st.integers(1, 30),
    blocks=st.integers(1, 5),
    seed=st.integers(0, 2**63 - 1),
    cut=st.integers(0, 150),
)
def test_balanced_classes_come_equally_often_wherever_samples_are_cut(
    classes: int, blocks: int, seed: int, cut: int
) -> None:
    drawn = of_classes(classes, "balanced").drawn
    whole = drawn(seed, range(classes * blocks))
    assert whole.dtype == torch.int64
    assert np.bincount(whole, minlength=classes).tolist() == [blocks] * classes
    cut = min(cut, len(whole))
    parts = (
        [drawn(seed, range(cut)), drawn(seed, range(cut, len(whole)))] if 0 < cut < len(whole) else [whole]
    )
    assert torch.equal(torch.cat(parts), whole)
    counts = np.bincount(whole[:cut], minlength=classes)
    assert counts.max() - counts.min() <= 1


def test_balanced_classes_are_in_another_order_for_each_seed_and_block() -> None:
    drawn = of_classes(100, "balanced").drawn
    orders = {tuple(drawn(seed, range(start, start + 100)).tolist()) for seed in (0, 1) for start in (0, 100)}
    assert len(orders) == 4
    assert all(list(order) != sorted(order) for order in orders)


def test_classes_of_a_file_are_those_of_its_lines(tmp_path: Path) -> None:
    text, array = tmp_path / "labels.txt", tmp_path / "labels.npy"
    text.write_text("3\n0\r\n 9 \n4")
    np.save(array, np.array([3, 0, 9, 4], np.uint8))
    for path in (text, array):
        drawn = of_classes(10, Source(digest="a" * 64, path=str(path)), 4).drawn
        assert drawn(5, range(1, 4)).tolist() == [0, 9, 4]
        assert drawn(6, range(1, 4)).tolist() == [0, 9, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1\n2\n", r"labels.txt: holds 2 classes, expected one for each of 3 samples"),
        (b"1\n2\n10\n", r"labels.txt:3: is class 10, expected 0 to 9, the model's"),
        (b"1\n-2\n1\n", r"labels.txt:2: is class -2, expected 0 to 9"),
        (b"1\n\n2\n", r"labels.txt:2: is '', expected the number of a class"),
        (b"1\n2.0\n2\n", r"labels.txt:2: is '2.0', expected the number of a class"),
        (b"1\n\xc2\xb2\n2\n", r"labels.txt:2: is '²', expected the number of a class"),
        (b"1\n" + b"9" * 30 + b"\n2\n", r"labels.txt:2: is '9+', expected the number of a class"),
        (b"1\n-\n2\n", r"labels.txt:2: is '-', expected the number of a class"),
        (b"\xff\xfe1\n", r"labels.txt:1:1: begins with 0xFF 0xFE"),
    ],
)
def test_a_text_file_that_does_not_fit_is_refused_by_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_labels(path, 3, 10)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([1, 2, 10]), r"labels.npy\[2\]: is class 10, expected 0 to 9"),
        (np.array([1.0, 2.0, 3.0]), r"labels.npy: is float64 \(3,\), expected whole numbers"),
        (np.array([[1, 2, 3]]), r"labels.npy: is int64 \(1, 3\), expected whole numbers"),
        (np.array([None, 2, 3]), r"labels.npy is no .npy file, or it is cut short"),
        (np.array([1]), r"labels.npy: holds 1 classes, expected one for each of 3"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(InputError, match=message):
        read_labels(tmp_path / "labels.npy", 3, 10)


def test_samples_are_made_as_the_classes_of_their_indices_in_every_shard(tmp_path: Path) -> None:
    """A shard from index 4 on holds what the whole has there: labels and images."""
    build_vae((8, 8), image_channels=1).save_pretrained(tmp_path / "vae")
    torch.manual_seed(0)
    save_dit(DiT(SHAPE), tmp_path / "dit")
    weights, vae = (Source(digest=name[0] * 64, path=str(tmp_path / name)) for name in ("dit", "vae"))
    file = tmp_path / "labels.txt"
    file.write_text("\n".join(map(str, [1, 1, 7, 2, 9, 0])))
    how = Sampling(
        shape=SHAPE,
        sampler="ddim",
        grid="even",
        nfe=2,
        weights=weights,
        labels=Source(digest="c" * 64, path=str(file)),
    )
    found = []
    for i, (start, count) in enumerate([(0, 6), (4, 2)]):
        output, scratch = tmp_path / f"output{i}", tmp_path / f"scratch{i}"
        output.mkdir()
        scratch.mkdir()
        spec = SampleSpec(sampling=how, resolution=16, vae=vae, start=start, count=count)
        sample.body(spec, {}, output, Runtime(scratch))
        found.append(load_file(output / "samples.safetensors"))
    assert found[0]["labels"].tolist() == [1, 1, 7, 2, 9, 0]
    assert torch.equal(found[1]["labels"], found[0]["labels"][4:])
    assert torch.equal(found[1]["images"], found[0]["images"][4:])
