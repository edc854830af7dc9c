"""Hours on a device against the figures that were measured there, and shared work counted once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ssdbench
from ssdbench.errors import UsageError
from ssdbench.models.catalog import MODELS
from ssdbench.plan import build
from ssdbench.plan.device import ASSUMED, device, records
from ssdbench.stages import SampleSpec, StageSpec, TrainSpec
from ssdbench.stages.autoencoding import decode_flops
from ssdbench.suite import load_suite

H100 = json.loads(records()["h100"].read_text())["parts"]


def specs(only: str, **overrides: Any) -> list[StageSpec]:
    """Stages of Table 2's rows of DiT-XL/2 at 256 pixels."""
    suite = load_suite("table2", only=f"resolution=256,model=DiT-XL/2,{only}", **overrides)
    return [node.spec for node in build(suite, outline=True).nodes.values()]


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_images_take_as_long_as_they_took(precision: str) -> None:
    """DiT-XL/2's images a second at 10 evaluations, which were measured without decoding."""
    sampled = [
        s for s in specs("variant=base,nfe=10", overrides=[f"dtype={precision}"]) if isinstance(s, SampleSpec)
    ]
    assert sum(spec.count for spec in sampled) == 50_000
    best = max(H100["DiT-XL/2, 32 latents"][f"ours, {precision}"]["batches"], key=lambda row: row["images_s"])
    decoding = 50_000 * decode_flops(256) / (best["tflops"] * 1e12)
    assert 3600 * device("h100").hours(sampled) == pytest.approx(50_000 / best["images_s"] + decoding)


def test_steps_take_as_long_as_they_took() -> None:
    """A step of explicit SSD at batch 128 in bfloat16; in float32 it is as quick as DiT-S/2, which was measured."""
    found = {}
    for autocast in (None, "bfloat16"):
        [spec] = [
            s
            for s in specs("variant=ssd,nfe=10", overrides=[f"train.autocast={autocast or 'null'}"])
            if isinstance(s, TrainSpec)
        ]
        assert (spec.steps, spec.batch_size) == (8007, 128)
        found[autocast] = 3600 * device("h100").hours([spec]) / spec.steps
    step = H100["training"]
    assert found["bfloat16"] == pytest.approx(step["DiT-XL/2, bfloat16"]["ms"]["ssd"] / 1e3)
    passes = {size: MODELS[f"DiT-{size}/2"].shapes[256].forward_flops() for size in ("S", "XL")}
    small = step["DiT-S/2, float32"]["ms"]["ssd"] / 1e3
    assert found[None] == pytest.approx(small * passes["XL"] / passes["S"])


def test_what_suites_share_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSDBENCH_DATA", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    only = "nfe=250,resolution=256,variant=base,model=DiT-XL/2"
    plan = ssdbench.load("table2", "table5", only=only, results=tmp_path / "res").plan()
    found = plan.estimate("h100")
    two, five = found.suites
    assert (two.runs, five.runs) == (1, 1)
    assert two.hours == pytest.approx(five.hours)  # the same row
    assert found.together.hours == pytest.approx(two.hours) == pytest.approx(plan.hours("h100"))
    assert found.together.runs == 2
    assert [line[0] for line in found.lines()] == ["table2", "table5", "together, shared work once"]
    assert "37.8 TFLOP/s sampling DiT-XL/2, 32 latents in float32" in found.remark()
    assert "measured on one NVIDIA H100 80GB HBM3" in found.remark()
    assert found.as_dict()["together"]["hours"] == found.together.hours


def test_what_is_assumed_is_said() -> None:
    for name, one in ASSUMED.items():
        assert "assumed: half of its published" in one.about, name
    assert "given: 2.5 TFLOP/s" in device("2.5").about


def test_a_record_of_ones_own_is_a_device(tmp_path: Path) -> None:
    own = tmp_path / "mine.json"
    own.write_text(records()["h100"].read_text())
    assert device(str(own)) == device("h100")
    for text, told in (
        ("{", "cannot be read as JSON"),
        ("{}", "it lacks 'parts'"),
        (
            '{"parts": {"training": {}, "features": {"FID Inception": {"images_s": 1}}}}',
            "no rates in float32",
        ),
    ):
        own.write_text(text)
        with pytest.raises(UsageError, match=told):
            device(str(own))
    with pytest.raises(UsageError, match=r"none\.json"):
        device(str(tmp_path / "none.json"))
