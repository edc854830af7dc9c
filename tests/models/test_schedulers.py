"""Schedulers of pipelines: what we read of them and sample with it, against diffusers' own schedulers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ssdbench.diffusion.denoiser import Guided, Prediction
from ssdbench.diffusion.noise import normal
from ssdbench.diffusion.schedule import DIT, NO_SIGNAL, STABLE_DIFFUSION, Schedule, alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.models import schedulers
from ssdbench.models.catalog import load_denoiser, save_denoiser
from ssdbench.models.checkpoint import load_dit, save_dit
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.convert import write_checkpoint
from ssdbench.models.convert import write_pipeline as copy_pipeline
from ssdbench.models.diffusers_dit import use_official_timesteps
from ssdbench.models.dit_files import read_checkpoint
from ssdbench.models.official import Layout
from ssdbench.models.own_shape import OwnShape
from ssdbench.models.schedulers import as_trained, read_scheduler, scheduler_config, stated
from ssdbench.models.shapes import DiTShape
from ssdbench.models.text import TextEncoder
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import end_of, timesteps
from tests.models.sd_toy import SHAPE, write_pipeline
from tests.models.test_stable_diffusion import PROMPTS, SCALE, close
from tests.models.toy import SMALL, inputs, random_dit, same

prepare_torchvision()
import diffusers  # noqa: E402

# Stable Diffusion v1.5's own, as it is published.
PUBLISHED = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
# facebook/DiT-XL-2-256's.
PUBLISHED_DIT = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.12.0.dev0",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "trained_betas": None,
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("sd") / "pipeline")


def write(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "scheduler").mkdir(parents=True, exist_ok=True)
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(config))
    return file


def noise(n: int = len(PROMPTS)) -> Tensor:
    return normal((4, 8, 8), 0, "test", range(n))


def test_the_published_ones_are_what_a_model_has_without_any(tmp_path: Path) -> None:
    assert read_scheduler(write(tmp_path / "sd", PUBLISHED), True) == ("eps", STABLE_DIFFUSION)
    assert read_scheduler(write(tmp_path / "dit", PUBLISHED_DIT), False) == ("eps", DIT)
    assert as_trained(SHAPE, tmp_path / "sd") == SHAPE
    assert as_trained(SMALL, tmp_path / "dit") == SMALL


@pytest.mark.parametrize("name", [*schedulers._DISCRETE])
def test_what_a_config_leaves_out_is_its_class_own_default(tmp_path: Path, name: str) -> None:
    kind = getattr(diffusers, name)
    found = read_scheduler(write(tmp_path, {"_class_name": name}), False)[1]
    try:
        theirs = kind.from_config({})
    except ImportError:
        pytest.skip(f"{name} needs a package that is not installed")
    torch.testing.assert_close(
        alphas_cumprod(found).float(), theirs.alphas_cumprod.float(), rtol=1e-5, atol=1e-8
    )
    assert found.spacing == theirs.config.get("timestep_spacing", "linspace")
    assert found.to_clean == theirs.config.get("set_alpha_to_one", True)
    assert found.offset == theirs.config.get("steps_offset", 0)
    assert theirs.config.get("prediction_type", "epsilon") == "epsilon"
    assert theirs.config.num_train_timesteps == 1000


@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
@pytest.mark.parametrize(("start", "end"), [(1e-4, 2e-2), (0.00085, 0.012), (5e-4, 9e-3)])
@pytest.mark.parametrize("zero_snr", [False, True])
def test_noise_levels_are_diffusers(
    tmp_path: Path, betas: str, start: float, end: float, zero_snr: bool
) -> None:
    settings = {
        "beta_schedule": betas,
        "beta_start": start,
        "beta_end": end,
        "rescale_betas_zero_snr": zero_snr,
        "prediction_type": "v_prediction",
    }
    theirs = diffusers.DDIMScheduler(**settings)
    theirs.save_pretrained(tmp_path / "scheduler")
    prediction, found = read_scheduler(tmp_path / "scheduler/scheduler_config.json", False)
    assert (prediction, found.zero_snr) == ("v", zero_snr)
    ours = alphas_cumprod(found)
    torch.testing.assert_close(ours[:-1].float(), theirs.alphas_cumprod[:-1], rtol=2e-3, atol=1e-7)
    if zero_snr:
        assert float(ours[-1]) == NO_SIGNAL
        assert float(theirs.alphas_cumprod[-1]) < 1e-12
        # Lin et al., 2024, Algorithm 1, in closed form: sqrt(a) is shifted and scaled.
        before = alphas_cumprod(replace(found, zero_snr=False)).sqrt()
        expected = (before - before[-1]) * before[0] / (before[0] - before[-1])
        torch.testing.assert_close(ours.sqrt(), expected, rtol=1e-9, atol=2e-7)


@pytest.mark.parametrize("n", [3, 10, 16, 20, 50])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("to_one", [True, False])
def test_the_grid_sd_is_the_pipelines_own(tmp_path: Path, n: int, spacing: str, to_one: bool) -> None:
    theirs = diffusers.DDIMScheduler(timestep_spacing=spacing, steps_offset=1, set_alpha_to_one=to_one)
    theirs.save_pretrained(tmp_path / "scheduler")
    found = read_scheduler(tmp_path / "scheduler/scheduler_config.json", True)[1]
    theirs.set_timesteps(n)
    assert timesteps("sd", n, pipeline=found)[::-1] == theirs.timesteps.tolist()
    end = end_of("sd", found)
    level = 1.0 if end < 0 else float(alphas_cumprod(found)[end])
    assert level == pytest.approx(float(theirs.final_alpha_cumprod), rel=1e-6)
    # All other grids are what their names say, whatever the pipeline's.
    assert timesteps("trailing", n, pipeline=found) == timesteps("trailing", n)
    assert end_of("trailing", found) == -1


def theirs_and_ours(folder: Path, steps: int, grid: str = "sd") -> tuple[Tensor, Tensor]:
    """Latents of StableDiffusionPipeline with the folder's own scheduler, and ours by DDIM."""
    found = diffusers.StableDiffusionPipeline.from_pretrained(
        folder, safety_checker=None, local_files_only=True
    )
    found.set_progress_bar_config(disable=True)
    found.scheduler = diffusers.DDIMScheduler.from_config(found.scheduler.config)
    size = 8 * found.vae_scale_factor
    latents = found(
        PROMPTS,
        num_inference_steps=steps,
        guidance_scale=SCALE,
        latents=noise(),
        height=size,
        width=size,
        output_type="latent",
    ).images
    shape = as_trained(SHAPE, folder / "unet")
    encoder = TextEncoder(folder)
    model = load_denoiser(folder / "unet", shape, encoder.encode([""])).eval().requires_grad_(False)
    start = noise().double() if shape.schedule.zero_snr else noise()
    ours = ddim(
        Guided(model, model.null, SCALE),
        start,
        timesteps(grid, steps, pipeline=shape.schedule),
        alphas_cumprod(shape.schedule),
        encoder.encode(PROMPTS),
        end_of(grid, shape.schedule),
    )
    return latents, ours.float()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"prediction_type": "v_prediction"},
        {"prediction_type": "sample"},
        {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
        {"beta_start": 0.0005, "beta_end": 0.02, "prediction_type": "v_prediction"},
        {"set_alpha_to_one": True},
        {"timestep_spacing": "trailing"},
        {"timestep_spacing": "trailing", "set_alpha_to_one": True},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
        {
            "rescale_betas_zero_snr": True,
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
        },
    ],
    ids=lambda change: ",".join(f"{k}={v}" for k, v in change.items()) or "as published",
)
def test_samples_are_those_of_the_pipeline_with_its_scheduler(
    pipeline: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = tmp_path / "pipeline"
    folder.mkdir()
    for part in pipeline.iterdir():
        if part.name not in ("scheduler", "model_index.json"):
            (folder / part.name).symlink_to(part)
    write(folder, PUBLISHED | {"_class_name": "DDIMScheduler"} | change)
    index = json.loads((pipeline / "model_index.json").read_text())
    (folder / "model_index.json").write_text(
        json.dumps(index | {"scheduler": ["diffusers", "DDIMScheduler"]})
    )
    theirs, ours = theirs_and_ours(folder, 10)
    assert close(ours, theirs)
    if change:  # and the setting matters
        plain, _ = theirs_and_ours(pipeline, 10)
        assert not close(theirs, plain)


def test_a_dit_that_predicts_v_is_diffusers(tmp_path: Path) -> None:
    shape = DiTShape(48, 2, 4, input_size=8, num_classes=10)
    save_dit(random_dit(shape), tmp_path / "plain")
    folder = tmp_path / "pipeline"
    write_checkpoint(read_checkpoint(tmp_path / "plain"), folder / "transformer", Layout.diffusers)
    settings = PUBLISHED_DIT | {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    settings |= {"beta_start": 0.0002, "beta_end": 0.015}
    write(folder, settings)
    found = as_trained(shape, folder, flow=False)
    assert (found.prediction, found.schedule.start, found.schedule.end) == ("v", 0.0002, 0.015)
    theirs = diffusers.DiTTransformer2DModel.from_pretrained(folder / "transformer")
    use_official_timesteps(theirs)
    scheduler = diffusers.DDIMScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(5)
    labels, x = torch.tensor([1, 9]), noise(2)
    with torch.no_grad():
        for t in scheduler.timesteps:
            v = theirs(x, timestep=t.expand(2), class_labels=labels).sample[:, :4]
            x = scheduler.step(v, t, x).prev_sample
        model = load_dit(folder, found).eval()
        ours = ddim(
            Prediction(model), noise(2), timesteps("trailing", 5), alphas_cumprod(found.schedule), labels
        )
    assert close(ours, x)
    # The learned sigma is not v's, and stays.
    x, t, y = inputs(shape, 4)
    assert torch.equal(model(x, t, y)[:, 4:], random_dit(shape)(x, t, y)[:, 4:])


@pytest.mark.parametrize("prediction", ["v", "x0"])
def test_a_stated_prediction_is_turned_into_eps(tmp_path: Path, prediction: Any) -> None:
    torch.save(random_dit().state_dict(), tmp_path / "student.pt")
    shape = stated(as_trained(SMALL, tmp_path / "student.pt"), tmp_path / "student.pt", prediction)
    assert shape == replace(SMALL, prediction=prediction)
    x, t, y = inputs(shape, 4)
    out = random_dit()(x, t, y)[:, :4].double()
    a = alphas_cumprod()[t].reshape(-1, 1, 1, 1)
    # x = sqrt(a) x_0 + sqrt(1 - a) eps, and v = sqrt(a) eps - sqrt(1 - a) x_0.
    eps = (x - a.sqrt() * out) / (1 - a).sqrt() if prediction == "x0" else a.sqrt() * out + (1 - a).sqrt() * x
    found = load_denoiser(tmp_path / "student.pt", shape).eval()(x, t, y)[:, :4]
    torch.testing.assert_close(found.double(), eps, rtol=1e-4, atol=1e-4)


def test_a_stated_prediction_does_not_overrule_the_files(tmp_path: Path) -> None:
    save_denoiser(random_dit(), tmp_path / "ours", prediction="eps")
    with pytest.raises(InputError, match=r"predicts: x0: .*ours/config\.json says eps: leave predicts out"):
        stated(SMALL, tmp_path / "ours", "x0")
    assert stated(SMALL, tmp_path / "ours", "eps") == SMALL
    file = write(tmp_path / "p", PUBLISHED | {"prediction_type": "v_prediction"})
    as_said = as_trained(SHAPE, tmp_path / "p/unet")
    with pytest.raises(InputError, match=rf"predicts: x0: {file} says v"):
        stated(as_said, tmp_path / "p/unet", "x0")
    own = OwnShape(in_channels=1, input_size=8, num_classes=2, depth=0, flops=1.0)
    with pytest.raises(InputError, match="a model of the user's own code returns eps itself"):
        stated(own, tmp_path, "v")


def test_what_was_read_stays_with_the_weights_that_we_write(tmp_path: Path) -> None:
    shape = replace(SMALL, prediction="v", schedule=Schedule(end=0.03, zero_snr=True))
    save_denoiser(random_dit(shape), tmp_path / "student", prediction="v", grid=[1, 3])
    assert load_dit(tmp_path / "student", shape).shape == shape
    found = read_checkpoint(tmp_path / "student")
    assert found.shape == shape
    write_checkpoint(found, tmp_path / "copy", Layout.ours)
    assert read_checkpoint(tmp_path / "copy").shape == shape
    assert json.loads((tmp_path / "copy/config.json").read_text())["grid"] == [1, 3]
    for layout in (Layout.official, Layout.diffusers):
        with pytest.raises(InputError, match=f"predicts v .* the layout {layout.value} has no place"):
            write_checkpoint(found, tmp_path / layout, layout)
    unet = replace(SHAPE, prediction="v")
    save_denoiser(load_denoiser(None, unet), tmp_path / "unet", prediction="v")
    assert as_trained(SHAPE, tmp_path / "unet") == unet
    # An ordinary model's config says what it always said.
    save_denoiser(random_dit(), tmp_path / "plain", prediction="eps")
    assert json.loads((tmp_path / "plain/config.json").read_text()).keys().isdisjoint({"schedule", "betas"})


def test_a_pipeline_of_a_dit_is_converted_with_its_schedule(tmp_path: Path) -> None:
    save_dit(random_dit(), tmp_path / "plain")
    write_checkpoint(read_checkpoint(tmp_path / "plain"), tmp_path / "p/transformer", Layout.diffusers)
    write(tmp_path / "p", PUBLISHED_DIT | {"prediction_type": "v_prediction"})
    found = read_checkpoint(tmp_path / "p")
    write_checkpoint(found, tmp_path / "ours", Layout.ours)
    again = load_dit(tmp_path / "ours")
    assert again.shape == replace(SMALL, prediction="v")
    assert same(again.state_dict(), random_dit().state_dict())


def test_a_student_beside_a_scheduler_of_another_prediction_is_refused(tmp_path: Path) -> None:
    save_denoiser(load_denoiser(None, SHAPE), tmp_path / "p/unet", prediction="eps")
    write(tmp_path / "p", PUBLISHED | {"prediction_type": "v_prediction"})
    with pytest.raises(InputError, match=r"unet/ssdbench\.json: is of a model .*scheduler_config\.json"):
        as_trained(SHAPE, tmp_path / "p/unet")


def test_flow_models_and_those_of_timesteps_are_not_taken_for_each_other(tmp_path: Path) -> None:
    save_denoiser(random_dit(), tmp_path / "sit", prediction="v")
    save_denoiser(random_dit(), tmp_path / "dit", prediction="eps")
    assert as_trained(SMALL, tmp_path / "sit", flow=True) == SMALL
    assert as_trained(SMALL, tmp_path / "dit", flow=False) == SMALL
    with pytest.raises(InputError, match=r"sit/config\.json: is of a flow model"):
        as_trained(SMALL, tmp_path / "sit", flow=False)
    with pytest.raises(InputError, match=r"dit/config\.json: is of a model of timesteps"):
        as_trained(SMALL, tmp_path / "dit", flow=True)
    write(tmp_path / "p", PUBLISHED_DIT)
    with pytest.raises(InputError, match=r"is of a 'DDIMScheduler', expected 'FlowMatchEuler.*flow model"):
        as_trained(SMALL, tmp_path / "p", flow=True)
    diffusers.FlowMatchEulerDiscreteScheduler().save_pretrained(tmp_path / "f/scheduler")
    assert as_trained(SMALL, tmp_path / "f", flow=True) == SMALL
    with pytest.raises(
        InputError, match=r"'FlowMatchEulerDiscreteScheduler', expected a scheduler of discrete"
    ):
        as_trained(SMALL, tmp_path / "f", flow=False)
    diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(tmp_path / "s/scheduler")
    with pytest.raises(InputError, match=r"shift is 3\.0, expected 1\.0"):
        as_trained(SMALL, tmp_path / "s", flow=True)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"_class_name": "LCMScheduler"}, "is of a 'LCMScheduler', expected a scheduler of discrete time"),
    ({"_class_name": None}, "is of a 'None'"),
    (
        {"prediction_type": "flow"},
        "prediction_type is 'flow', expected 'epsilon', 'v_prediction' or 'sample'",
    ),
    ({"prediction_type": ["epsilon"]}, r"prediction_type is \['epsilon'\]"),
    ({"beta_schedule": "squaredcos_cap_v2"}, "beta_schedule is 'squaredcos_cap_v2', expected 'linear' or"),
    ({"num_train_timesteps": 4000}, "num_train_timesteps is 4000, expected 1000"),
    ({"num_train_timesteps": 1000.0}, r"num_train_timesteps is 1000\.0"),
    ({"trained_betas": [0.1, 0.2]}, "trained_betas is .*, expected a beta_schedule"),
    ({"beta_start": "0.1"}, "beta_start is '0.1', expected a number"),
    ({"beta_start": 0.02, "beta_end": 0.01}, "beta_start is 0.02 and beta_end 0.01, expected start <= end"),
    ({"beta_end": 1.5}, "beta_end is 1.5, expected a number between 0 and 1"),
    ({"beta_end": 10**400}, "beta_end is 1000"),
    ({"beta_end": float("nan")}, "beta_end is nan"),
    ({"rescale_betas_zero_snr": 1}, "rescale_betas_zero_snr is 1, expected True or False"),
    ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is true .* expected 'v_prediction'"),
    ({"set_alpha_to_one": "no"}, "set_alpha_to_one is 'no'"),
    ({"timestep_spacing": "karras"}, "timestep_spacing is 'karras'"),
    ({"steps_offset": -1}, "steps_offset is -1, expected a whole number"),
    ({"steps_offset": True}, "steps_offset is True"),
    ({"thresholding": True}, "thresholding is True, expected False"),
    ({"use_flow_sigmas": True}, "use_flow_sigmas is True"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_cannot_be_honoured_is_refused_with_its_place(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    file = write(tmp_path, PUBLISHED | change)
    with pytest.raises(InputError, match=rf"scheduler_config\.json: (?s:.*){message}") as error:
        as_trained(SHAPE, tmp_path / "unet")
    assert str(file) in str(error.value)


def test_all_problems_come_together(tmp_path: Path) -> None:
    write(tmp_path, PUBLISHED | {"prediction_type": "flow", "num_train_timesteps": 10, "beta_end": None})
    with pytest.raises(InputError) as error:
        as_trained(SHAPE, tmp_path)
    assert len(str(error.value).splitlines()) == 4


def test_where_a_scheduler_is_looked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "p", PUBLISHED)
    (tmp_path / "p/unet").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "p/unet")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/unet").symlink_to(tmp_path / "p/unet")
    for path in (tmp_path / "p", tmp_path / "p/unet", tmp_path / "p/transformer", tmp_path / "link"):
        assert scheduler_config(path) is not None
        assert scheduler_config(path).resolve() == file.resolve()  # type: ignore[union-attr]
    assert scheduler_config(tmp_path / "linked/unet") is not None
    for path in (tmp_path / "p/vae", tmp_path / "p.pt", tmp_path):
        assert scheduler_config(path) is None
    file.rename(file.with_name("other.json"))
    with pytest.raises(InputError, match=r"scheduler: expected scheduler_config\.json, found other\.json"):
        scheduler_config(tmp_path / "p/unet")
    file.write_text("{")
    with pytest.raises(InputError, match=r"scheduler_config\.json: cannot be read as JSON"):
        as_trained(SHAPE, tmp_path / "p")


def test_conversion_of_a_pipeline_checks_its_scheduler(pipeline: Path, tmp_path: Path) -> None:
    copy_pipeline(str(pipeline), tmp_path / "good", SHAPE)
    write(tmp_path / "good", PUBLISHED | {"num_train_timesteps": 10})
    with pytest.raises(InputError, match="num_train_timesteps is 10"):
        copy_pipeline(str(tmp_path / "good"), tmp_path / "bad", SHAPE)


def test_a_malformed_note_is_refused(tmp_path: Path) -> None:
    shape = replace(SMALL, prediction="v")
    save_denoiser(random_dit(shape), tmp_path, prediction="v")
    config = json.loads((tmp_path / "config.json").read_text())
    for change, message in (
        ({"prediction": "x"}, "prediction is 'x', expected 'eps', 'v' or 'x0'"),
        ({"schedule": config["schedule"] | {"start": "0.1"}}, r"schedule\.start"),
        ({"schedule": 3}, "schedule"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(InputError, match=rf"config\.json: {message}"):
            read_checkpoint(tmp_path)
