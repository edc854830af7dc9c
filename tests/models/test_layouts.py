"""Checkpoints in every layout: read, refused, and brought from each to each."""

from __future__ import annotations

import argparse
import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ssdbench.errors import InputError
from ssdbench.models.checkpoint import load_dit, save_dit
from ssdbench.models.convert import open_checkpoint, write_checkpoint
from ssdbench.models.dit_files import read_checkpoint
from ssdbench.models.official import Layout, infer_shape
from ssdbench.models.shapes import DiTShape, dit_shape
from tests.models.toy import SHAPES, SMALL, random_dit, same

GOLDEN = Path(__file__).parent.parent / "golden"
WRITTEN = (Layout.ours, Layout.official, Layout.diffusers)
State = dict[str, torch.Tensor]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("first", "second"), list(permutations(WRITTEN, 2)))
def test_weights_come_back_bit_for_bit_over_any_two_layouts(
    tmp_path: Path, shape: DiTShape, first: Layout, second: Layout
) -> None:
    model = random_dit(shape)
    save_dit(model, tmp_path / "start")
    here = tmp_path / "start"
    for layout in (first, second):
        write_checkpoint(read_checkpoint(here, heads=shape.heads), tmp_path / layout, layout)
        here = tmp_path / layout
        found = read_checkpoint(here, heads=shape.heads)
        assert (found.layout, found.shape) == (layout, shape)
        assert same(found.state, model.state_dict())
        assert same(load_dit(here, shape).state_dict(), model.state_dict())


@pytest.mark.parametrize("layout", WRITTEN)
def test_the_golden_checkpoint_keeps_its_output(tmp_path: Path, layout: Layout) -> None:
    found = open_checkpoint(str(GOLDEN / "dit_official_layout.pt"), heads=4)
    assert (found.layout, found.shape) == (Layout.official, SMALL)
    write_checkpoint(found, tmp_path / "converted", layout)
    model = load_dit(tmp_path / "converted", SMALL)
    golden = {
        k: torch.from_numpy(v) for k, v in np.load(GOLDEN / "dit_forward_and_ddim.npz").items() if v.shape
    }
    with torch.no_grad():
        out = model(golden["x"], golden["t"], golden["y"])
    assert (out - golden["out"]).abs().max() < 1e-5


@settings(deadline=None, max_examples=50)
@given(
    heads=st.integers(1, 5),
    per_head=st.integers(1, 4).map(lambda n: 4 * n),
    depth=st.integers(1, 12),
    patch=st.integers(1, 5),
    side=st.integers(1, 5),
    channels=st.integers(1, 5),
    classes=st.integers(1, 30),
    sigma=st.booleans(),
    ratio=st.floats(0.5, 6.0),
)
def test_the_shape_is_read_off_the_tensors(
    heads: int,
    per_head: int,
    depth: int,
    patch: int,
    side: int,
    channels: int,
    classes: int,
    sigma: bool,
    ratio: float,
) -> None:
    shape = DiTShape(heads * per_head, depth, heads, patch, patch * side, channels, classes, sigma, ratio)
    tensors = shape.tensors()
    found = infer_shape(tensors, Path("x.pt"), heads)
    assert found.mlp_ratio == pytest.approx(ratio, abs=1 / shape.width)
    assert {k: v.shape for k, v in found.tensors().items()} == {k: v.shape for k, v in tensors.items()}
    assert (found.heads, found.input_size, found.num_classes) == (heads, patch * side, classes)


@pytest.mark.parametrize("size", ["S", "B", "L", "XL"])
@pytest.mark.parametrize(("patch", "side"), [(2, 32), (4, 32), (8, 64)])
def test_published_sizes_need_no_heads(size: str, patch: int, side: int) -> None:
    shape = dit_shape(size, patch, side)
    assert infer_shape(shape.tensors(), Path("x.pt")) == shape


def test_heads_of_no_published_size_are_asked_for(tmp_path: Path) -> None:
    torch.save(random_dit().state_dict(), tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"width 48 and depth 3: give the number \(--heads\)"):
        read_checkpoint(tmp_path / "m.pt")
    with pytest.raises(InputError, match="width 48, which 5 attention heads do not divide"):
        read_checkpoint(tmp_path / "m.pt", heads=5)
    save_dit(random_dit(), tmp_path / "m")
    with pytest.raises(InputError, match="4 attention heads, not 6"):
        read_checkpoint(tmp_path / "m", heads=6)


