"""Stable Diffusion in one file: its names, and which of two sets of weights is taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.models.convert import write_pipeline
from ssdbench.models.unet import build_unet, load_unet
from ssdbench.models.unet_files import find_unet, published
from ssdbench.suite.catalog import MODELS

from .sd_toy import SHAPE
from .test_pipeline import published_names
from .toy import same

State = dict[str, Tensor]
START = "model.diffusion_model."


def weights(seed: int) -> State:
    torch.manual_seed(seed)
    return build_unet(SHAPE).state_dict()


RAW, AVERAGE = weights(1), weights(2)


def squeezed(state: State) -> State:
    """As the published code keeps its moving average: names without dots, and the counters of the decay."""
    named = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): tensor
        for name, tensor in published_names(state).items()
    }
    return named | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(10)}


def others() -> State:
    """The autoencoder and the text encoder, which lie in the same file, and what the sampler is made of."""
    return {
        "first_stage_model.encoder.conv_in.weight": torch.ones(2),
        "first_stage_model.encoder.down.0.block.0.norm1.weight": torch.ones(2),
        "cond_stage_model.transformer.text_model.final_layer_norm.bias": torch.ones(2),
        "betas": torch.ones(5),
    }


BOTH = published_names(RAW) | squeezed(AVERAGE) | others()


@pytest.mark.parametrize(
    "shape", [SHAPE, MODELS["SD v1.5"].shapes[512], replace(SHAPE, channels=(8, 16, 24), layers=3)]
)
def test_published_names_are_those_that_diffusers_reads(shape: object) -> None:
    """Each tensor under its published name comes out of diffusers' own converter under the name it had."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    assert not isinstance(shape, str)
    names = list(shape.tensors())
    stored = {START + published(name, shape): i for i, name in enumerate(names)}
    assert len(stored) == len(names)
    config = {"layers_per_block": shape.layers, "class_embed_type": None, "addition_embed_type": None}
    assert convert_ldm_unet_checkpoint(dict(stored), config) == {name: i for i, name in enumerate(names)}


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_of_two_sets_the_average_is_taken_unless_the_setting_says_otherwise(
    tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"v1.{suffix}"
    if suffix == "ckpt":
        torch.save({"state_dict": BOTH, "global_step": 840_000, "callbacks": {}}, file)
    else:
        save_file(BOTH, file)
    start = "state_dict." if suffix == "ckpt" else ""
    for part, state, taken, left in (
        ("", AVERAGE, "model_ema", "model.diffusion_model"),
        (f"{start}model_ema", AVERAGE, "model_ema", "model.diffusion_model"),
        (f"{start}model.diffusion_model", RAW, "model.diffusion_model", "model_ema"),
    ):
        found = find_unet(file, SHAPE, part)
        assert found.part == start + taken
        assert (
            found.note
            == f"{file}: the weights under '{start}{taken}' are taken, not those under '{start}{left}'"
        )
        assert same(load_unet(file, SHAPE, part).state_dict(), state)
    with pytest.raises(InputError, match=r"no one set of weights called 'ema' \(the setting 'weights'\)"):
        find_unet(file, SHAPE, "ema")


@pytest.mark.parametrize("before", ["", "module.", "state_dict."])
def test_the_only_set_needs_no_choice_and_no_key(tmp_path: Path, before: str) -> None:
    save_file({before + name: t for name, t in (published_names(RAW) | others()).items()}, tmp_path / "x")
    found = find_unet(tmp_path / "x", SHAPE)
    assert found.part == ""
    assert bool(found.note) == bool(before)
    assert same(load_unet(tmp_path / "x", SHAPE).state_dict(), RAW)


def test_bare_names_of_either_kind(tmp_path: Path) -> None:
    save_file({name.removeprefix(START): t for name, t in published_names(RAW).items()}, tmp_path / "x")
    save_file({f"_orig_mod.{name}": t for name, t in RAW.items()}, tmp_path / "y")
    for name in ("x", "y"):
        assert same(load_unet(tmp_path / name, SHAPE).state_dict(), RAW)


@pytest.mark.parametrize("what", ["raw", "average"])
def test_of_each_set_all_that_does_not_fit_is_listed(tmp_path: Path, what: str) -> None:
    state = dict(BOTH)
    if what == "raw":
        part, lost, wrong = "model.diffusion_model", f"{START}time_embed.0.bias", f"{START}out.2.bias"
        state[f"{START}label_emb.weight"] = torch.ones(1)
    else:
        part, lost, wrong = (
            "",
            "model_ema.diffusion_modeltime_embed0bias",
            "model_ema.diffusion_modelout2bias",
        )
    del state[lost]
    state[wrong] = torch.ones(5)
    save_file(state, tmp_path / "x")
    with pytest.raises(InputError) as caught:
        find_unet(tmp_path / "x", SHAPE, part)
    expected = {
        "  missing time_embedding.linear_1.bias (32,)",
        "  conv_out.bias has shape (5,), expected (4,)",
    }
    if what == "raw":
        expected.add(f"  unknown {START}label_emb.weight")
    assert set(str(caught.value).splitlines()[1:]) == expected


def test_a_control_network_beside_is_another_set(tmp_path: Path) -> None:
    control = {
        name.replace("model.diffusion_model", "control_model"): t
        for name, t in published_names(AVERAGE).items()
    }
    save_file(published_names(RAW) | control, tmp_path / "x")
    with pytest.raises(InputError, match=r"2 sets of weights: .*'model\.diffusion_model'"):
        find_unet(tmp_path / "x", SHAPE)
    assert same(load_unet(tmp_path / "x", SHAPE, "model").state_dict(), RAW)


def test_converting_says_which(tmp_path: Path) -> None:
    save_file(BOTH, tmp_path / "x")
    for part, state in (("", AVERAGE), ("model.diffusion_model", RAW)):
        written, note = write_pipeline(str(tmp_path / "x"), tmp_path / f"p{part}", SHAPE, part)
        assert written == ["unet"]
        assert note
        assert same(load_unet(tmp_path / f"p{part}", SHAPE).state_dict(), state)


def test_a_file_without_a_unet_is_refused(tmp_path: Path) -> None:
    save_file(others(), tmp_path / "x")
    with pytest.raises(InputError, match=r"holds 4 tensors \(.*\), none of them called input_blocks"):
        find_unet(tmp_path / "x", SHAPE)
