"""Pipelines that are written for diffusers: loaded as they are, they sample what is sampled here, noise for noise."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Denoiser, Guided, Prediction
from ssdbench.diffusion.guidance import GuidanceSetting
from ssdbench.diffusion.schedule import Schedule, alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.models.checkpoint import load_dit, save_dit
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.dit_files import read_checkpoint
from ssdbench.models.pipelines import Sampled, write_dit_pipeline, write_unet_pipeline
from ssdbench.models.respaced import Walk, fit, scheduler_for
from ssdbench.models.shapes import DiTShape
from ssdbench.models.text import TextEncoder
from ssdbench.models.times import sinusoids
from ssdbench.models.unet import UNetDenoiser, load_unet
from ssdbench.models.vae import build_vae
from ssdbench.samplers.ddim import ddim, euler
from ssdbench.samplers.walks import end_of, flow_times, timesteps
from tests.models.sd_toy import SHAPE
from tests.models.sd_toy import write_pipeline as write_toy
from tests.models.toy import SMALL, random_dit

prepare_torchvision()
from diffusers import DiTPipeline, StableDiffusionPipeline  # noqa: E402
from diffusers.models.embeddings import Timesteps  # noqa: E402

NEAR = 1e-5
LABELS = [3, 7, 0, 9]
GUIDED = GuidanceSetting(scale=1.5)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vae")
    build_vae((8, 8), image_channels=3).save_pretrained(folder)
    return folder


def noise(*shape: int) -> tuple[Tensor, torch.Generator]:
    """Noise, and the generator that gives the same to a pipeline."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5)), torch.Generator().manual_seed(5)


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def decoded(pipeline: Any, latents: Tensor) -> Tensor:
    with torch.no_grad():
        images: Tensor = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    images = (images / 2 + 0.5).clamp(0, 1)
    assert 0.1 < images.std() < 0.45  # or all would be clamped, and prove nothing
    return images


def written(
    folder: Path, vae: Path, walk: Walk, shape: DiTShape = SMALL, classes: tuple[str, ...] = ()
) -> tuple[Any, Denoiser]:
    """The pipeline of a random DiT, and the guided denoiser that it is to sample as."""
    save_dit(random_dit(shape), folder / "ours")
    told = write_dit_pipeline(
        read_checkpoint(folder / "ours"), folder / "theirs", vae, Sampled(walk, GUIDED, classes)
    )
    assert told == []
    ours = load_dit(folder / "ours")
    return quiet(DiTPipeline.from_pretrained(folder / "theirs")), Prediction(Guided(ours, ours.null, 1.5))


def images_of(pipeline: Any, n: int, generator: torch.Generator) -> Tensor:
    found: Tensor = pipeline(
        LABELS, guidance_scale=1.5, num_inference_steps=n, generator=generator, output_type="pt"
    ).images
    return found


@pytest.mark.parametrize(
    ("grid", "n"),
    [("even", 4), ("karras", 2), ("leading", 5), ("trailing", 8), ("sd", 3)],
)
def test_a_dit_of_ten_classes_samples_on_its_own_grid(tmp_path: Path, vae: Path, grid: str, n: int) -> None:
    walked = timesteps(grid, n)
    pipeline, denoiser = written(tmp_path, vae, Walk(tuple(walked[::-1]), end_of(grid)))
    start, generator = noise(4, 4, 8, 8)
    with torch.no_grad():
        latents = ddim(denoiser, start, walked, alphas_cumprod(), torch.tensor(LABELS), end_of(grid))
    assert (images_of(pipeline, n, generator) - decoded(pipeline, latents)).abs().max() < NEAR


@pytest.mark.parametrize(("noise_at", "n"), [(0, 4), (1, 3), (1, 1)])
def test_flows_of_both_directions_sample_by_eulers_method(
    tmp_path: Path, vae: Path, noise_at: int, n: int
) -> None:
    times = flow_times("uniform", n, noise_at)
    pipeline, denoiser = written(tmp_path, vae, Walk(tuple(times[:-1]), noise_at=noise_at))
    start, generator = noise(4, 4, 8, 8)
    with torch.no_grad():
        latents = euler(denoiser, start, times, torch.tensor(LABELS))
    assert (images_of(pipeline, n, generator) - decoded(pipeline, latents)).abs().max() < NEAR


@pytest.mark.parametrize("prediction", ["v", "x0"])
def test_other_predictions_and_betas_go_along(tmp_path: Path, vae: Path, prediction: Any) -> None:
    shape = replace(SMALL, prediction=prediction, schedule=Schedule("scaled-linear", 0.00085, 0.012))
    walked = timesteps("even", 4)
    pipeline, denoiser = written(tmp_path, vae, Walk(tuple(walked[::-1])), shape)
    start, generator = noise(4, 4, 8, 8)
    with torch.no_grad():
        latents = ddim(denoiser, start, walked, alphas_cumprod(shape.schedule), torch.tensor(LABELS))
    assert (images_of(pipeline, 4, generator) - decoded(pipeline, latents)).abs().max() < NEAR


def test_what_was_written_says_what_it_is_for_and_is_no_source(tmp_path: Path, vae: Path) -> None:
    names = tuple("abcdefghij")
    pipeline, _ = written(tmp_path, vae, Walk((999, 666, 333, 0)), classes=names)
    assert pipeline.get_label_ids(["d", "a"]) == [3, 0]
    card = (tmp_path / "theirs/README.md").read_text()
    assert "num_inference_steps=4, guidance_scale=1.5" in card
    assert "at the timesteps 999, 666, 333, 0." in card
    for place in ("theirs", "theirs/transformer"):
        with pytest.raises(InputError, match="written for diffusers alone"):
            read_checkpoint(tmp_path / place)


