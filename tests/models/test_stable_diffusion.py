"""The real classes of Stable Diffusion, tiny and random: our denoiser and samplers against diffusers' own pipeline."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tools.mini_text_encoder import write_text_encoder
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Counted, Guided
from ssdbench.diffusion.noise import normal
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.models.catalog import load_denoiser
from ssdbench.models.text import TextEncoder
from ssdbench.models.unet import UNetDenoiser, build_unet, load_unet, save_unet_denoiser
from ssdbench.models.unet_shape import UNetShape
from ssdbench.models.vae import Autoencoder
from ssdbench.samplers import SAMPLERS
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.dpm_solver import dpm_solver_2
from ssdbench.samplers.multistep import plms
from ssdbench.samplers.walks import end_of, timesteps
from tests.models.sd_toy import SHAPE, write_pipeline

PROMPTS = ["a b c", "x y z z y"]
SCALE = 3.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("sd") / "pipeline")


def noise() -> Tensor:
    return normal((4, 8, 8), 0, "test", range(len(PROMPTS)))


def theirs(
    folder: Path, steps: int, scheduler: type | None = None, **settings: object
) -> tuple[Tensor, Tensor]:
    """Latents and images of the pipeline."""
    from diffusers import StableDiffusionPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    if scheduler is not None:
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **settings)  # type: ignore[attr-defined]
    found = []
    for output in ("latent", "pt"):
        found.append(
            pipeline(
                PROMPTS,
                num_inference_steps=steps,
                guidance_scale=SCALE,
                latents=noise(),
                height=8 * pipeline.vae_scale_factor,
                width=8 * pipeline.vae_scale_factor,
                output_type=output,
            ).images
        )
    return found[0], found[1]


def ours(folder: Path, shape: UNetShape = SHAPE) -> tuple[Guided, Tensor]:
    """The guided denoiser and the conditions, made of the same files."""
    encoder = TextEncoder(folder)
    model = load_denoiser(folder, shape, encoder.encode([""])).eval().requires_grad_(False)
    return Guided(model, model.null, SCALE), encoder.encode(PROMPTS)


def close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-3, atol=2e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("steps", [10, 20])
def test_ddim_and_the_images_are_the_pipelines(folder: Path, steps: int) -> None:
    latents, images = theirs(folder, steps)
    denoiser, cond = ours(folder)
    found = ddim(
        denoiser, noise(), timesteps("sd", steps), alphas_cumprod("scaled-linear"), cond, end_of("sd")
    )
    assert close(found, latents)
    decoded = Autoencoder(folder / "vae").decode(latents)
    expected = (images * 255).round().permute(0, 2, 3, 1)
    # Ours truncates 127.5 x + 128, which differs from rounding in exact halves and in float32's last digit.
    assert float((decoded.float() - expected).abs().max()) <= 1
    assert float((decoded.float() != expected).float().mean()) < 0.01


def test_v_prediction_is_the_pipelines(tmp_path: Path) -> None:
    shape = replace(SHAPE, prediction="v")
    folder = write_pipeline(tmp_path / "v", shape)
    latents, _ = theirs(folder, 10)
    denoiser, cond = ours(folder, shape)
    found = ddim(denoiser, noise(), timesteps("sd", 10), alphas_cumprod("scaled-linear"), cond, end_of("sd"))
    assert close(found, latents)


@pytest.mark.parametrize("nfe", [19, 29])
def test_plms_with_published_warmup_is_the_pipelines(folder: Path, nfe: int) -> None:
    from diffusers import PNDMScheduler

    # What diffusers calls PNDM with its Runge-Kutta steps; it ends at alphas_cumprod[0] too.
    steps = SAMPLERS["plms-prk"].steps(nfe)
    latents, _ = theirs(folder, steps, PNDMScheduler, skip_prk_steps=False, set_alpha_to_one=False)
    guided, cond = ours(folder)
    counted = Counted(guided)
    alphas = alphas_cumprod("scaled-linear")
    found = plms(counted, noise(), timesteps("sd", steps), alphas, cond, end_of("sd"), warmup="prk")
    counted.expect(nfe)
    assert close(found, latents)


@pytest.mark.parametrize("nfe", [10, 20])
def test_dpm_solver_2_is_the_published_algorithm(folder: Path, nfe: int) -> None:
    # diffusers' solver puts the middle of a step on a timestep of its grid, not in the middle of log(alpha / sigma).
    alphas = alphas_cumprod("scaled-linear")
    grid = timesteps("even", SAMPLERS["dpm-solver-2"].timesteps(nfe))
    guided, cond = ours(folder)
    counted = Counted(guided)
    found = dpm_solver_2(counted, noise(), grid, alphas, cond)
    counted.expect(nfe)
    x = noise()
    for s, t in zip(grid[:0:-1], grid[-2::-1], strict=True):
        x = _published_step(guided, x, s, t, alphas, cond)
    assert close(found, x)


def _published_step(denoiser: Guided, x: Tensor, s: int, t: int, alphas: Tensor, cond: Tensor) -> Tensor:
    """DPM-Solver-2 with r1 = 1/2 as Algorithm 1 writes it, in lambda = log(alpha / sigma)."""
    import numpy as np

    lam = (0.5 * (alphas.log() - (1 - alphas).log())).numpy()
    h = lam[t] - lam[s]
    middle = lam[s] + h / 2
    u = float(np.interp(-middle, -lam, np.arange(1000)))
    alpha = {
        key: (1 / (1 + np.exp(-2 * value))) ** 0.5
        for key, value in (("u", middle), ("s", lam[s]), ("t", lam[t]))
    }
    sigma = {key: (1 - value**2) ** 0.5 for key, value in alpha.items()}
    eps = denoiser(x, torch.full((len(x),), s), cond)
    x_u = alpha["u"] / alpha["s"] * x - sigma["u"] * np.expm1(h / 2) * eps
    eps_u = denoiser(x_u.float(), torch.full((len(x),), u), cond)
    return (alpha["t"] / alpha["s"] * x - sigma["t"] * np.expm1(h) * eps_u).float()  # type: ignore[no-any-return]


def test_texts_are_the_pipelines(folder: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    long = " ".join("abcdefghij" * 3)  # cut to the tokenizer's length
    texts = [*PROMPTS, long]
    expected, null = pipeline.encode_prompt(texts, "cpu", 1, True, negative_prompt=[""] * 3)
    encoder = TextEncoder(folder)
    assert torch.allclose(encoder.encode(texts), expected, atol=1e-6)
    assert torch.allclose(encoder.encode([""]), null[:1], atol=1e-6)


def test_captions_that_are_cut_are_counted(folder: Path) -> None:
    """CLIP's tokenizer knows every word by its pieces, and ends every text with what stands for the unknown."""
    encoder = TextEncoder(folder)
    length = encoder.tokenizer.model_max_length
    fits, cut = "a " * (length - 2), "a " * (length - 1)
    assert encoder.notes([fits, "", "a"]) == ()
    assert encoder.notes([fits, cut, cut + "b"]) == (
        f"2 of 3 captions have more than the {length} tokens that the text model takes, and are cut",
    )


