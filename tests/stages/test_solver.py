"""Every sampler that a suite can name, run by the ``sample`` stage on a tiny model."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ssdbench.diffusion import noise
from ssdbench.diffusion.denoiser import Guided
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import SsdbenchError
from ssdbench.models.checkpoint import load_dit, save_dit
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import timesteps
from ssdbench.stages import Runtime, SampleSpec, Source, sample
from ssdbench.stages.sample import Fused, GuidanceSetting, Sampling
from ssdbench.suite.catalog import SAMPLERS
from ssdbench.training.fusion import FusedStudent

from .conftest import SHAPE, Tiny


def latents(tiny: Tiny, output: Path, count: int = 6, start: int = 0, **settings: object) -> torch.Tensor:
    output.mkdir(parents=True)
    how = {"sampler": "ddim", "grid": "even", "nfe": 4, "weights": tiny.weights} | settings
    spec = SampleSpec(
        sampling=Sampling(shape=SHAPE, **how), resolution=32, vae=tiny.vae, seed=5, start=start, count=count
    )
    facts = sample.body(spec, {}, output, Runtime(output))
    if not SAMPLERS[how["sampler"]].adaptive:
        assert facts == {"nfe": how["nfe"]}  # counted, and what was declared
    else:
        assert facts["nfe"] >= 8  # two evaluations to begin with, and six a step
    return load_file(output / "samples.safetensors")["latents"]


CASES = [
    *(
        (name, None)
        for name, sampler in SAMPLERS.items()
        if "eps" in sampler.predictions and not sampler.second_time
    ),
    *(
        (name, flow)
        for name, sampler in SAMPLERS.items()
        if "v" in sampler.predictions and not sampler.second_time  # the tiny model has none
        for flow in (0, 1)
    ),
]


@pytest.mark.parametrize(("name", "flow"), CASES)
def test_every_named_sampler_counts_its_evaluations_and_depends_on_seed_and_index_alone(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, flow: int | None
) -> None:
    settings = {"sampler": name, "flow": flow, "guidance": GuidanceSetting(scale=1.5, channels=3)}
    sampler = SAMPLERS[name]
    if sampler.follows_pairs:
        settings |= {"pairs": (2,), "lam": 0.5}  # three timesteps, one pair
    elif sampler.extrapolates:
        settings["fused"] = Fused(layers=(1,), w=0.3, pairs=(1, 2))
    else:
        settings["nfe"] = sampler.nfe(max(4, sampler.fewest))
    whole = latents(tiny, tmp_path / "whole", **settings)
    monkeypatch.setattr(sample, "BATCH", 2)
    part = latents(tiny, tmp_path / "part", count=3, start=3, **settings)
    torch.testing.assert_close(part, whole[3:], rtol=1e-4, atol=1e-4)


def test_stochastic_sampling_differs_from_the_deterministic_one_and_between_steps(
    tiny: Tiny, tmp_path: Path
) -> None:
    assert not torch.allclose(
        latents(tiny, tmp_path / "a", sampler="sde"), latents(tiny, tmp_path / "b"), atol=0.1
    )
    first, second = (noise.normal((4, 8, 8), 5, f"sample/step/{step}", range(100)) for step in (0, 1))
    start = noise.normal((4, 8, 8), 5, "sample/noise", range(100))
    for a, b in ((first, second), (first, start)):
        assert abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) < 0.03


def test_a_step_more_than_declared_is_an_error(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sampling, "timesteps", lambda self: timesteps("even", 5))
    with pytest.raises(SsdbenchError, match="used 5 function evaluations where 4 were declared"):
        latents(tiny, tmp_path / "x")


def test_a_fused_student_is_sampled_through_its_fusion_points(tiny: Tiny, tmp_path: Path) -> None:
    torch.manual_seed(3)
    student = load_dit(Path(tiny.weights.path))
    for parameter in student.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    save_dit(student, tmp_path / "student")
    settings = {
        "weights": Source(digest="c" * 64, path=str(tmp_path / "student")),
        "guidance": GuidanceSetting(scale=1.5, channels=3),
    }
    fused = Fused(layers=(1,), w=0.6, pairs=(1, 2, 3), frozen=tiny.weights)
    found = latents(tiny, tmp_path / "fused", fused=fused, **settings)
    denoiser = FusedStudent(student, load_dit(Path(tiny.weights.path)), [1], 0.6)
    x = noise.normal((4, 8, 8), 5, "sample/noise", range(6))
    labels = noise.integers(10, 5, "sample/label", range(6))
    guided = Guided(denoiser, student.null, 1.5, 3)
    with torch.no_grad():
        expected = ddim(guided, x, timesteps("even", 4), alphas_cumprod(), labels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    plain = latents(tiny, tmp_path / "plain", **settings)
    assert not torch.allclose(found, plain, atol=1e-2)
    for name, other in (("w = 0", {"w": 0.0}), ("no pair", {"pairs": ()})):
        unmixed = latents(tiny, tmp_path / name, fused=fused.model_copy(update=other), **settings)
        torch.testing.assert_close(unmixed, plain)
    # A student of the noisiest pair alone is fused at g[2] alone.
    first = latents(tiny, tmp_path / "first", fused=fused.model_copy(update={"pairs": (3,)}), **settings)
    assert not torch.allclose(first, plain, atol=1e-3)
    assert not torch.allclose(first, found, atol=1e-3)


def test_the_guidance_interval_is_on_the_models_own_time_axis(tiny: Tiny, tmp_path: Path) -> None:
    # Four steps evaluate at the noise levels 1, 0.75, 0.5, 0.25 of a flow, in either direction of its time.
    first, none = (GuidanceSetting(scale=3.0, interval=interval) for interval in ((0.9, 1.0), (0.0, 0.2)))
    for flow in (0, 1):
        unguided = latents(tiny, tmp_path / f"{flow}", flow=flow)
        assert torch.equal(latents(tiny, tmp_path / f"{flow} none", flow=flow, guidance=none), unguided)
        guided = latents(tiny, tmp_path / f"{flow} first", flow=flow, guidance=first)
        assert not torch.allclose(guided, unguided, atol=1e-3)