def test_what_the_pipeline_does_otherwise_is_told(tmp_path: Path, vae: Path) -> None:
    save_dit(random_dit(), tmp_path / "ours")
    partly = GuidanceSetting(scale=1.5, channels=3, interval=(0.0, 0.7))
    how = Sampled(Walk((999, 0)), partly)
    told = write_dit_pipeline(read_checkpoint(tmp_path / "ours"), tmp_path / "theirs", vae, how)
    assert [line.split(";")[0] for line in told] == [
        "the run was guided on the first 3 of 4 latent channels",
        "the run was guided at noise levels from 0 to 0.7",
    ]
    assert all(line in (tmp_path / "theirs/README.md").read_text() for line in told)


@pytest.mark.parametrize(
    ("shape", "config", "walk", "message"),
    [
        (
            replace(SMALL, num_classes=1001),
            {},
            Walk((999,)),
            "1,001 classes, and the pipeline's label for none",
        ),
        (SMALL, {"shift_factor": 0.1}, Walk((999,)), "shifts its latents"),
        (replace(SMALL, in_channels=3), {}, Walk((999,)), "4 latent channels, expected the model's 3"),
        (SMALL, {}, Walk((0.0, 0.3), noise_at=0), "a flow's equal steps alone"),
        (SMALL, {}, Walk(tuple(range(999, 0, -5))), "fitted to 200 timesteps .* fewer evaluations"),
    ],
)
def test_what_no_pipeline_can_sample_is_refused(
    tmp_path: Path, vae: Path, shape: DiTShape, config: dict[str, Any], walk: Walk, message: str
) -> None:
    save_dit(random_dit(shape), tmp_path / "ours")
    (tmp_path / "vae").mkdir()
    for file in vae.iterdir():
        (tmp_path / "vae" / file.name).write_bytes(file.read_bytes())
    said = json.loads((vae / "config.json").read_text())
    (tmp_path / "vae/config.json").write_text(json.dumps(said | config))
    with pytest.raises(InputError, match=message):
        write_dit_pipeline(
            read_checkpoint(tmp_path / "ours"), tmp_path / "theirs", tmp_path / "vae", Sampled(walk)
        )


@pytest.mark.parametrize(
    ("grid", "n", "prediction", "fitted"),
    [("sd", 4, "v", False), ("trailing", 2, "eps", False), ("even", 3, "eps", True)],
)
def test_stable_diffusion_samples_as_here(
    tmp_path: Path, grid: str, n: int, prediction: Any, fitted: bool
) -> None:
    shape = replace(SHAPE, prediction=prediction)
    toy = write_toy(tmp_path / "toy", shape)
    walked, end = timesteps(grid, n, shape.pipeline), end_of(grid, shape.pipeline)
    how = Sampled(Walk(tuple(walked[::-1]), end), GUIDED)
    assert write_unet_pipeline(toy / "unet", tmp_path / "new", shape, toy / "vae", toy, how) == []
    pipeline = quiet(StableDiffusionPipeline.from_pretrained(tmp_path / "new"))
    start, generator = noise(2, 4, 8, 8)
    words = ["a cat", "dog"]
    images = pipeline(
        words, guidance_scale=1.5, num_inference_steps=n, generator=generator, output_type="pt"
    ).images
    text = TextEncoder(toy)
    ours = UNetDenoiser(load_unet(toy, shape), shape, text.encode([""]))
    with torch.no_grad():
        guided = Guided(ours, ours.null, 1.5)
        latents = ddim(guided, start, walked, alphas_cumprod(shape.schedule), text.encode(words), end)
    assert (images - decoded(pipeline, latents)).abs().max() < NEAR
    assert (tmp_path / "new/unet/ssdbench.json").exists() == fitted


@pytest.mark.parametrize("n", [10, 64])
def test_a_fitted_layer_is_as_good_in_half_precision_as_the_models_own(n: int) -> None:
    torch.manual_seed(0)
    layer, given = nn.Linear(256, 32), Timesteps(256, True, 1)(torch.arange(1000))
    respaced = scheduler_for(Walk(tuple(timesteps("even", n)[::-1])), SMALL)
    wanted = sinusoids(torch.from_numpy(respaced.times))[respaced.at]
    expected, own = layer(wanted), copy.deepcopy(layer)
    assert fit([layer], given, sinusoids(torch.from_numpy(respaced.times)), respaced.at)
    for one in (layer, own):
        one.weight.data = one.weight.data.half().float()
    off = (layer(given[respaced.at]) - expected).abs().max()
    assert off < 2 * (own(wanted) - expected).abs().max()


def test_a_fit_is_exact_where_it_has_to_be_and_nothing_changes_where_nothing_must() -> None:
    generator = torch.Generator().manual_seed(0)
    given, wanted = torch.randn(50, 16, generator=generator), torch.randn(50, 16, generator=generator)
    layer = nn.Linear(16, 5)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    expected = layer(wanted)
    assert fit([layer], given, wanted, [3, 30, 41])
    assert (layer(given) - expected)[[3, 30, 41]].abs().max() < 1e-5
    # No other layer that is exact there is nearer in the other rows (normal equations of the free directions).
    free = np.linalg.svd(given[[3, 30, 41]].numpy())[2][3:]
    off = (layer(given) - expected).detach().numpy()
    assert np.abs(free @ given.numpy().T @ off).max() < 1e-3
    layer.load_state_dict(before)
    assert not fit([layer], given, given, [3])
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
