"""Networks with a second time: the same until it is trained, and saved, loaded, fused and compiled as others are."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Counted, Guided
from ssdbench.errors import InputError
from ssdbench.models.checkpoint import load_dit, save_dit
from ssdbench.models.compiled import Compiled
from ssdbench.models.conditional import Conditional
from ssdbench.models.convert import write_checkpoint
from ssdbench.models.dit import DiT
from ssdbench.models.dit_files import find_fitting, read_checkpoint
from ssdbench.models.official import Layout
from ssdbench.models.precision import computing, round_products
from ssdbench.models.times import SecondTime, stretch
from ssdbench.models.unet import UNetDenoiser, build_unet, load_unet_denoiser, save_unet_denoiser
from ssdbench.training.fusion import block_points, fusing, recording
from tests.models.sd_toy import SHAPE as UNET
from tests.models.toy import SMALL, inputs, random_dit, same

WIDE, WIDE_UNET = replace(SMALL, second_time=True), replace(UNET, second_time=True)
R = torch.tensor([0, 999, 500, 3, 4, 5, 6, 7])


def widened(path: Path) -> tuple[DiT, DiT]:
    """A DiT, and what is made of its weights where a second time is expected."""
    narrow = random_dit()
    save_dit(narrow, path)
    return narrow, load_dit(path, WIDE).eval()


def trained(model: Conditional) -> Conditional:
    """With a second time that does something."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "r_embedder" in name or "cond_proj" in name:
                nn.init.normal_(parameter, std=0.2)
    return model


def test_a_new_second_time_changes_no_bit_of_the_output(tmp_path: Path) -> None:
    narrow, wide = widened(tmp_path)
    x, t, y = inputs(SMALL)
    expected = narrow(x, t, y)
    for r in (None, t, R):
        assert torch.equal(wide(x, t, y, r), expected)
    assert not torch.equal(trained(wide)(x, t, y, r=R), expected)


def test_so_of_a_unet(tmp_path: Path) -> None:
    torch.manual_seed(0)
    narrow = UNetDenoiser(build_unet(UNET).eval(), UNET)
    save_unet_denoiser(narrow, tmp_path)
    wide = load_unet_denoiser(tmp_path, WIDE_UNET, "", None).eval()
    x, t = torch.randn(4, 4, 8, 8), torch.tensor([0, 10, 500, 999])
    text = torch.randn(4, *UNET.texts)
    expected = narrow(x, t, text)
    for r in (None, R[:4]):
        assert torch.equal(wide(x, t, text, r), expected)
    changed = trained(wide)(x, t, text, r=R[:4])
    assert not torch.equal(changed, expected)
    save_unet_denoiser(wide, tmp_path / "trained")
    again = load_unet_denoiser(tmp_path / "trained", WIDE_UNET, "", None).eval()
    assert torch.equal(again(x, t, text, r=R[:4]), changed)
    with pytest.raises(InputError, match=r"unknown time_embedding\.cond_proj\.weight"):
        load_unet_denoiser(tmp_path / "trained", UNET, "", None)
    with pytest.raises(InputError, match="no second time"):
        narrow(x, t, text, r=t)


