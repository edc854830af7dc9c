"""Weights that do not fill a model are refused with a list: diffusers itself would leave the rest at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssdbench.errors import InputError
from ssdbench.models.configs import implausible
from ssdbench.models.text import TextEncoder
from ssdbench.models.unet import build_unet, load_unet
from ssdbench.models.vae import Autoencoder, build_vae

from .sd_toy import SHAPE, write_pipeline
from .test_pipeline import published_names

WEIGHTS = "diffusion_pytorch_model.safetensors"
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    build_vae((8, 8), 1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unet")
    build_unet(SHAPE).save_pretrained(folder)
    return folder


def changed(source: Path, target: Path, change: Callable[[State], object], name: str = WEIGHTS) -> Path:
    """A copy whose weights are changed."""
    target.mkdir()
    (target / "config.json").write_bytes((source / "config.json").read_bytes())
    state = load_file(source / name)
    change(state)
    save_file(state, target / name, metadata={"format": "pt"})
    return target


CHANGES: dict[str, tuple[Callable[[State], object], str]] = {
    "missing": (lambda state: state.pop("conv_in.bias"), "missing conv_in.bias") ,
    "unknown": (lambda state: state.update(other=torch.ones(1)), "unknown other"),
    "misshapen": (lambda state: state.update({"conv_in.bias": torch.ones(3)}), "conv_in.bias"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_of_a_unet(unet: Path, tmp_path: Path, what: str) -> None:
    change, message = CHANGES[what]
    with pytest.raises(InputError, match=message) as error:
        load_unet(changed(unet, tmp_path / "m", change), SHAPE)
    assert str(tmp_path / "m") in str(error.value)


@pytest.mark.parametrize("what", CHANGES)
def test_of_an_autoencoder(vae: Path, tmp_path: Path, what: str) -> None:
    change, message = CHANGES[what]
    encoder: dict[str, Callable[[State], object]] = {
        "missing": lambda state: state.pop("encoder.conv_in.bias"),
        "misshapen": lambda state: state.update({"encoder.conv_in.bias": torch.ones(3)}),
    }
    with pytest.raises(InputError, match=message.replace("conv_in", "encoder.conv_in")) as error:
        Autoencoder(changed(vae, tmp_path / "m", encoder.get(what, change)))
    assert str(tmp_path / "m") in str(error.value)


INNER = ("down_blocks.0.resnets.0.norm1.bias", "mid_block.resnets.0.conv1.weight")


def test_of_a_unet_in_one_file(unet: Path, tmp_path: Path) -> None:
    """diffusers would leave these as they are initialised, and say nothing."""
    state = load_file(unet / WEIGHTS)
    save_file(published_names({k: v for k, v in state.items() if k not in INNER}), tmp_path / "x.safetensors")
    with pytest.raises(InputError) as error:
        load_unet(tmp_path / "x.safetensors", SHAPE)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{tmp_path / 'x.safetensors'}: does not fit the model:"
    assert lines[1:] == [f"  missing {name} {tuple(state[name].shape)}" for name in INNER]


def test_a_misshapen_tensor_of_a_unet_in_one_file(unet: Path, tmp_path: Path) -> None:
    folder = changed(unet, tmp_path / "m", lambda state: state.update({"conv_in.bias": torch.ones(3)}))
    with pytest.raises(InputError, match=r"(?s)m/diffusion_pytorch_model\.safetensors: .*conv_in\.bias"):
        load_unet(folder / WEIGHTS, SHAPE)


def test_a_whole_file_gives_the_same_unet(unet: Path) -> None:
    found, expected = load_unet(unet / WEIGHTS, SHAPE), load_unet(unet, SHAPE)
    assert type(found) is type(expected)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in expected.state_dict().items())


def test_of_a_text_encoder(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path / "sd")
    TextEncoder(pipeline)
    path = pipeline / "text_encoder" / "model.safetensors"
    state = load_file(path)
    name = next(name for name in state if "layers.1.mlp.fc1.weight" in name)
    save_file({k: v for k, v in state.items() if k != name}, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"missing .*layers\.1\.mlp\.fc1\.weight") as error:
        TextEncoder(pipeline)
    assert str(pipeline) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers_per_block": 10**9}, "layers_per_block is 1000000000, expected at most 64"),
        ({"block_out_channels": [8] * 1000}, "block_out_channels has 1,000 entries"),
        ({"latent_channels": 10**12}, "latent_channels is 1000000000000"),
        ({"scaling_factor": "1"}, "scaling_factor is '1', expected a positive number"),
        ({"scaling_factor": None}, "scaling_factor is None"),
        ({"act_fn": "os.system"}, "no AutoencoderKL can be made of it"),
        ({"down_block_types": ["../x"]}, "no AutoencoderKL can be made of it"),
    ],
)
def test_configs_that_would_take_all_memory_or_none(
    vae: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = changed(vae, tmp_path / "m", lambda state: None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match=message) as error:
        Autoencoder(folder)
    assert "config.json" in str(error.value)


def test_a_config_larger_than_the_weights_takes_no_memory(vae: Path, tmp_path: Path) -> None:
    folder = changed(vae, tmp_path / "m", lambda state: None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"block_out_channels": [20_000, 20_000]}))
    with pytest.raises(InputError, match=r"conv_in\.bias has shape \(8,\), expected \(20000,\)") as error:
        Autoencoder(folder)
    assert str(folder) in str(error.value)


def test_no_published_config_is_implausible() -> None:
    # Stable Diffusion v1.5's, as far as their numbers go.
    unet = {"block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "cross_attention_dim": 768}
    text = {"vocab_size": 49_408, "num_hidden_layers": 12, "intermediate_size": 3072, "projection_dim": 768}
    vae = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "sample_size": 512}
    assert not [problem for config in (unet, text, vae) for problem in implausible(config)]
