"""On a GPU: the CPU's values, nothing that waits where it need not, CUDA graphs and compiled models.

Imports no more than torch and numpy, so that it runs on a machine with little else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ssdbench.diffusion.denoiser import Counted, Guided, Prediction
from ssdbench.diffusion.finite import Finite
from ssdbench.diffusion.process import Discrete
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import Interrupted, NotFinite
from ssdbench.methods.ssd_loss import ExplicitSSD, ImplicitSSD, SelfStep
from ssdbench.models.compiled import Compiled, Graphed
from ssdbench.models.dit import DiT
from ssdbench.models.linear import Linear, _takes_gelu
from ssdbench.models.precision import Precision, computing, round_products
from ssdbench.models.shapes import DiTShape
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import timesteps
from ssdbench.training.loop import LOSSES, optimise
from ssdbench.training.objectives import Batch, Shared
from ssdbench.training.optimisation import Optimisation

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

SHAPE = DiTShape(128, 3, 4, input_size=16, num_classes=10)
ALPHAS, GRID = alphas_cumprod("linear"), timesteps("even", 5)
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    with computing("cuda", "float32"):
        yield


def model_on(device: str) -> DiT:
    """A DiT none of whose gates is zero, the same on every device."""
    torch.manual_seed(1)
    model = DiT(SHAPE)
    for name, parameter in model.named_parameters():
        if name != "pos_embed":
            nn.init.normal_(parameter, std=0.05)
    return model.eval().requires_grad_(False).to(device)


def given(batch: int, device: str = "cuda") -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    x = torch.randn(batch, 4, 16, 16, generator=generator)
    t = torch.randint(0, 1000, (batch,), generator=generator)
    y = torch.randint(0, 11, (batch,), generator=generator)
    return x.to(device), t.to(device), y.to(device)


def off(found: Tensor, expected: Tensor) -> float:
    """Root of the mean squared difference, over that of what is expected."""
    difference = found.cpu().double() - expected.cpu().double()
    return float(difference.square().mean().sqrt() / expected.double().square().mean().sqrt())


@contextmanager
def no_waiting() -> Iterator[None]:
    """Inside, whatever makes the CPU wait for the GPU is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def sampled(device: str, precision: Precision = "float32") -> Tensor:
    model = model_on(device)
    if precision == "bfloat16":
        round_products(model)
    x, _, y = given(6, device)
    with torch.inference_mode(), computing(device, precision):
        guided = Guided(lambda *batch: model(*batch).float(), model.null, 1.5, 3)
        finite = Finite(Prediction(guided), "eps", range(6), len(GRID))
        latents = ddim(finite, x, GRID, ALPHAS, y)
        finite.settle()
    return latents


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-5), ("tf32", 5e-3), ("bfloat16", 3e-2)])
def test_guided_samples_are_those_of_a_cpu(precision: Precision, most: float) -> None:
    assert off(sampled("cuda", precision), sampled("cpu")) < most


def test_sampling_does_not_wait_for_the_gpu() -> None:
    model = model_on("cuda")
    x, _, y = given(4)
    guided = Guided(model, model.null, 1.5, 3)
    with torch.inference_mode():
        ddim(Prediction(guided), x, GRID, ALPHAS, y)  # first calls may wait
        finite = Finite(Prediction(guided), "eps", range(4), len(GRID))
        counted = Counted(finite)
        with no_waiting():
            ddim(counted, x, GRID, ALPHAS, y)
        finite.settle()
    assert counted.nfe == len(GRID)


