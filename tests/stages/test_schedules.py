"""Models of other predictions and noise schedules than the usual, through the stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ssdbench.diffusion import noise
from ssdbench.diffusion.schedule import Schedule
from ssdbench.methods.denoising import Denoise
from ssdbench.methods.ssd import Explicit
from ssdbench.models.checkpoint import load_dit, save_dit
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.shapes import DiTShape
from ssdbench.stages import Runtime, SampleSpec, Source, TrainSpec, sample, train
from ssdbench.stages.sample import GuidanceSetting, Sampling

from .conftest import SHAPE, Tiny

prepare_torchvision()
from diffusers import DDIMScheduler  # noqa: E402

V = replace(SHAPE, prediction="v")
ZERO = replace(V, schedule=Schedule(zero_snr=True))


def of(tiny: Tiny, shape: DiTShape, folder: Path) -> Source:
    """The tiny model's weights, as those of a model with another prediction or schedule."""
    model = load_dit(Path(tiny.weights.path))
    model.shape = shape
    save_dit(model, folder)
    return Source(digest="e" * 64, path=str(folder))


def latents(tiny: Tiny, shape: DiTShape, output: Path, sampler: str = "ddim", nfe: int = 5) -> Tensor:
    weights = of(tiny, shape, output / "weights")
    sampling = Sampling(
        shape=shape,
        sampler=sampler,
        grid="trailing",
        nfe=nfe,
        weights=weights,
        guidance=GuidanceSetting(scale=1.5, channels=3),
    )
    spec = SampleSpec(sampling=sampling, resolution=32, vae=tiny.vae, seed=5, start=0, count=4)
    sample.body(spec, {}, output, Runtime(output))
    return load_file(output / "samples.safetensors")["latents"]


@pytest.mark.parametrize("shape", [SHAPE, V, ZERO], ids=["eps", "v", "zero-SNR"])
def test_samples_are_those_of_diffusers_scheduler(tiny: Tiny, tmp_path: Path, shape: DiTShape) -> None:
    found = latents(tiny, shape, tmp_path)
    scheduler = DDIMScheduler(
        prediction_type="v_prediction" if shape.prediction == "v" else "epsilon",
        rescale_betas_zero_snr=shape.schedule.zero_snr,
        timestep_spacing="trailing",
        clip_sample=False,
    )
    scheduler.set_timesteps(5)
    network = load_dit(
        Path(tiny.weights.path)
    ).eval()  # as it is: what it predicts, nothing has turned into eps
    x = noise.normal((4, 8, 8), 5, "sample/noise", range(4))
    labels = noise.integers(10, 5, "sample/label", range(4))
    null = torch.full_like(labels, 10)
    with torch.no_grad():
        for t in scheduler.timesteps:
            times = t.expand(4)
            conditional, unconditional = network(x, times, labels), network(x, times, null)
            guided = unconditional + 1.5 * (conditional - unconditional)
            guided[:, 3:] = conditional[:, 3:]
            x = scheduler.step(guided, t, x).prev_sample
    assert int(scheduler.timesteps[0]) == 999
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampler", ["ab2", "plms", "dpm-solver-1", "sde"])
def test_other_samplers_start_at_pure_noise_too(tiny: Tiny, tmp_path: Path, sampler: str) -> None:
    # Without any signal the first step tells x_0 = -v alone, of the size of the data: nothing is blown up.
    found = latents(tiny, ZERO, tmp_path, sampler)
    assert found.dtype == torch.float32
    assert found.abs().max() < 30


@pytest.mark.parametrize("objective", ["denoise", "ssd"])
def test_a_student_has_its_teachers_prediction_and_schedule(
    tiny: Tiny, tmp_path: Path, objective: str
) -> None:
    steps = Explicit(kind="ssd", grid="leading", nfe=4, pairs=(1, 2, 3), lam=0.5)
    spec = TrainSpec(
        objective=Denoise(kind="denoise") if objective == "denoise" else steps,
        shape=ZERO,
        weights=of(tiny, ZERO, tmp_path / "weights"),
        steps=2,
        batch_size=4,
        lr=1e-3,
    )
    (tmp_path / "scratch").mkdir()
    train.body(spec, {"data": tiny.latents}, tmp_path, Runtime(tmp_path / "scratch"))
    student = load_dit(tmp_path / "model", ZERO)
    assert student.shape == ZERO
    before = load_dit(Path(tiny.weights.path)).state_dict()
    moved = [name for name, value in student.state_dict().items() if not torch.equal(value, before[name])]
    assert moved
    assert all(value.isfinite().all() for value in student.state_dict().values())


def test_every_schedule_has_a_key_of_its_own_and_the_usual_one_none() -> None:
    def key(shape: DiTShape) -> str:
        sampling = Sampling(shape=shape, sampler="ddim", grid="even", nfe=10)
        return SampleSpec(sampling=sampling, resolution=32, start=0, count=1).key()

    others = [
        V,
        *(
            replace(SHAPE, schedule=Schedule(**{name: value}))
            for name, value in (
                ("betas", "scaled-linear"),
                ("start", 2e-4),
                ("end", 1e-2),
                ("zero_snr", True),
                ("spacing", "trailing"),
                ("offset", 1),
                ("to_clean", False),
            )
        ),
    ]
    assert len({key(SHAPE), *(key(shape) for shape in others)}) == len(others) + 1
    assert key(replace(SHAPE, prediction="eps", schedule=Schedule())) == key(SHAPE)
