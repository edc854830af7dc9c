"""A metric with a network of its own in a suite: its reference is planned, and both networks score in one stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ssdbench.metrics.builtin_networks import DINOV2
from ssdbench.metrics.frechet import Gaussian, frechet_distance
from ssdbench.metrics.networks import NETWORKS, Network
from ssdbench.metrics.reference import make_reference, save_reference
from ssdbench.plan import build
from ssdbench.stages import ReferenceSpec, Runtime, ScoreSpec, Source, score
from ssdbench.suite import load_suite
from tests.metrics.toy import toy_network

SUITE = """
suite: two
title: Two networks
layout: plain
defaults: {{model: dit-mini, nfe: 2, resolution: 32}}
runs:
  - {{variant: base, eval: {{samples: 60, reference: {}, network: effnet-lite0, metrics: {}}}}}
"""


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DINOv2's place is taken by the toy; the file of its weights."""
    weights = tmp_path / "weights"
    weights.write_text("toy")
    toy = Network(
        name=DINOV2.name, help="a toy", body="tests.metrics.toy:toy_network", locate=lambda: weights
    )
    monkeypatch.setitem(NETWORKS.builtin, DINOV2.name, toy)
    monkeypatch.chdir(tmp_path)
    return weights


def planned(reference: str, metrics: str) -> tuple[ScoreSpec, list[ReferenceSpec], list[str]]:
    Path("two.yaml").write_text(SUITE.format(reference, metrics))
    graph = build(load_suite("two.yaml"))
    [run] = graph.runs
    assert run.target is not None, run
    spec = graph.nodes[run.target].spec
    assert isinstance(spec, ScoreSpec)
    references = [node.spec for node in graph.nodes.values() if isinstance(node.spec, ReferenceSpec)]
    return spec, references, list(run.notes)


def test_a_named_references_images_serve_the_second_network(second: Path) -> None:
    spec, [reference], _ = planned("fashion-mnist", "[fid, fd-dinov2]")
    assert (reference.network, reference.count) == (DINOV2.name, 10_000)
    assert reference.weights == spec.networks[DINOV2.name]
    assert spec.inputs[f"reference/{DINOV2.name}"] == reference.key()
    assert (spec.metrics, spec.references) == (("fid", "fd-dinov2"), {})


def test_the_standard_metrics_by_name_are_the_same_run(second: Path) -> None:
    spec, references, _ = planned("fashion-mnist", "[recall, fd, sfid, is, precision]")
    default, *_ = planned("fashion-mnist", "null")
    assert spec.key() == default.key()
    assert not references


def test_statistics_alone_cost_the_second_networks_metrics(second: Path) -> None:
    network = toy_network(name="effnet-lite0")
    images = np.zeros((9, 4, 4, 3), np.uint8)
    from ssdbench.metrics.networks import network_digest

    made = make_reference([images], network, "nine")
    object.__setattr__(made, "network_digest", network_digest("effnet-lite0"))
    save_reference(made, Path("nine.safetensors"))
    spec, _, notes = planned("./nine.safetensors", "[fid, fd-dinov2]")
    assert spec.networks == {}
    assert "no fd-dinov2: the reference has no images" in notes


def test_both_networks_score_in_one_stage(second: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    real, images = rng.integers(0, 256, (2, 50, 4, 4, 3), dtype=np.uint8)
    np.savez("real.npz", arr_0=real)
    save_file({"images": images}, tmp_path / "samples.safetensors")
    file = Source(digest="f" * 64, path=str(tmp_path / "real.npz"))
    spec = ScoreSpec(
        network="tests.metrics.toy:toy_network",
        weights=Source(digest="e" * 64, path=""),
        reference=file,
        samples=50,
        metrics=("fid", "fd-dinov2"),
        networks={DINOV2.name: Source(digest="d" * 64, path="")},
        references={DINOV2.name: file},
    )
    facts = score.body(spec, {"samples/00000": tmp_path}, tmp_path, Runtime(tmp_path))

    def gaussian(pixels: np.ndarray) -> Gaussian:
        import torch

        rows = toy_network()(torch.from_numpy(pixels).permute(0, 3, 1, 2)).pooled.numpy().astype(np.float64)
        return Gaussian(rows.mean(0), np.cov(rows, rowvar=False))

    expected = pytest.approx(frechet_distance(gaussian(images), gaussian(real)), rel=1e-5)
    assert facts["metrics"] == {"fd": expected, "fd-dinov2": expected}
    assert facts["intervals"].keys() == facts["metrics"].keys()
    alone = spec.model_copy(update={"networks": {}, "references": {}})
    facts = score.body(alone, {"samples/00000": tmp_path}, tmp_path, Runtime(tmp_path))
    assert facts["missing"] == {"fd-dinov2": "the reference has no images"}


def test_a_metric_of_captions_is_given_those_that_were_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from ssdbench.data.latents import save_index

    (tmp_path / "scored.py").write_text(
        "from ssdbench.metrics.metric import Metric\n"
        "WORDS = Metric(name='words', help='h', better=None, body='scored:Words', given=('captions',))\n"
        "class Words:\n    def __init__(self, setup): self.captions = setup.given['captions']\n"
        "    def update(self, batch): pass\n"
        "    def compute(self): return sum(len(text.split()) * 10**i for i, text in enumerate(self.captions))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    save_index(tmp_path / "texts", torch.zeros(1, 2, 3), torch.tensor([1, 0, 1]), ["a b", "a b c"])
    images = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3), dtype=np.uint8)
    np.savez("real.npz", arr_0=images)
    save_file({"images": images}, tmp_path / "samples.safetensors")
    spec = ScoreSpec(
        network="tests.metrics.toy:toy_network",
        weights=Source(digest="e" * 64, path=""),
        reference=Source(digest="f" * 64, path="real.npz"),
        samples=4,
        metrics=("scored:WORDS",),
    )
    inputs = {"samples/00000": tmp_path, "captions": tmp_path / "texts"}
    facts = score.body(spec, inputs, tmp_path, Runtime(tmp_path))
    assert facts["metrics"] == {"scored:WORDS": 3323.0}, "from the first again after the last"
    del inputs["captions"]
    facts = score.body(spec, inputs, tmp_path, Runtime(tmp_path))
    assert facts["missing"] == {"scored:WORDS": "it needs captions: there is none here"}


def test_the_captions_of_a_run_are_planned_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planned_words.py").write_text(
        "from ssdbench.metrics.metric import Metric\n"
        "WORDS = Metric(name='words', help='h', better=None, body='planned_words:X', given=('captions',))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    text = SUITE.format("fashion-captions-a", "[fid, 'planned_words:WORDS']").replace("dit-mini", "sd-mini")
    Path("words.yaml").write_text(text.replace("{variant", "{grid: sd, variant"))
    graph = build(load_suite("words.yaml"))
    [run] = graph.runs
    assert run.target is not None, run
    spec = graph.nodes[run.target].spec
    assert isinstance(spec, ScoreSpec)
    assert graph.nodes[spec.inputs["captions"]].spec.KIND == "encode"
    assert spec.sources.keys() == {"planned_words:WORDS"}
