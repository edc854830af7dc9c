"""What the benchmarks compare with has our values, and their arithmetic is right; no time is measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ssdbench.diffusion.denoiser import Guided, Prediction
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import timesteps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import overlap
import paired
from plain_dit import PlainDiT, plain_ddim

SHAPES = [
    DiTShape(64, 3, 4, input_size=8, num_classes=10, learn_sigma=False),
    DiTShape(48, 2, 4, input_size=16, num_classes=10),
]


def trained(shape: DiTShape) -> DiT:
    """A DiT none of whose gates is zero."""
    torch.manual_seed(1)
    model = DiT(shape)
    for name, parameter in model.named_parameters():
        if name != "pos_embed":
            nn.init.normal_(parameter, std=0.05)
    return model.requires_grad_(False)


@pytest.mark.parametrize("shape", SHAPES)
def test_guided_samples_are_those_of_an_unoptimised_model_and_loop(shape: DiTShape) -> None:
    model = trained(shape)
    plain = PlainDiT(shape)
    plain.load_state_dict(model.state_dict())
    z = torch.randn(5, 4, shape.input_size, shape.input_size)
    labels, grid, alphas = torch.tensor([0, 3, 3, 9, 1]), timesteps("even", 10), alphas_cumprod("linear")
    with torch.inference_mode():
        found = ddim(Prediction(Guided(model, model.null, 1.5, 3)), z, grid, alphas, labels)
        expected = plain_ddim(plain, z, labels, grid, alphas, shape.num_classes, 1.5, 3)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_no_norm_is_given_tokens_that_it_has_to_copy() -> None:
    model = trained(SHAPES[0])
    seen: list[bool] = []
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].is_contiguous()))
    model(torch.randn(2, 4, 8, 8), torch.tensor([1, 2]), torch.tensor([0, 10]))
    assert seen == [True] * 7  # two a block, and the last


def test_a_spread_is_of_the_middle_eight_tenths() -> None:
    spread = paired.Spread.of([float(i) for i in range(11)])
    assert (spread.middle, spread.low, spread.high) == (5.0, 1.0, 9.0)
    assert f"{spread:.1f}" == "5.0 (1.0 to 9.0)"


def test_ratios_are_taken_within_a_round() -> None:
    """The machine slows down tenfold in the third round: the ratio does not see it."""
    rounds = paired.Rounds({"a": [2.0, 2.2, 20.0], "b": [1.0, 1.1, 10.0]})
    ratio = rounds.ratio("a", "b")
    assert ratio.middle == pytest.approx(2.0)
    assert ratio.low == pytest.approx(ratio.high)


def test_the_order_turns_and_what_is_over_budget_stops_early() -> None:
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name)) for name in "abc"}
    found = paired.measure(calls, 9, budget=0.0)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"  # the first warms up
    assert found.count == paired.FEWEST


def test_the_work_of_a_store_is_its_sum_and_its_longest_chain(tmp_path: Path) -> None:
    def stage(key: str, second: int, seconds: float, *inputs: str) -> None:
        folder = tmp_path / "artifacts" / key[:2] / key
        folder.mkdir(parents=True)
        manifest = {
            "key": key,
            "started": f"2030-01-01T00:00:{second:02d}+00:00",
            "seconds": seconds,
            "inputs": {str(i): {"key": source} for i, source in enumerate(inputs)},
        }
        (folder / "DONE.json").write_text(json.dumps(manifest))

    stage("aa1", 0, 4.0)
    stage("bb2", 0, 1.0)
    stage("cc3", 5, 2.0, "aa1", "bb2")
    stage("dd4", 9, 0.5, "cc3", "a dropped one")
    work = overlap.Work.read(tmp_path)
    assert (work.stages, work.total, work.chain, work.span) == (4, 7.5, 6.5, 9.5)