@pytest.mark.parametrize("bad", [1, 3, 5])
def test_what_is_not_finite_is_told_of_the_evaluation_where_it_arose(bad: int) -> None:
    calls = 0

    def denoise(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        out = 0.1 * x
        if calls == bad:
            out[2, 0, 0, 0] = float("nan")
        return out

    x, _, y = given(4)
    finite = Finite(denoise, "eps", range(10, 14), len(GRID))

    def run() -> None:
        ddim(finite, x, GRID, ALPHAS, y)
        finite.settle()

    with pytest.raises(NotFinite, match=rf"predictions eps of samples 12 .* evaluation {bad} of 5"):
        run()
    assert calls == min(bad + 1, len(GRID))


@pytest.mark.parametrize(("precision", "most"), [("float32", 0.0), ("tf32", 1e-3), ("bfloat16", 1e-2)])
def test_a_rounded_product_takes_the_gelu_along_in_inference_mode_alone(
    precision: Precision, most: float
) -> None:
    torch.manual_seed(0)
    layer = Linear(64, 256).cuda().requires_grad_(False)
    if precision == "bfloat16":
        round_products(layer)
    assert _takes_gelu(layer.weight.device, layer.weight.dtype), "the fast way is not taken on this GPU"
    x = torch.randn(3, 40, 64, device="cuda")
    with computing("cuda", precision):
        apart = layer.gelu(x)
        with torch.inference_mode():
            together = layer.gelu(x)
    assert (together.dtype, together.shape) == (apart.dtype, apart.shape)
    assert off(together.float(), apart.float()) <= most


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_graph_gives_the_same_bits_and_leaves_earlier_results_alone(precision: Precision) -> None:
    model = model_on("cuda")
    if precision == "bfloat16":
        round_products(model)
    graphed = Graphed(model)
    with torch.inference_mode(), computing("cuda", precision):
        batches = [given(4), given(2), given(4), tuple(part.flip(0) for part in given(4))]
        found = [graphed(*batch) for batch in batches]
        expected = [model(*batch) for batch in batches]
    assert not graphed.failed
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_a_compiled_model_gives_the_same_to_rounding(precision: Precision, most: float) -> None:
    model, exact = model_on("cuda"), model_on("cuda")
    if precision == "bfloat16":
        round_products(model)
    compiled = Compiled(model, "cuda")
    with torch.inference_mode():
        for batch in (given(4), tuple(part.flip(0) for part in given(4))):
            with computing("cuda", precision):
                found = compiled(*batch)
            assert off(found.float(), exact(*batch)) < most
    assert not compiled.failed
    assert compiled.graphs is not None
    assert not compiled.graphs.failed


class Watch:
    def __init__(self, until: int) -> None:
        self.left = until

    def report(self, done: int, total: int, unit: str, **values: float | str) -> None:
        self.left -= 1

    def stopping(self) -> bool:
        return self.left <= 0


def objective(device: str, explicit: bool) -> SelfStep:
    process, pairs = Discrete(ALPHAS), range(1, len(GRID))
    if explicit:
        return ExplicitSSD(model_on(device), process, GRID, pairs, Shared(), 0.5)
    return ImplicitSSD(model_on(device), process, GRID, pairs, Shared(), range(SHAPE.depth), 0.1)


def losses(device: str, scratch: Path, explicit: bool, stop: int = 99) -> list[float]:
    """Losses of six steps of distillation; those of an interrupted training are followed by the rest's."""
    scratch.mkdir(exist_ok=True)
    objects, student = objective(device, explicit), model_on(device)
    for name, parameter in student.named_parameters():
        parameter.requires_grad_(name != "pos_embed")
    x, _, y = given(24, device)

    def loss_at(step: int) -> Tensor:
        rows = slice(4 * step, 4 * step + 4)
        batch = Batch(x[rows], y[rows].clamp(max=9), 7, range(4 * step, 4 * step + 4))
        return objects.loss(student, batch)  # type: ignore[attr-defined, no-any-return]

    settings = Optimisation(steps=6, lr=1e-4, ema=0.9, grad_clip=1.0)
    try:
        optimise(student, loss_at, settings, scratch=scratch, watch=Watch(stop), device=device)
    except Interrupted:
        optimise(student, loss_at, settings, scratch=scratch, watch=Watch(99), device=device)
    return [json.loads(line)["loss"] for line in (scratch / LOSSES).read_text().splitlines()]


@pytest.mark.parametrize("explicit", [True, False])
def test_distillation_has_the_losses_of_a_cpu_and_goes_on_after_a_stop(
    explicit: bool, tmp_path: Path
) -> None:
    expected = losses("cpu", tmp_path / "cpu", explicit)
    found = losses("cuda", tmp_path / "gpu", explicit)
    stopped = losses("cuda", tmp_path / "stopped", explicit, stop=3)
    assert len(expected) == 6
    assert found == pytest.approx(expected, rel=1e-3)
    assert stopped == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("explicit", [True, False])
def test_a_loss_does_not_wait_for_the_gpu(explicit: bool) -> None:
    objects, student = objective("cuda", explicit), model_on("cuda").requires_grad_(True)
    x, _, y = given(4)
    batch = Batch(x, y.clamp(max=9), 7, range(4))
    objects.loss(student, batch).backward()  # type: ignore[attr-defined]
    with no_waiting():
        objects.loss(student, batch).backward()  # type: ignore[attr-defined]


# The last one: a recording that broke off may leave PyTorch's generator of random numbers on the GPU unusable.
def test_what_cannot_be_recorded_runs_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    def asks(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return x * float(t.sum().item())

    graphed = Graphed(asks)
    batch = given(3)
    for _ in range(2):
        assert torch.equal(graphed(*batch), asks(*batch))
    assert graphed.failed
    assert capfd.readouterr().err.count("cannot be recorded as a CUDA graph") == 1