def test_of_a_training_checkpoint_the_ema_weights_are_taken(tmp_path: Path) -> None:
    ema, other = random_dit(seed=1).state_dict(), random_dit(seed=2).state_dict()
    options = argparse.Namespace(model="DiT-S/2", lr=1e-4)
    torch.save({"model": other, "ema": ema, "opt": {"state": {}}, "args": options}, tmp_path / "0400000.pt")
    assert same(read_checkpoint(tmp_path / "0400000.pt", heads=4).state, ema)
    assert same(read_checkpoint(tmp_path / "0400000.pt", heads=4, part="model").state, other)
    torch.save({"model": other, "opt": {"state": {}}}, tmp_path / "raw.pt")
    assert same(read_checkpoint(tmp_path / "raw.pt", heads=4).state, other)


def test_the_content_tells_the_format_not_the_name(tmp_path: Path) -> None:
    state = random_dit().state_dict()
    save_file(state, tmp_path / "weights.pt")
    torch.save(state, tmp_path / "weights.safetensors", _use_new_zipfile_serialization=False)
    torch.save(state, tmp_path / "zip.safetensors")
    for name in ("weights.pt", "weights.safetensors", "zip.safetensors"):
        found = read_checkpoint(tmp_path / name, heads=4)
        assert found.layout == Layout.official
        assert same(found.state, state)


def repa(state: State, encoder: int) -> State:
    """As REPA's first checkpoints: the blocks after the encoder's numbered anew, and projectors."""
    named = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0] == "blocks" and int(parts[1]) >= encoder:
            parts[:2] = ["decoder_blocks", str(int(parts[1]) - encoder)]
        named[".".join(parts)] = tensor
    return {**named, "projectors.0.0.weight": torch.ones(8, 48), "projectors.0.0.bias": torch.ones(8)}


@pytest.mark.parametrize("encoder", [1, 8, 12])
def test_repas_blocks_are_numbered_through(tmp_path: Path, encoder: int) -> None:
    shape = DiTShape(width=48, depth=12, heads=4, input_size=8, num_classes=10, learn_sigma=False)
    state = random_dit(shape).state_dict()
    torch.save({"ema": repa(state, encoder), "steps": 5}, tmp_path / "last.pt")
    found = read_checkpoint(tmp_path / "last.pt", heads=4)
    assert (found.layout, found.shape) == (Layout.repa, shape)
    assert same(found.state, state)
    assert same(load_dit(tmp_path / "last.pt", shape).state_dict(), state)
    write_checkpoint(found, tmp_path / "plain.pt", Layout.official)
    assert read_checkpoint(tmp_path / "plain.pt", layout=Layout.repa, heads=4).layout == Layout.official
    with pytest.raises(InputError, match="repa is only read"):
        write_checkpoint(found, tmp_path / "again.pt", Layout.repa)


def test_a_query_norm_is_refused_by_name(tmp_path: Path) -> None:
    state = random_dit().state_dict() | {"blocks.1.attn.q_norm.weight": torch.ones(12)}
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"unknown blocks\.1\.attn\.q_norm\.weight"):
        read_checkpoint(tmp_path / "m.pt", heads=4)


def without(state: State, *names: str) -> State:
    return {name: tensor for name, tensor in state.items() if name not in names}


def test_all_that_is_wrong_is_listed(tmp_path: Path) -> None:
    state = without(random_dit().state_dict(), "blocks.1.attn.proj.bias", "t_embedder.mlp.2.weight")
    state |= {"blocks.2.mlp.fc2.weight": torch.zeros(48, 100), "logit_scale": torch.zeros(1)}
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(InputError) as error:
        read_checkpoint(tmp_path / "m.pt", heads=4)
    assert set(str(error.value).splitlines()[1:]) == {
        "  missing blocks.1.attn.proj.bias (48,)",
        "  missing t_embedder.mlp.2.weight (48, 48)",
        "  unknown logit_scale",
        "  blocks.2.mlp.fc2.weight has shape (48, 100), expected (48, 192)",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos_embed": torch.zeros(1, 15, 48)}, r"pos_embed has shape \(1, 15, 48\), expected \(1, 9, 48\)"),
        ({"pos_embed": torch.zeros(16, 48)}, r"pos_embed has shape \(16, 48\), expected 3 dimensions"),
        (
            {"x_embedder.proj.weight": torch.zeros(48, 4, 2, 1)},
            r"has shape \(48, 4, 2, 1\), expected \(48, 4, 2, 2\)",
        ),
        (
            {"final_layer.linear.weight": torch.zeros(48, 48)},
            r"has shape \(48, 48\), expected \(32, 48\)",
        ),
        ({"y_embedder.embedding_table.weight": None}, r"missing y_embedder\.embedding_table\.weight"),
    ],
)
def test_tensors_that_tell_no_shape(
    tmp_path: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    state = {k: v for k, v in (random_dit().state_dict() | change).items() if v is not None}
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path / "m.pt", heads=4)


