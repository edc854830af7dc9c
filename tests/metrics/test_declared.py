"""Declared metrics and networks, computed from one list: own ones, several networks in a pass, honest names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.builtin import BUILTIN, FD_DINOV2, FID, TRAJECTORY
from ssdbench.metrics.catalog import chosen, find_metric
from ssdbench.metrics.evaluate import Measurement, Part, measure
from ssdbench.metrics.metric import Called
from ssdbench.metrics.networks import NETWORKS, available, load_network, network_digest
from ssdbench.metrics.reference import make_reference
from tests.metrics.toy import evaluate, toy_network

RNG = np.random.default_rng(0)
REAL = RNG.integers(0, 256, (1300, 4, 4, 3), dtype=np.uint8)
SAMPLES = RNG.integers(30, 226, (1203, 4, 4, 3), dtype=np.uint8)

HEAD = """
from ssdbench.metrics.metric import Metric
from ssdbench.metrics.networks import Network
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a module ``mine_declared`` that tests write."""
    from ssdbench import declaration

    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "mine_declared.py"
    sys.modules.pop("mine_declared", None)
    declaration._imported.cache_clear()


def test_every_metric_has_its_interval_within_its_range() -> None:
    network = replace(toy_network(), classes=("random pixels",))
    reference = make_reference([REAL], network, "random pixels", labels=RNG.integers(0, 5, len(REAL)))
    metrics = tuple(metric for metric in BUILTIN if metric.network is None)
    given = {"training": reference, "trajectory": RNG.normal(size=(2, 20, 3))}
    given["labels"] = given["classes"] = RNG.integers(0, 5, len(SAMPLES))
    result = measure([SAMPLES], [Part(network, reference, metrics)], given=given, intervals=True)
    assert not result.missing
    assert result.metrics.keys() == result.intervals.keys() == {metric.key("toy") for metric in metrics}
    for metric in metrics:
        value, bound = result.metrics[metric.key("toy")], result.intervals[metric.key("toy")]
        assert bound.low <= value <= bound.high
        assert metric.low is None or metric.low <= bound.low
        assert metric.high is None or bound.high <= metric.high
    without = measure([SAMPLES], [Part(network, reference, metrics)], given=given)
    assert (without.metrics, without.intervals) == (result.metrics, {})


def test_a_metric_alone_is_what_it_is_among_others() -> None:
    network = toy_network()
    reference = make_reference([REAL], network, "random pixels")
    names = ("fid", "sfid", "is", "precision", "recall", "kid")
    whole = evaluate([SAMPLES], network, reference, wanted=names, intervals=True)
    for name in names:
        alone = evaluate([SAMPLES], network, reference, wanted=[name], intervals=True)
        [(key, value)] = alone.metrics.items()
        assert whole.metrics[key] == value
        assert whole.intervals[key] == alone.intervals[key]


def test_networks_share_one_pass_and_give_what_each_gives_alone() -> None:
    first, second = toy_network(), replace(toy_network(name="other"), batch_size=7)
    metric = replace(FD_DINOV2, network="other")
    parts = [
        Part(first, make_reference([REAL], first, "pixels"), (FID,)),
        Part(second, make_reference([REAL[:400]], second, "fewer"), (metric,)),
    ]
    read = []

    def batches() -> Iterator[np.ndarray]:
        for batch in np.array_split(SAMPLES, 13):
            read.append(len(batch))
            yield batch

    both = measure(batches(), parts, intervals=True)
    assert sum(read) == len(SAMPLES), "each image is read once"
    alone = [measure([SAMPLES], [part], intervals=True) for part in parts]
    assert both.metrics == alone[0].metrics | alone[1].metrics
    assert both.intervals == alone[0].intervals | alone[1].intervals
    assert (both.network, both.samples, list(both.metrics)) == ("toy", 1203, ["fd", "fd-dinov2"])


def test_what_a_metric_needs_and_does_not_get_is_said() -> None:
    network = toy_network()
    reference = make_reference([REAL[:9]], network, "nine")
    found = Measurement(Part(network, reference, (TRAJECTORY,)))
    found.update(next(iter(_batches(network))))
    assert "it needs trajectory: there is none here" in found.result().missing["trajectory"]
    no_maps = replace(
        network,
        dims=network.dims._replace(spatial=0),
        forward=lambda images: network.forward(images)._replace(spatial=None),
    )
    result = evaluate([SAMPLES], no_maps, make_reference([REAL], no_maps, "pixels"))
    assert result.missing == {"sfd": "the network toy has no spatial tap"}
    assert result.metrics.keys() == {"fd", "is", "precision", "recall"}


def _batches(network):  # type: ignore[no-untyped-def]
    from ssdbench.metrics.features import taps_of

    return taps_of([SAMPLES[:9]], network)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "M = Metric(name='m', help='h', title='FID', better='lower')",
            "calls itself 'FID': that title belongs",
        ),
        ("M = Metric(name='recall', help='h', better='lower')", "calls itself 'recall'"),
        ("M = 3", "'M' is int, expected a ssdbench.metrics.metric.Metric"),
        ("", "'M' is not in the module 'mine_declared', expected a"),
    ],
)
def test_own_metrics_that_are_refused(mine: Path, body: str, message: str) -> None:
    mine.write_text(HEAD + body)
    with pytest.raises(InputError, match=message):
        find_metric("mine_declared:M")


def test_a_name_that_is_no_metric() -> None:
    with pytest.raises(UsageError, match="'psnr' is no metric: expected fid, sfid"):
        chosen(["fid", "psnr"])
    assert [metric.name for metric in chosen(["kid", "sfd", "fd", "fid"])] == ["fid", "sfid", "kid"]
    assert FID.elsewhere == Called("fd", "FD")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("'words'", "returned 'words' for the metric 'm': expected a Value or a number"),
        ("{}", "returned None"),
    ],
)
def test_a_body_that_gives_no_number(mine: Path, value: str, message: str) -> None:
    mine.write_text(
        HEAD
        + "M = Metric(name='m', help='h', better='lower', body='mine_declared:Body')\n"
        + "class Body:\n    def __init__(self, setup): pass\n    def update(self, batch): pass\n"
        + f"    def compute(self): return {value}\n"
    )
    network = toy_network()
    with pytest.raises(InputError, match=message):
        evaluate([SAMPLES[:20]], network, make_reference([REAL], network, "r"), wanted=["mine_declared:M"])


def test_a_body_may_give_several_metrics(mine: Path) -> None:
    mine.write_text(
        HEAD
        + "A = Metric(name='a', help='h', better='lower', body='mine_declared:Body')\n"
        + "B = Metric(name='b', help='h', better='lower', body='mine_declared:Body', output='second')\n"
        + "class Body:\n    made = 0\n    def __init__(self, setup): Body.made += 1\n"
        + "    def update(self, batch): pass\n    def compute(self): return {'a': 1, 'second': 2.5}\n"
    )
    network, names = toy_network(), ["mine_declared:A", "mine_declared:B"]
    found = evaluate([SAMPLES[:20]], network, make_reference([REAL], network, "r"), wanted=names)
    assert found.metrics == dict(zip(names, (1.0, 2.5), strict=True))
    assert sys.modules["mine_declared"].Body.made == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("N = Network(name='n', help='h', body='b:c', fid=True)", "FID is said of inception alone"),
        ("N = Network(name='inception', help='h', body='b:c')", "that name belongs to a built-in network"),
        (
            "from ssdbench.metrics.taps import Dims\nfrom tests.metrics.toy import toy_network\n"
            "N = Network(name='n', help='h', body='mine_declared:toy_network', dims=Dims(7))",
            r"taps of widths .*pooled=6.*: it declares .*pooled=7",
        ),
    ],
)
def test_own_networks_that_are_refused(mine: Path, body: str, message: str) -> None:
    mine.write_text(HEAD + body)
    with pytest.raises(InputError, match=message):
        load_network("mine_declared:N")


def test_an_own_network_has_its_declared_name_and_weights(mine: Path, tmp_path: Path) -> None:
    mine.write_text(
        HEAD
        + "from pathlib import Path\nfrom ssdbench.errors import InputError\n"
        + "from tests.metrics.toy import toy_network\n"
        + f"FILE = Path({str(tmp_path / 'weights')!r})\n"
        + "def where():\n    if not FILE.exists(): raise InputError('get the weights from the shelf')\n"
        + "    return FILE\n"
        + "N = Network(name='shelf', help='h', body='mine_declared:toy_network', locate=where)\n"
    )
    name = "mine_declared:N"
    assert available(name) == "get the weights from the shelf"
    with pytest.raises(InputError, match="from the shelf"):
        load_network(name)
    digests = []
    for content in ("a", "b"):
        (tmp_path / "weights").write_text(content * len(digests) + content)
        digests.append(network_digest(name))
    assert digests[0] != digests[1]
    assert load_network(name).name == "shelf"
    assert "shelf" not in NETWORKS.builtin
