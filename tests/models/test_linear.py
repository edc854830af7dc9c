"""The fast linear layer against torch's own in float64, forward and backward."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssdbench.models import linear
from ssdbench.models.gelu import gelu
from ssdbench.models.linear import Linear


def test_the_kernel_is_used_on_this_machine() -> None:
    if not linear.available():
        pytest.skip("this build of PyTorch has no oneDNN linear kernel; nn.Linear is used")
    assert linear.applies(torch.ones(2, 3), torch.ones(4, 3))


@pytest.fixture(params=["fused", "apart"])
def either_gelu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor whose product takes the GELU along, and as on one where it comes after."""
    monkeypatch.setattr(linear, "capability", lambda: "AVX512" if request.param == "fused" else "AVX2")


@pytest.mark.usefixtures("either_gelu")
@pytest.mark.parametrize("shape", [(7,), (5, 7), (3, 5, 7), (2, 1, 1, 7)])
@pytest.mark.parametrize("out", [3, 19])  # narrower and wider than the input: the weight's gradient differs
@pytest.mark.parametrize("activated", [False, True])
def test_values_and_gradients_are_those_of_float64(shape: tuple[int, ...], out: int, activated: bool) -> None:
    torch.manual_seed(0)
    fast, exact = Linear(7, out), nn.Linear(7, out).double()
    exact.load_state_dict(fast.state_dict())
    x = torch.randn(shape)
    weight = torch.randn(*shape[:-1], out)

    def run(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        x = x.requires_grad_()
        y = (
            layer(x)
            if not activated
            else layer.gelu(x)
            if layer is fast
            else F.gelu(layer(x), approximate="tanh")
        )
        (y * weight.to(y)).sum().backward()
        return y, x.grad, layer.weight.grad, layer.bias.grad

    for found, expected in zip(run(fast, x.clone()), run(exact, x.double()), strict=True):
        torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=2e-5)


@pytest.mark.usefixtures("either_gelu")
@pytest.mark.parametrize("activated", [False, True])
def test_values_are_the_same_bits_with_gradients_and_without(activated: bool) -> None:
    torch.manual_seed(0)
    layer, x = Linear(64, 256), torch.randn(10, 16, 64)
    call = layer.gelu if activated else layer
    with torch.no_grad():
        without = call(x)
    assert torch.equal(call(x), without)


def test_strided_inputs_and_gradients() -> None:
    torch.manual_seed(0)
    layer, x = Linear(6, 4), torch.randn(6, 5)
    y = layer(x.t())
    torch.testing.assert_close(y, F.linear(x.t(), layer.weight, layer.bias))
    y.t().contiguous().t().sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.sum(1).expand(4, 6))


def test_frozen_parameters_get_no_gradient() -> None:
    layer = Linear(3, 2).requires_grad_(False)
    x = torch.randn(4, 3, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(4, 3))


def test_other_precisions_are_left_to_torch() -> None:
    layer = Linear(3, 2).to(torch.bfloat16)
    x = torch.randn(4, 3, dtype=torch.bfloat16)
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))
    wide = Linear(3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert wide(torch.randn(4, 3)).dtype == torch.bfloat16
    assert Linear(3, 2)(torch.zeros(0, 3)).shape == (0, 2)


def test_a_gelu_by_a_sigmoid_is_the_one_by_a_tanh() -> None:
    # More values than are taken at once, out to where both tails are flat.
    y = torch.linspace(-30, 30, 3 * 2**16 + 5).view(1, -1)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))

    def run(call: Callable[[Tensor], Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
        y = y.requires_grad_()
        found = call(y)
        found.backward(grad.to(y))
        assert y.grad is not None
        return found.detach().double(), y.grad.double()

    expected = run(partial(F.gelu, approximate="tanh"), y.double())
    for found, exact in zip(run(gelu, y.clone()), expected, strict=True):
        torch.testing.assert_close(found, exact, atol=2e-6, rtol=1e-5)
    with torch.no_grad():
        rows = gelu(y.view(-1)[: 2**16].view(256, 256))
        assert torch.equal(rows[17], gelu(y.view(-1)[17 * 256 : 18 * 256]))  # a row's bits are its own