def test_a_missing_block_is_named(tmp_path: Path) -> None:
    state = {k: v for k, v in random_dit().state_dict().items() if not k.startswith("blocks.1.")}
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"missing blocks\.1\.attn\.qkv\.weight"):
        read_checkpoint(tmp_path / "m.pt", heads=4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv_in.weight": torch.zeros(1)}, "holds 1 tensors .*in names unknown here"),
        ({"transformer_blocks.0.norm1.linear.bias": torch.zeros(1)}, "give its folder"),
        ({"x_embedder.proj.weight": 5}, r"found x_embedder\.proj\.weight \(int\)"),
        ({}, "found nothing"),
        ([torch.zeros(1)], "expected a mapping of tensors, found list"),
        ({"ema": torch.zeros(1)}, r"holds 1 tensors \(ema, \.\.\.\) in names unknown here"),
        (torch.zeros(1), "expected a mapping of tensors, found Tensor"),
    ],
)
def test_what_is_no_checkpoint_of_a_dit(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path / "m.pt", heads=4)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is no model folder: .*found nothing"),
        (
            {"model_index.json": '{"_class_name": "StableDiffusionPipeline"}'},
            "is a 'StableDiffusionPipeline' without",
        ),
        ({"config.json": '{"_class_name": "AutoencoderKL"}'}, "is of a 'AutoencoderKL', expected DiT or"),
        (
            {"config.json": '{"_class_name": "DiT", "width": 48, "heads": "4"}'},
            r"lacks depth\n.*heads .* '4', expected",
        ),
        (
            {"config.json": '{"_class_name": "DiT", "width": 48, "depth": 3, "heads": 4}'},
            "has no weights: expected",
        ),
        ({"config.json": "[]"}, "expected an object, found list"),
    ],
)
def test_folders_that_hold_no_dit(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path)


def test_a_layout_that_was_not_asked_for_is_refused(tmp_path: Path) -> None:
    save_dit(random_dit(), tmp_path / "m")
    with pytest.raises(InputError, match="expected the layout diffusers, found ours"):
        read_checkpoint(tmp_path / "m", layout=Layout.diffusers)


def test_precision_is_kept_or_changed(tmp_path: Path) -> None:
    model = random_dit()
    save_dit(model, tmp_path / "m", prediction="eps")
    for layout in WRITTEN:
        write_checkpoint(read_checkpoint(tmp_path / "m"), tmp_path / f"half-{layout}", layout, "float16")
        found = read_checkpoint(tmp_path / f"half-{layout}", heads=4)
        assert {v.dtype for v in found.state.values()} == {torch.float16}
        write_checkpoint(found, tmp_path / f"kept-{layout}", Layout.diffusers)
        kept = read_checkpoint(tmp_path / f"kept-{layout}").state
        assert same(kept, {k: v.half() for k, v in model.state_dict().items()})


def test_what_a_config_says_beyond_the_shape_stays_with_us(tmp_path: Path) -> None:
    save_dit(random_dit(), tmp_path / "m", prediction="eps", grid=[1, 3])
    write_checkpoint(read_checkpoint(tmp_path / "m"), tmp_path / "copy", Layout.ours)
    copied, original = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("copy", "m"))
    assert copied == original


def test_views_are_stored_by_themselves(tmp_path: Path) -> None:
    model = random_dit()
    flat = torch.cat([v.flatten() for v in model.state_dict().values()])
    parts = flat.split([v.numel() for v in model.state_dict().values()])
    state = {k: p.view(v.shape) for (k, v), p in zip(model.state_dict().items(), parts, strict=True)}
    torch.save(state, tmp_path / "flat.pt")
    found = read_checkpoint(tmp_path / "flat.pt", heads=4)
    for layout in (Layout.ours, Layout.official):
        write_checkpoint(found, tmp_path / layout, layout)
        assert same(read_checkpoint(tmp_path / layout, heads=4).state, model.state_dict())
    assert (tmp_path / "official").stat().st_size < 1.5 * 4 * flat.numel()
