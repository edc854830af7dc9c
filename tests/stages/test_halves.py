"""The halves of a reference: no image in both, none in neither, and other keys than the whole's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ssdbench.metrics.references  # noqa: F401 (takes its imports before a test replaces them)
from ssdbench.data.dataset import Images
from ssdbench.plan import build
from ssdbench.stages import Source
from ssdbench.stages.reference import ReferenceSpec, body
from ssdbench.stages.spec import Runtime
from ssdbench.suite import load_suite

SUITE = """\
suite: halves
defaults: {model: dit-mini, nfe: 4, resolution: 32, variant: base}
runs:
  - {eval: {samples: 8, reference: fashion-mnist, network: effnet-lite0}}
  - {eval: {samples: 8, reference: fashion-mnist, network: effnet-lite0, half: search}}
  - {eval: {samples: 8, reference: fashion-mnist, network: effnet-lite0, half: report}}
"""


def images_of(half: str | None, count: int, monkeypatch: pytest.MonkeyPatch, output: Path) -> list[int]:
    """Which images of eleven a reference stage reads."""
    pixels = np.arange(11, dtype=np.uint8)[:, None, None, None]
    read: list[int] = []
    monkeypatch.setattr(
        "ssdbench.data.datasets.load_images", lambda *_: Images(pixels, np.zeros(11, np.int64))
    )
    monkeypatch.setattr("ssdbench.metrics.networks.load_network", lambda *_: None)
    monkeypatch.setattr(
        "ssdbench.metrics.reference.make_reference",
        lambda batches, *_, **__: [read.extend(batch.ravel().tolist()) for batch in batches],
    )
    monkeypatch.setattr("ssdbench.metrics.reference.save_reference", lambda *_: None)
    source = Source(digest="0" * 64, path="/nowhere")
    spec = ReferenceSpec.model_validate(
        {
            "dataset": "x",
            "data": source,
            "resolution": 1,
            "count": count,
            "network": "n",
            "weights": source,
            "half": half,
        }
    )
    facts = body(
        spec,
        {},
        output,
        Runtime(device="cpu", report=lambda *_, **__: None, stopping=lambda: False, scratch=output),
    )
    assert facts["count"] == len(read)
    return read


@pytest.mark.parametrize("count", [0, 11, 8])
def test_halves_are_disjoint_and_together_the_whole(
    count: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole, search, report = (
        images_of(half, count, monkeypatch, tmp_path) for half in (None, "search", "report")
    )
    assert sorted(search + report) == sorted(whole)
    assert len(set(whole)) == len(whole) == (count or 11)
    assert abs(len(search) - len(report)) <= 1


def test_the_shipped_statistics_are_of_the_whole_alone(tmp_path: Path) -> None:
    path = tmp_path / "halves.yaml"
    path.write_text(SUITE)
    graph = build(load_suite(path))
    chains = [[graph.nodes[key].spec for key in graph.chain(str(run.target))] for run in graph.runs]
    found = [[spec for spec in chain if isinstance(spec, ReferenceSpec)] for chain in chains]
    assert found[0] == []
    assert [spec.half for specs in found[1:] for spec in specs] == ["search", "report"]
    assert len({run.target for run in graph.runs}) == 3
    assert [run.run.eval.measured_against for run in graph.runs] == [
        "fashion-mnist",
        "fashion-mnist, half search",
        "fashion-mnist, half report",
    ]


def test_a_file_has_no_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssdbench.errors import SuiteError

    path = tmp_path / "halves.yaml"
    path.write_text(SUITE.replace("reference: fashion-mnist", "reference: some/stats.npz"))
    with pytest.raises(SuiteError, match=r"halves.yaml:5:.*'some/stats.npz' is a file: only images"):
        load_suite(path)
