"""Seeds of more than 32 bits: whatever a training starts with depends on all of them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tools.mini_text_encoder import write_text_encoder
from torch import Tensor

from ssdbench.methods.denoising import Align, Denoise
from ssdbench.methods.denoising_loss import Aligned
from ssdbench.models.catalog import load_denoiser
from ssdbench.models.dit import DiT
from ssdbench.models.vae import build_vae
from ssdbench.stages import Runtime, Source, TrainSpec, train
from ssdbench.stages.learning import make_objective, make_setup
from ssdbench.stages.train import Reconstruct

from .conftest import DATA, SHAPE, Tiny

LARGE = 2**32
RECONSTRUCT = Reconstruct(
    kind="reconstruct", dataset="fashion-mnist", data=DATA, resolution=32, channels=(8, 8), kl_weight=1e-6
)
ALIGN = Align(kind="align", layer=0, coeff=0.5, width=16)
STILL = {"steps": 1, "batch_size": 2, "lr": 1e-9}  # what is trained stays what it was


def trained(spec: TrainSpec, inputs: dict[str, Path], folder: Path) -> dict[str, Tensor]:
    output, scratch = folder / f"out{spec.seed}", folder / f"scratch{spec.seed}"
    for needed in (output, scratch):
        needed.mkdir()
    train.body(spec, inputs, output, Runtime(scratch))
    return load_file(output / "model/diffusion_pytorch_model.safetensors")


def random_ones(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those that a seed decides: of the others all values are alike."""
    return {
        name: value
        for name, value in tensors.items()
        if value.numel() > 1 and value.is_floating_point() and value.std() > 1e-3
    }


def test_a_model_from_scratch(tiny: Tiny, tmp_path: Path) -> None:
    found = {
        seed: trained(
            TrainSpec(objective=Denoise(kind="denoise"), shape=SHAPE, seed=seed, **STILL),
            {"data": tiny.latents},
            tmp_path,
        )
        for seed in (3, 3 + LARGE, 3 + 2 * LARGE)
    }
    torch.manual_seed(3)
    for name, value in DiT(SHAPE).state_dict().items():
        torch.testing.assert_close(found[3][name], value, rtol=0, atol=1e-6)
    random = random_ones(found[3])
    learnt = {name for name in random if "pos_embed" not in name}
    assert len(learnt) > 5
    for name in learnt:
        one, other, third = (found[seed][name] for seed in found)
        assert min((one - other).abs().max(), (other - third).abs().max()) > 1e-3, name


def test_an_autoencoder(tmp_path: Path) -> None:
    specs = [TrainSpec(objective=RECONSTRUCT, seed=seed, **STILL) for seed in (3, 3 + LARGE)]
    small, large = (trained(spec, {}, tmp_path) for spec in specs)
    torch.manual_seed(3)
    for name, value in build_vae((8, 8), 1, 4).state_dict().items():
        torch.testing.assert_close(small[name], value, rtol=0, atol=1e-6)
    random = random_ones(small)
    assert len(random) > 10
    assert all((small[name] - large[name]).abs().max() > 1e-3 for name in random)


def test_the_projector_of_an_alignment() -> None:
    heads = []
    for seed in (3, 3 + LARGE):
        spec = TrainSpec(objective=ALIGN, shape=SHAPE, flow=1, seed=seed, **STILL)
        objective = make_objective(spec, make_setup(spec, load_denoiser(None, SHAPE), None, "cpu", 12))
        assert isinstance(objective, Aligned)
        heads.append(objective.projector.state_dict())
    assert all(not torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_a_text_model_of_words(tmp_path: Path) -> None:
    for seed in (0, LARGE):
        write_text_encoder(tmp_path / str(seed), ["a", "b"], length=4, width=8, heads=2, seed=seed)
    small, large = (load_file(tmp_path / str(seed) / "text_encoder/model.safetensors") for seed in (0, LARGE))
    assert all((small[name] - large[name]).abs().max() > 1e-3 for name in random_ones(small))


@pytest.mark.parametrize("seed", [2**32 - 1, 2**32])
def test_only_the_keys_of_large_seeds_have_moved(seed: int) -> None:
    # What was trained of a large seed before took its lower bits alone: a store that has it must not pass it off.
    spec = TrainSpec(
        objective=Denoise(kind="denoise"),
        shape=SHAPE,
        weights=Source(digest="a" * 64, path="x"),
        seed=seed,
        **STILL,
    )
    plain = spec.model_dump(mode="json", exclude_defaults=True)
    assert (spec.canonical() == plain) == (seed < LARGE)
