"""Plans on a machine without weights and data: all of the work, with what is missing beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import ssdbench
from ssdbench.errors import UsageError
from ssdbench.plan import build
from ssdbench.plan.sources import ABSENT
from ssdbench.suite import list_suites, load_suite


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing but the installation is there."""
    for name in ("SSDBENCH_DATA", "TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


@pytest.mark.parametrize("name", list_suites())
def test_every_row_of_every_suite_is_planned(name: str) -> None:
    suite = load_suite(name)
    outline = build(suite, outline=True)
    assert all(planned.target for planned in outline.runs), [one.reason for one in outline.runs]
    waiting = outline.waiting()
    for planned in outline.runs:
        assert (planned.target in waiting) == bool(planned.missing)
    if outline.missing:
        here = build(suite)
        assert [planned.missing for planned in outline.runs] == [planned.missing for planned in here.runs]
        assert here.nodes.keys() <= outline.nodes.keys()  # what is here has the key that it will run under


def test_table_2_by_hand(bare: Path) -> None:
    """22 rows of 50,000 images; 6 trainings at either resolution; ADM's images and ImageNet at both, once each."""
    plan = ssdbench.load("table2", results=bare / "res").plan()
    kinds = Counter(stage.kind for stage in plan.stages)
    assert kinds == {"sample": 22 * 50, "train": 12, "encode": 2, "reference": 2, "score": 22}
    assert plan.cost.stages == len(plan.stages)
    assert plan.cost.images == 22 * 50_000
    assert plan.cost.train_steps == 6 * 8007 + 6 * 4004
    assert plan.cost.disk_bytes > 22 * 50_000 * 256**2 * 3
    # the passes of DiT-XL/2 and SiT-XL/2, two an evaluation, four times as many tokens at 512
    evaluations = {256: 250 + 250 + 3 * 80, 512: 250 + 250 + 3 * 80}
    passes = {256: 118.6e9, 512: 524.6e9}  # multiply-adds of a pass, as DiT's authors state them
    sampled = sum(50_000 * 2 * evaluations[side] * 2 * passes[side] for side in passes)
    steps = {256: 6 * 8007, 512: 6 * 4004}  # each the frozen model at both ends of a pair, and the student's
    trained = sum(128 * 5 * steps[side] * 2 * passes[side] for side in passes)
    pixels = (
        256**2 + 512**2
    )  # Stable Diffusion's autoencoder: 9.5 million operations a pixel decoded, 4.2 encoded
    coded = 11 * 50_000 * pixels * 9.5e6 + 1_281_167 * pixels * 4.2e6
    assert plan.cost.flops == pytest.approx(sampled + trained + coded, rel=0.005)
    assert all(stage.waiting and stage.status == "run" for stage in plan.stages)
    told = "\n".join(plan.missing)
    for name in (
        "FID Inception",
        "VIRTUAL_imagenet256_labeled.npz",
        "VIRTUAL_imagenet512.npz",
        "DiT-XL-2-256x256.pt",
        "DiT-XL-2-512x512.pt",
        "SiT-XL-2-256x256.pt",
        "SiT-XL-2-512x512.pt",
        "sd-vae-ft-ema",
        "imagenet/train",
    ):
        assert name in told
    assert len(plan.missing) == 9
    assert plan.as_dict()["missing"] == list(plan.missing)
    lines = plan.lines()
    assert len(lines) == len(plan.stages) - 22 * 49  # the samples of a row are one line
    assert ("", "sample ddim 250 NFE cfg 1.5 [0:50000], seed 0, 50 stages", "run") in {
        line[:3] for line in lines
    }
    assert sum(text.startswith("missing, for ") for text in plan.remarks()) == 9


def test_an_outline_is_never_run(bare: Path) -> None:
    bench = ssdbench.load("table6", results=bare / "res")
    with pytest.raises(UsageError, match="need what is not on this machine"):
        bench.run(progress=False)
    assert not bench.graph.targets
    assert not (bare / "res").exists()


def test_what_is_wrong_or_not_known_has_no_stand_in(bare: Path) -> None:
    """Own images that are not there have no count; a broken file is an error, not something that is missing."""
    suite = bare / "own.yaml"
    (bare / "broken.npz").write_bytes(b"no archive")
    suite.write_text(
        "suite: own\ntitle: Own\ndefaults: {model: dit-mini, nfe: 4, resolution: 32, train: {steps: 2},"
        " eval: {samples: 16, reference: fashion-mnist, network: effnet-lite0}}\nruns:\n"
        f"  - {{variant: ssd, data: {bare}/none/}}\n"
        f"  - {{variant: base, eval: {{reference: {bare}/broken.npz}}}}\n"
        f"  - {{variant: base, eval: {{reference: {bare}/none.npz}}}}\n"
    )
    unknown, broken, file = build(load_suite(suite), outline=True).runs
    assert unknown.missing
    assert unknown.target is None
    assert broken.missing
    assert broken.target is None
    assert file.missing
    assert file.target


def test_stand_ins_are_told_apart() -> None:
    graph = build(load_suite("table2"), outline=True)
    found = {
        text
        for node in graph.nodes.values()
        for text in str(node.spec.canonical()).split("'")
        if text.startswith(ABSENT)
    }
    assert len(found) == 9
