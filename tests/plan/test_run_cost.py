"""What a run takes, against counts by hand: passes and operations of an image, and of all trainings behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.make import make_record, make_run

from ssdbench.layouts import COST, LAYOUTS
from ssdbench.models.shapes import DiTShape
from ssdbench.plan import RunCost, build, run_cost
from ssdbench.report.build import build as build_table
from ssdbench.report.columns import choose_columns
from ssdbench.report.frame import flat_rows
from ssdbench.report.rows import Result, gather
from ssdbench.stages import SampleSpec
from ssdbench.stages.sample import GuidanceSetting, Sampling
from ssdbench.suite import load_suite

SUITE = """\
suite: costs
title: Costs
defaults:
  model: {model}
  nfe: 4
  resolution: 32
  guidance: {{scale: 1.5}}
  train: {{steps: 10, batch_size: 8}}
  eval: {{samples: 16, reference: fashion-mnist, network: effnet-lite0}}
runs:
  - {row}
"""


def cost_of(tmp_path: Path, row: str, model: str = "dit-mini") -> tuple[RunCost, float]:
    """The cost of a suite of one row, and the operations of one forward pass."""
    path = tmp_path / "costs.yaml"
    path.write_text(SUITE.format(row=row, model=model))
    graph = build(load_suite(path))
    [planned] = graph.runs
    assert planned.target is not None, planned.reason
    found = run_cost(graph, planned.target)
    assert found is not None
    shards = [node.spec for node in graph.nodes.values() if isinstance(node.spec, SampleSpec)]
    forward = next((one.sampling.shape.forward_flops() for one in shards if one.sampling), 0.0)
    return found, forward


@pytest.mark.parametrize(
    ("row", "passes", "training", "steps"),
    [
        # training: forward passes for each of the 8 images of each step; a backward pass is two
        ("{variant: base}", 8, 0, 0),
        ("{variant: base, guidance: {scale: 1.0}}", 4, 0, 0),
        ("{variant: base, guidance: {scale: 1.5, interval: [0.0, 0.5]}}", 4 + 2, 0, 0),  # at 0 and 333
        ("{variant: base, sampler: ab2, nfe: 6}", 12, 0, 0),
        ("{variant: base, sampler: dpm-solver-2}", 8, 0, 0),
        ("{variant: continual}", 8, 3 * 10, 10),
        ("{variant: ssd}", 8, (2 + 3) * 10, 10),
        # Guidance is inside: no second branch in sampling, one in the training's pass of the frozen model.
        ("{variant: gd}", 4, (2 + 3) * 10, 10),
        ("{variant: gd, guidance: {scale: 1.5, interval: [0.0, 0.5]}}", 4, (1.5 + 3) * 10, 10),
        ("{variant: gd + issd}", 4, (2 + 3 + 2 + 3) * 10, 20),
        ("{variant: consistency, sampler: consistency, grid: trailing}", 4, (2 + 1 + 3) * 10, 10),
        ("{variant: consistency, sampler: consistency, grid: trailing, nfe: 1}", 1, (2 + 1 + 3) * 10, 10),
        ("{variant: issd, fused: true}", 16, (2 + 3) * 10, 10),
        ("{variant: issd, train: {teacher_guidance: 2.0}}", 8, (4 + 3) * 10, 10),
        # a fifth of the batches is one frozen and one trained pass
        ("{variant: issd, train: {anchor: 0.2}}", 8, 0.8 * 50 + 0.2 * 40, 10),
        ("{variant: pd 8-4, train: {pd_steps: 6}}", 8, (2 + 3) * 6, 6),
        ("{variant: pd 16-8-4 + issd, train: {pd_steps: 6}}", 8, (2 + 3) * (6 + 6 + 10), 22),
        # the weights after 4 of 10 steps took 4
        ("{variant: ssd, at_step: 4, train: {checkpoints: [4]}}", 8, (2 + 3) * 4, 4),
        ("{variant: pd 8-4 + ssd, at_step: 4, train: {checkpoints: [4], pd_steps: 6}}", 8, 5 * (6 + 4), 10),
    ],
)
def test_by_hand(tmp_path: Path, row: str, passes: float, training: float, steps: int) -> None:
    found, forward = cost_of(tmp_path, row)
    assert found.forward_passes == passes
    assert found.training_flops == pytest.approx(8 * training * forward)
    assert (found.train_steps, found.train_images) == (steps, 8 * steps)
    decoding = 32 * 32 * 2e5
    assert found.sampling_flops == pytest.approx(passes * forward + decoding)


def test_a_flow_is_guided_where_the_interval_says(tmp_path: Path) -> None:
    """SiT's time runs from the noise to the data: of 4 steps at 0, 1/4, 1/2, 3/4 the first two are noisier than 0.4."""
    guided = "{variant: base, guidance: {scale: 1.5, interval: [0.0, 0.4]}}"
    found, _ = cost_of(tmp_path, guided, "sit-mini")
    assert found.forward_passes == 4 + 1


