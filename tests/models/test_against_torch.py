"""Tensors read from a checkpoint's bytes by its headers are those that torch's own reader gives."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssdbench.models.files import in_file, read_tensors

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]


@st.composite
def views(draw: st.DrawFn) -> Tensor:
    """A tensor, or what is left of one that was cut, turned, repeated in part, or stepped through."""
    sides = draw(st.lists(st.integers(2, 5), min_size=1, max_size=3))
    whole = torch.randn(sides, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    tensor = (8 * whole).to(draw(st.sampled_from(DTYPES)))
    for side, length in enumerate(sides):
        if draw(st.booleans()):
            start = draw(st.integers(0, length - 1))
            steps = (slice(None),) * side
            tensor = tensor[(*steps, slice(start, None, draw(st.integers(1, 2))))]
    return tensor.movedim(0, -1) if draw(st.booleans()) else tensor


@pytest.mark.parametrize("zipped", [True, False])
@given(tensors=st.lists(views(), min_size=1, max_size=4), kept=st.data())
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_read_is_what_torch_reads(
    tmp_path: Path, zipped: bool, tensors: list[Tensor], kept: Any
) -> None:
    state: dict[str, Tensor] = {f"block.{i}.weight": tensor for i, tensor in enumerate(tensors)}
    if kept.draw(st.booleans()):
        state["shared"] = tensors[0]  # two names of one storage
    if kept.draw(st.booleans()):
        state["parameter"] = torch.nn.Parameter(torch.arange(3.0))
    path = tmp_path / "x.pt"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    expected = torch.load(path, weights_only=True)
    found = read_tensors(in_file(path))
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.dtype == expected[name].dtype, name
        assert torch.equal(tensor, expected[name]), name