def test_words_that_a_text_model_does_not_know_are_counted_and_named(tmp_path: Path) -> None:
    write_text_encoder(tmp_path, ("a", "dog"), length=6, width=8, heads=2)
    encoder = TextEncoder(tmp_path)
    assert encoder.notes(["a dog", "A DOG", "a a a a"]) == ()
    assert encoder.notes(["a cat", "a dog", "Käse cat cat cat cat"]) == (
        "1 of 3 captions have more than the 6 tokens that the text model takes, and are cut",
        "2 of 3 captions hold words that the text model does not know (2 words: 'cat', 'Käse')",
    )


def test_fusion_points_are_all_blocks_in_the_order_in_which_they_run(folder: Path) -> None:
    model = load_denoiser(folder, SHAPE)
    assert isinstance(model, UNetDenoiser)
    ran: list[nn.Module] = []
    for point in model.fusion_points:
        point.module.register_forward_hook(lambda module, _inputs, _output: ran.append(module))
    model(noise(), torch.tensor([5, 5]), torch.zeros(2, 9, 16))
    assert [point.module for point in model.fusion_points] == ran
    assert len(ran) == SHAPE.depth == 5


@pytest.mark.parametrize(
    "shape",
    [
        SHAPE,
        UNetShape(channels=(32, 64, 64), layers=2, text_width=24, heads=4, groups=8, input_size=16),
    ],
)
def test_cost_is_that_of_the_forward_pass(shape: UNetShape) -> None:
    from diffusers.models.attention_processor import AttnProcessor
    from torch.utils.flop_counter import FlopCounterMode

    model = build_unet(shape)
    model.set_attn_processor(AttnProcessor())  # the counter knows nothing of the fused attention on a CPU
    x = torch.zeros(1, 4, shape.input_size, shape.input_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x, torch.tensor([1]), torch.zeros(1, shape.text_length, shape.text_width))
    assert shape.forward_flops() == pytest.approx(counter.get_total_flops(), rel=1e-6)
    weights = sum(weight.numel() for weight in model.parameters() if weight.dim() > 1)
    assert shape.weights() == weights


def test_size_and_cost_of_stable_diffusion() -> None:
    # The published model has 860 M weights; a pass is 339 GMAC (Kim et al., 2023, BK-SDM, Table 1).
    published = UNetShape(channels=(320, 640, 1280, 1280), layers=2, text_width=768)
    assert published.weights() == pytest.approx(859.5e6, rel=2e-3)
    assert published.forward_flops() == pytest.approx(2 * 339e9, rel=0.2)


def test_a_trained_unet_is_loaded_by_the_pipeline(folder: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    unet = load_unet(folder, SHAPE)
    nn.init.normal_(unet.conv_out.weight)
    save_unet_denoiser(UNetDenoiser(unet, SHAPE), tmp_path / "student", grid=[1, 101])
    loaded = UNet2DConditionModel.from_pretrained(tmp_path / "student")
    pipeline = StableDiffusionPipeline.from_pretrained(folder, unet=loaded, safety_checker=None)
    assert torch.equal(pipeline.unet.conv_out.weight, unet.conv_out.weight)
    again = load_unet(tmp_path / "student", SHAPE)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), unet.parameters(), strict=True))


def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"(?s)cross_attention_dim is 16, expected 24.*norm_num_groups"
    ) as caught:
        load_denoiser(folder, replace(SHAPE, text_width=24, groups=2))
    assert "sample_size" not in str(caught.value)
    with pytest.raises(InputError, match=r"expected config.json, or unet/config.json of a pipeline"):
        load_unet(tmp_path, SHAPE)
    with pytest.raises(InputError, match="of a 'AutoencoderKL', expected UNet2DConditionModel"):
        load_unet(folder / "vae", SHAPE)
    with pytest.raises(InputError, match=r"has no folder tokenizer and no text_encoder"):
        TextEncoder(tmp_path)
    with pytest.raises(InputError, match=r"null text has shape \(1, 3, 16\), expected \(1, 9, 16\)"):
        load_denoiser(folder, SHAPE, torch.zeros(1, 3, 16))