def test_the_samples_that_a_training_learns_from_are_part_of_its_cost(tmp_path: Path) -> None:
    found, forward = cost_of(tmp_path, "{variant: ssd, data: synthetic-20, train: {synthetic_images: 30}}")
    made = 30 * (20 * 2 * forward + 32 * 32 * 2e5)
    assert found.training_flops == pytest.approx(8 * 5 * 10 * forward + made)


def test_images_of_a_data_set_take_no_pass(tmp_path: Path) -> None:
    found, _ = cost_of(tmp_path, "{variant: real, sampler: none, nfe: 0, guidance: {scale: 1.0}}")
    assert (found.forward_passes, found.training_flops, found.train_steps) == (0, 0, 0)


def test_an_adaptive_sampler_costs_what_it_took(tmp_path: Path) -> None:
    path = tmp_path / "costs.yaml"
    path.write_text(SUITE.format(row="{variant: base, sampler: dopri5, nfe: 0}", model="sit-mini"))
    graph = build(load_suite(path))
    [planned] = graph.runs
    assert planned.target is not None, planned.reason
    few, many = (run_cost(graph, planned.target, nfe) for nfe in (30, 60))
    assert few is not None
    assert many is not None
    assert (few.forward_passes, many.forward_passes) == (60, 120)
    assert many.sampling_flops - few.sampling_flops == pytest.approx(few.sampling_flops - 32 * 32 * 2e5)


def test_tables_and_flat_records_show_it() -> None:
    planned = RunCost(20.0, 2.5e9, 3.456e12, 200, 25_600)
    run = make_run("issd")
    record = make_record(run, fd=1.0)
    known, unknown = Result(run, record, planned=planned), Result(make_run("base"), record)
    layout = choose_columns(LAYOUTS["plain"], ["cost", "fd"])
    assert layout.fields == COST
    table = build_table(gather([known, unknown]), layout, name="t", title="t")
    [section] = table.sections
    assert [cell.text for cell in section.lines[0]][1:-1] == ["20", "2.5", "3.46", "200", "25.6"]
    assert [cell.text for cell in section.lines[1]][1:-1] == ["–"] * 5
    first, second = flat_rows(gather([known, unknown]), suite="s")
    assert first["cost.forward_passes"] == 20.0
    assert first["cost.train_images"] == 25_600
    assert not [name for name in second if name.startswith("cost.")]


def test_a_record_that_says_it_is_believed_before_the_plan() -> None:
    """An adaptive sampler's evaluations are known from the record alone."""
    run = make_run("base")
    told = {
        "forward_passes": 61.0,
        "sampling_flops": 1e9,
        "training_flops": 0.0,
        "train_steps": 0,
        "train_images": 0,
    }
    bare = make_record(run, fd=1.0)
    stage = {
        **{
            "kind": "score",
            "title": "t",
            "seconds": 1.0,
            "peak_rss_mb": 1.0,
            "cached": False,
            "digest": "d" * 64,
        },
        **{"device": "cpu", "threads": 1, "sources": "s", "facts": {"cost": told}},
    }
    record = make_record(run, fd=1.0, stages={bare.key: stage})
    assert record.key == bare.key
    plan = RunCost(100.0, 0.0, 0.0, 0, 0)
    for result, passes in (
        (Result(run, record, planned=plan), 61.0),
        (Result(run, bare, planned=plan), 100.0),
    ):
        assert result.cost is not None
        assert result.cost.forward_passes == passes
    assert Result(run, bare).cost is None


def test_what_the_interval_guides_is_what_is_planned() -> None:
    """The sampler's own count of rows: see ``Guided``."""
    import torch

    rows = []

    def network(x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        rows.append(len(x))
        return x

    for flow, interval in ((None, (0.2, 0.7)), (0, (0.0, 0.5)), (1, (0.25, 0.75)), (None, None)):
        how = Sampling(
            shape=DiTShape(width=32, depth=1, heads=2),
            sampler="ddim",
            grid="even" if flow is None else "uniform",
            nfe=8,
            flow=flow,
            guidance=GuidanceSetting(scale=2.0, interval=interval),
        )
        rows.clear()
        denoiser = how.guidance.of(network, torch.tensor(0), how.axis)
        for time in how.evaluated:
            denoiser(torch.zeros(1, 4, 2, 2), torch.tensor([time]), torch.tensor([1]))
        assert how.forwards == sum(rows)
