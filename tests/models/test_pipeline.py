"""Stable Diffusion from a folder, the hub's cache and one file."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.models.convert import write_pipeline
from ssdbench.models.parts import ENCODER, INDEX, SCHEDULER, TOKENIZER, UNET, VAE
from ssdbench.models.unet import build_unet, load_unet
from tests.models.sd_toy import SHAPE
from tests.models.sd_toy import write_pipeline as write_toy

# diffusers' names of a UNet of two levels and one residual block a level, and the published code's.
BLOCKS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.upsamplers.0": "output_blocks.1.1",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.attentions.0": "output_blocks.2.1",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "up_blocks.1.attentions.1": "output_blocks.3.1",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def published_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        [block] = [block for block in BLOCKS if name.startswith(f"{block}.")]
        rest = name.removeprefix(f"{block}.")
        if "resnets" in block:
            part, _, kind = rest.rpartition(".")
            rest = f"{RESIDUAL[part]}.{kind}"
        renamed[f"model.diffusion_model.{BLOCKS[block]}.{rest}"] = tensor
    assert len(renamed) == len(state)
    return renamed


def test_one_file_is_read_without_the_hub(tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet = build_unet(SHAPE)
    file = tmp_path / "v1.safetensors"
    save_file(published_names(unet.state_dict()), file)
    found = load_unet(file, SHAPE).state_dict()
    assert all(torch.equal(found[name], value) for name, value in unet.state_dict().items())
    assert write_pipeline(str(file), tmp_path / "written", SHAPE) == ([UNET], "")
    assert load_unet(tmp_path / "written", SHAPE).config["cross_attention_dim"] == SHAPE.text_width
    (tmp_path / "none.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="it is a text that begins with 'nothing'"):
        load_unet(tmp_path / "none.safetensors", SHAPE)
    with pytest.raises(InputError, match="there is no such checkpoint"):
        load_unet(tmp_path / "nowhere.ckpt", SHAPE)


def test_a_pipelines_folder_is_copied(tmp_path: Path) -> None:
    source = write_toy(tmp_path / "pipeline")
    parts, _ = write_pipeline(str(source), tmp_path / "copy", SHAPE)
    assert set(parts) == {UNET, VAE, ENCODER, TOKENIZER, SCHEDULER}
    assert (tmp_path / "copy" / INDEX).is_file()
    with pytest.raises(InputError, match="expected a pipeline's folder with unet"):
        write_pipeline(str(source / VAE), tmp_path / "other", SHAPE)


@pytest.mark.parametrize("name", ["hub:one", "hub:a/b/c", "hub:/b"])
def test_malformed_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(f"{name}: expected hub:OWNER/NAME")):
        write_pipeline(name, tmp_path / "x", SHAPE)


def test_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError) as caught:
        write_pipeline("hub:someone/some-model", tmp_path / "x", SHAPE)
    message = str(caught.value)
    for said in ("HF_HUB_OFFLINE is set", "hf download someone/some-model", "HF_HOME"):
        assert said in message
    assert not (tmp_path / "x").exists()
