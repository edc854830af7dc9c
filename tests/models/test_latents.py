"""Autoencoders as they are published: what their configs say of the latents, and their older names of tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ssdbench.errors import InputError
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.inspection import BATCH, Latents, read_latents
from ssdbench.models.vae import Autoencoder, build_vae, to_float, to_uint8

prepare_torchvision()
from diffusers import AutoencoderKL  # noqa: E402

GOLDEN = Path(__file__).parent.parent / "golden" / "sd-vae-ft-ema.config.json"
WEIGHTS = "diffusion_pytorch_model"
# What the published files call the parts of an attention, and what diffusers calls them since.
OLDER = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def toy(folder: Path, **config: Any) -> Path:
    """A small autoencoder whose config has these entries beside its own; None leaves one out."""
    torch.manual_seed(0)
    build_vae((8, 8), image_channels=3).save_pretrained(folder)
    found = json.loads((folder / "config.json").read_text()) | config
    found = {name: value for name, value in found.items() if value != "absent"}
    (folder / "config.json").write_text(json.dumps(found))
    return folder


def published(folder: Path, **config: Any) -> tuple[Path, dict[str, Tensor]]:
    """The published config, to the byte but for its widths, and weights in the names of its time."""
    content = json.loads(GOLDEN.read_text()) | {"block_out_channels": [32, 32, 64, 64]} | config
    torch.manual_seed(0)
    model = AutoencoderKL.from_config(content)
    state = model.state_dict()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(content, indent=2))
    older = {}
    for name, tensor in state.items():
        for new, old in OLDER.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        older[name] = tensor.clone()
    assert older.keys() != state.keys()
    return folder, older


def test_the_published_config_to_the_byte(tmp_path: Path) -> None:
    assert GOLDEN.stat().st_size == 547
    shutil.copyfile(GOLDEN, tmp_path / "config.json")
    assert read_latents(tmp_path) == Latents(0.18215, (), (), channels=4, factor=8)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_published_weights_in_their_older_names(tmp_path: Path, suffix: str) -> None:
    folder, state = published(tmp_path / "vae")
    if suffix == "bin":
        torch.save(state, folder / f"{WEIGHTS}.bin")
    else:
        save_file(state, folder / f"{WEIGHTS}.safetensors", metadata={"format": "pt"})
    found = Autoencoder(folder)
    assert found.scale == 0.18215
    attention = found.model.state_dict()["encoder.mid_block.attentions.0.to_q.weight"]
    assert torch.equal(attention, state["encoder.mid_block.attentions.0.query.weight"])
    # Everything is there: the model is what diffusers makes of the same file.
    theirs = AutoencoderKL.from_pretrained(folder).state_dict()
    assert all(torch.equal(value, found.model.state_dict()[name]) for name, value in theirs.items())
    mean, _ = found.encode(torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8))
    assert mean.shape == (2, 4, 4, 4)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_older_attentions_without_a_tensor_are_refused(tmp_path: Path, suffix: str) -> None:
    folder, state = published(tmp_path / "vae")
    del state["decoder.mid_block.attentions.0.proj_attn.weight"]
    if suffix == "bin":
        torch.save(state, folder / f"{WEIGHTS}.bin")
    else:
        save_file(state, folder / f"{WEIGHTS}.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        InputError, match=r"missing decoder\.mid_block\.attentions\.0\.(to_out\.0|proj_attn)\.weight"
    ):
        Autoencoder(folder)


def test_what_a_config_leaves_out_is_diffusers_own_default(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    found, theirs = read_latents(tmp_path), AutoencoderKL().config
    assert found.scale == theirs.scaling_factor
    assert found.channels == theirs.latent_channels
    assert found.factor == 2 ** (len(theirs.block_out_channels) - 1)
    assert (theirs.shift_factor, theirs.latents_mean, theirs.latents_std) == (None, None, None)


def test_shift_and_scale_are_those_of_the_pipelines(tmp_path: Path) -> None:
    # StableDiffusion3Pipeline: decode(latents / scaling_factor + shift_factor), encode: (z - shift) * scale.
    found = Autoencoder(toy(tmp_path, scaling_factor=1.5305, shift_factor=0.0609))
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    posterior = found.model.encode(to_float(pixels)).latent_dist
    mean, std = found.encode(pixels)
    torch.testing.assert_close(mean, (posterior.mean - 0.0609) * 1.5305)
    torch.testing.assert_close(std, posterior.std * 1.5305)
    expected = to_uint8(found.model.decode(mean / 1.5305 + 0.0609).sample)
    assert (found.decode(mean).int() - expected.int()).abs().max() <= 1


def test_means_and_deviations_of_channels_are_those_of_the_pipelines(tmp_path: Path) -> None:
    # StableDiffusionXLPipeline: latents * latents_std / scaling_factor + latents_mean before decoding.
    mean, std = [0.5, -1.0, 2.0, 0.0], [1.0, 2.0, 0.5, 4.0]
    found = Autoencoder(toy(tmp_path, scaling_factor=0.5, latents_mean=mean, latents_std=std))
    m, s = (torch.tensor(values).reshape(1, 4, 1, 1) for values in (mean, std))
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    posterior = found.model.encode(to_float(pixels)).latent_dist
    latents, deviations = found.encode(pixels)
    torch.testing.assert_close(latents, (posterior.mean - m) * 0.5 / s)
    torch.testing.assert_close(deviations, posterior.std * 0.5 / s)
    expected = to_uint8(found.model.decode(latents * s / 0.5 + m).sample)
    assert (found.decode(latents).int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scaling_factor": None}, "scaling_factor is None, expected a positive number"),
        ({"scaling_factor": 0}, "scaling_factor is 0, expected a positive number"),
        ({"scaling_factor": True}, "scaling_factor is True"),
        ({"scaling_factor": float("nan")}, "scaling_factor is nan"),
        ({"scaling_factor": 10**400}, "scaling_factor is 1000"),
        ({"scaling_factor": "1"}, "scaling_factor is '1'"),
        ({"shift_factor": "0.1"}, "shift_factor is '0.1', expected a number"),
        ({"shift_factor": float("inf")}, "shift_factor is inf"),
        ({"latents_mean": [0.0] * 4}, "latents_mean is given alone"),
        ({"latents_std": [1.0] * 4}, "latents_std is given alone"),
        (
            {"latents_mean": [0.0] * 3, "latents_std": [1.0] * 4},
            r"latents_mean is .*each of 4 latent channels",
        ),
        (
            {"latents_mean": [0.0] * 4, "latents_std": [1.0, 1.0, 0.0, 1.0]},
            "latents_std is .*expected positive",
        ),
        (
            {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4, "shift_factor": 0.1},
            "shift_factor and latents_mean are both given",
        ),
        ({"latent_channels": "4"}, "latent_channels is '4', expected a positive whole number"),
        ({"block_out_channels": []}, r"block_out_channels is \[\]"),
    ],
)
def test_wrong_values_are_refused_by_name(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    folder = toy(tmp_path, **config)
    for read in (read_latents, Autoencoder):
        with pytest.raises(InputError, match=rf"config\.json: (?s:.*){message}"):
            read(folder)


def test_a_null_shift_and_no_scale_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    folder = toy(tmp_path, scaling_factor="absent", shift_factor=None, latents_mean=None, latents_std=None)
    assert read_latents(folder) == Latents(0.18215, (), (), channels=4, factor=2)


@pytest.mark.parametrize("side", [4, 16])
def test_an_image_does_not_depend_on_those_beside_it(tmp_path: Path, side: int) -> None:
    found = Autoencoder(toy(tmp_path))
    torch.manual_seed(1)
    latents = torch.randn(9, 4, side, side)
    whole = found.decode(latents)
    pixels = torch.randint(0, 256, (9, side, side, 3), dtype=torch.uint8)
    mean, std = found.encode(pixels)
    for size in (1, 2, 7):
        parts = [found.decode(part) for part in latents.split(size)]
        assert torch.equal(torch.cat(parts), whole), size
        moments = [found.encode(part) for part in pixels.split(size)]
        assert torch.equal(torch.cat([part[0] for part in moments]), mean), size
        assert torch.equal(torch.cat([part[1] for part in moments]), std), size


def test_large_images_go_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, seen = Autoencoder(toy(tmp_path)), []

    def decode(z: Tensor) -> SimpleNamespace:
        seen.append(len(z))
        return SimpleNamespace(sample=torch.zeros(len(z), 3, 2 * z.shape[2], 2 * z.shape[3]))

    monkeypatch.setattr(found.model, "decode", decode)
    for side, sizes in ((16, [BATCH, BATCH]), (64, [25, 25]), (128, [6] * 5), (256, [1] * 30)):
        seen.clear()
        assert len(found.decode(torch.zeros(30, 4, side, side))) == 30
        assert seen == sizes
