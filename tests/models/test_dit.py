import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ssdbench.diffusion.denoiser import Guided
from ssdbench.errors import InputError
from ssdbench.models.checkpoint import load_dit, save_dit
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape, dit_shape

GOLDEN = Path(__file__).parent.parent / "golden"
GOLDEN_SHAPE = DiTShape(width=48, depth=3, heads=4, input_size=8, num_classes=10)


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return {
        k: torch.from_numpy(v) for k, v in np.load(GOLDEN / "dit_forward_and_ddim.npz").items() if v.shape
    }


def test_the_forward_pass_equals_the_published_code(golden: dict[str, torch.Tensor]) -> None:
    model = load_dit(GOLDEN / "dit_official_layout.pt", GOLDEN_SHAPE)
    with torch.no_grad():
        found = model(golden["x"], golden["t"], golden["y"])
    assert (found - golden["out"]).abs().max() < 1e-5


def test_guided_output_equals_the_published_code(golden: dict[str, torch.Tensor]) -> None:
    model = load_dit(GOLDEN / "dit_official_layout.pt", GOLDEN_SHAPE)
    with torch.no_grad():
        found = Guided(model, model.null, 1.5, 3)(golden["z"], torch.full((3,), 333), golden["labels"])
    assert (found - golden["cfg_out"][:3]).abs().max() < 1e-5


@pytest.mark.parametrize(("size", "millions"), [("S", 33.0), ("B", 130.5), ("L", 458.1), ("XL", 675.1)])
def test_parameter_counts_are_the_published_ones(size: str, millions: float) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in _on_meta(dit_shape(size, 2)).parameters())
    assert round(count / 1e6, 1) == millions


def _on_meta(shape: DiTShape) -> nn.Module:
    return DiT(shape)


def _linear_flops(x: Sequence[int], weight: Sequence[int], *rest: object, **named: object) -> int:
    return 2 * math.prod(x) * weight[0]


@pytest.mark.parametrize("shape", [GOLDEN_SHAPE, DiTShape(64, 2, 4, 4, 16, 4, 10, False)])
def test_planned_flops_are_those_that_run(shape: DiTShape) -> None:
    model = DiT(shape)
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.mkldnn._linear_pointwise: _linear_flops}
    )
    with counter, torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        model(
            torch.randn(1, 4, shape.input_size, shape.input_size),
            torch.zeros(1),
            torch.zeros(1, dtype=torch.int64),
        )
    assert shape.forward_flops() == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_a_saved_model_comes_back_bit_for_bit(tmp_path: Path) -> None:
    model = DiT(GOLDEN_SHAPE)
    save_dit(model, tmp_path / "m")
    again = load_dit(tmp_path / "m", GOLDEN_SHAPE)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_a_checkpoint_that_does_not_fit_lists_what_is_wrong(tmp_path: Path) -> None:
    state = DiT(GOLDEN_SHAPE).state_dict()
    del state["x_embedder.proj.bias"]
    state["extra"] = torch.zeros(1)
    state["final_layer.linear.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(InputError) as error:
        load_dit(tmp_path / "bad.pt", GOLDEN_SHAPE)
    text = str(error.value)
    assert "missing x_embedder.proj.bias (48,)" in text
    assert "unknown extra" in text
    assert "final_layer.linear.bias has shape (3,), expected (32,)" in text


def test_a_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    save_dit(DiT(GOLDEN_SHAPE), tmp_path / "m")
    with pytest.raises(InputError, match="expected DiTShape"):
        load_dit(tmp_path / "m", DiTShape(64, 3, 4))


def test_a_model_moves_to_another_resolution(tmp_path: Path) -> None:
    model = DiT(GOLDEN_SHAPE)
    save_dit(model, tmp_path / "m")
    larger = replace(GOLDEN_SHAPE, input_size=16)
    moved = load_dit(tmp_path / "m", larger)
    assert torch.equal(moved.pos_embed, DiT(larger).pos_embed)
    assert torch.equal(moved.blocks[1].attn.qkv.weight, model.blocks[1].attn.qkv.weight)
    assert moved(torch.randn(1, 4, 16, 16), torch.tensor([5]), torch.tensor([1])).shape == (1, 8, 16, 16)


def test_code_hidden_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    torch.save({"ema": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        load_dit(tmp_path / "trap.pt", GOLDEN_SHAPE)
    assert not (tmp_path / "sprung").exists()


def test_an_archive_over_several_disks_is_refused(tmp_path: Path) -> None:
    """zipfile does not say that this is no archive, but raises."""
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 2)
    (tmp_path / "x.pt").write_bytes(bytes(56) + locator + b"PK\x05\x06" + bytes(18))
    with pytest.raises(InputError, match=r"x\.pt: cannot be read as a checkpoint.*multiple disks"):
        load_dit(tmp_path / "x.pt", GOLDEN_SHAPE)


@pytest.mark.parametrize("name", ["missing.pt", "noise.pt"])
def test_files_that_are_no_checkpoints(tmp_path: Path, name: str) -> None:
    (tmp_path / "noise.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=name):
        load_dit(tmp_path / name, GOLDEN_SHAPE)