def test_a_new_unet_begins_without_a_second_time_and_has_the_tensors_that_its_shape_says() -> None:
    torch.manual_seed(0)
    unet = build_unet(WIDE_UNET)
    assert not unet.time_embedding.cond_proj.weight.any()
    sizes = {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
    assert sizes == {name: tuple(header.shape) for name, header in WIDE_UNET.tensors().items()}


def test_a_dit_has_the_tensors_that_its_shape_says() -> None:
    sizes = {name: tuple(tensor.shape) for name, tensor in DiT(WIDE).state_dict().items()}
    assert sizes == {name: tuple(header.shape) for name, header in WIDE.tensors().items()}
    assert WIDE.forward_flops() - SMALL.forward_flops() == 2 * (48 * 256 + 48 * 48)


def test_a_new_model_with_a_second_time_has_the_weights_of_one_without() -> None:
    torch.manual_seed(3)
    narrow = DiT(SMALL).state_dict()
    torch.manual_seed(3)
    wide = DiT(WIDE).state_dict()
    assert same(narrow, {name: wide[name] for name in narrow})


def test_copies_of_a_model_begin_as_equals_whatever_the_generator(tmp_path: Path) -> None:
    _, first = widened(tmp_path)
    torch.manual_seed(99)
    second = load_dit(tmp_path, WIDE)
    assert same(first.state_dict(), second.state_dict())
    assert first.r_embedder is not None
    inner, last = first.r_embedder.mlp[0], first.r_embedder.mlp[2]
    assert not any(part.any() for part in (inner.bias, last.weight, last.bias))
    hidden = inner(torch.cat([torch.ones(1, 128), torch.zeros(1, 128)], dim=1))  # of a step of length 0
    assert 0.7 < hidden.std() < 1.3


def test_it_is_saved_and_loaded_with_its_config(tmp_path: Path) -> None:
    _, wide = widened(tmp_path / "narrow")
    trained(wide)
    save_dit(wide, tmp_path / "wide")
    assert json.loads((tmp_path / "wide" / "config.json").read_text())["second_time"] is True
    assert "second_time" not in json.loads((tmp_path / "narrow" / "config.json").read_text())
    again = load_dit(tmp_path / "wide", WIDE)
    assert same(again.state_dict(), wide.state_dict())
    assert find_fitting(tmp_path / "wide", WIDE, "").shape == WIDE
    other = replace(WIDE, input_size=16)
    assert load_dit(tmp_path / "wide", other).shape == other
    with pytest.raises(InputError, match="holds a network with a second time, expected one without"):
        load_dit(tmp_path / "wide", SMALL)


@pytest.mark.parametrize("layout", [Layout.official, Layout.diffusers])
def test_other_layouts_have_no_place_for_it(tmp_path: Path, layout: Layout) -> None:
    _, wide = widened(tmp_path / "narrow")
    save_dit(wide, tmp_path / "wide")
    found = read_checkpoint(tmp_path / "wide")
    with pytest.raises(InputError, match=f"second time, for which the layout {layout.value} has no place"):
        write_checkpoint(found, tmp_path / "there", layout)
    write_checkpoint(found, tmp_path / "ours", Layout.ours, "float16")
    assert load_dit(tmp_path / "ours", WIDE).shape == WIDE


def test_a_published_file_gets_one(tmp_path: Path) -> None:
    narrow = random_dit()
    torch.save(narrow.state_dict(), tmp_path / "published.pt")
    wide = load_dit(tmp_path / "published.pt", WIDE)
    x, t, y = inputs(SMALL)
    assert torch.equal(wide(x, t, y, r=R), narrow(x, t, y))


def test_a_network_without_one_refuses_it() -> None:
    x, t, y = inputs(SMALL)
    with pytest.raises(InputError, match="no second time"):
        random_dit()(x, t, y, r=t)


def test_what_is_embedded_is_the_length_of_the_step_and_nothing_else() -> None:
    t, r = torch.tensor([0.0, 0.25, 1.0, 0.5]), torch.tensor([1.0, 0.5, 0.5, 0.5])
    torch.testing.assert_close(
        stretch(t, r), torch.tensor([math.log2(129), math.log2(33), math.log2(65), 0.0])
    )
    assert torch.equal(stretch(t, r), stretch(r, t))
    assert torch.equal(stretch(t, None), stretch(t, t))
    assert stretch(torch.tensor([999]), torch.tensor([-1])).dtype == torch.float32
    embedder = trained_embedder()
    torch.testing.assert_close(embedder(t, r)[1], embedder(torch.tensor([0.75]), torch.tensor([0.5]))[0])


def test_the_derivative_by_time_stays_small_where_meanflow_multiplies_it_by_the_length() -> None:
    length = torch.logspace(-6, 0, 200, dtype=torch.float64).requires_grad_()
    stretch(torch.zeros_like(length), length).sum().backward()
    assert (length * length.grad).max() < 1 / math.log(2)


def trained_embedder() -> SecondTime:
    torch.manual_seed(0)
    embedder = SecondTime(8)
    nn.init.normal_(embedder.mlp[2].weight)
    return embedder


def test_it_goes_through_guidance_counting_compiling_precision_and_fusion(tmp_path: Path) -> None:
    _, wide = widened(tmp_path)
    trained(wide)
    x, t, y = inputs(SMALL)
    null = wide.null.expand_as(y)
    plain, unconditional = wide(x, t, y, r=R), wide(x, t, null, r=R)
    counted = Counted(Guided(Compiled(deepcopy(wide), "cpu", "eager"), wide.null, 2.0))
    guided = unconditional + 2.0 * (plain - unconditional)
    torch.testing.assert_close(counted(x, t, y, r=R)[:, :4], guided[:, :4], rtol=1e-4, atol=1e-4)
    counted.expect(1)
    points = block_points(wide, [2])
    with recording(points) as states:
        wide(x, t, y)
    with fusing(points, states, 1.0):
        fused = wide(x, t, y, r=R)
    assert not torch.allclose(fused, plain)  # what follows the block is still told where the step leads
    assert not torch.allclose(fused, wide(x, t, y))
    with computing("cpu", "bfloat16"):
        round_products(wide)
        rounded: Tensor = wide(x, t, y, r=R)
    assert 0 < (rounded.float() - plain).abs().max() < 0.1 * plain.abs().max()
