from pathlib import Path

import pytest
import torch

from ssdbench.errors import InputError
from ssdbench.models.vae import Autoencoder, build_vae, latent_scale, to_float, to_uint8


def test_uint8_goes_to_float_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    assert torch.equal(to_uint8(to_float(pixels)), pixels)


def test_rounding_is_the_published_one() -> None:
    # truncate(127.5 x + 128), so that -1 is 0 (not -0.5 rounded), 0 is 128 and everything above 1 is 255
    images = torch.tensor([-1.0, 0.0, 0.999, 1.0, 7.0]).reshape(1, 1, 1, 5)
    assert to_uint8(images).flatten().tolist() == [0, 128, 255, 255, 255]


def test_latents_have_unit_variance_and_come_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = build_vae((8, 8, 8), image_channels=1)
    pixels = torch.randint(0, 256, (16, 32, 32, 1), dtype=torch.uint8)
    vae.register_to_config(scaling_factor=latent_scale(vae, pixels.numpy()))
    vae.save_pretrained(tmp_path)
    loaded = Autoencoder(tmp_path)
    mean, std = loaded.encode(pixels)
    assert mean.shape == std.shape == (16, 4, 8, 8)
    assert mean.std() == pytest.approx(1.0, rel=1e-4)
    with torch.no_grad():
        expected = to_uint8(vae.decode(vae.encode(to_float(pixels)).latent_dist.mean).sample)
    assert (loaded.decode(mean).int() - expected.int()).abs().max() <= 1
    with pytest.raises(InputError, match="3 channels, the autoencoder takes 1"):
        loaded.encode(pixels.expand(-1, -1, -1, 3))


def test_a_folder_that_is_no_autoencoder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: cannot be read"):
        Autoencoder(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "UNet"}')
    with pytest.raises(InputError, match="is of a 'UNet', expected AutoencoderKL"):
        Autoencoder(tmp_path)
