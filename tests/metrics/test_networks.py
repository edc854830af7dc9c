import shlex
import subprocess
import sys

import pytest
import torch

from ssdbench.errors import InputError, UsageError
from ssdbench.metrics.builtin import BUILTIN, FID, RECALL, SFID
from ssdbench.metrics.catalog import standard
from ssdbench.metrics.networks import Dims, FeatureNetwork, Taps, available, load_network, network_digest
from ssdbench.metrics.weights import INCEPTION_URL


def test_naming_networks_does_not_import_torch():
    code = (
        "import sys; from ssdbench.metrics.networks import available, network_digest;"
        "assert available('effnet-lite0') is None; assert len(network_digest('effnet-lite0')) == 64;"
        "available('inception'); available('dinov2'); available('dinov2-vit-l-14');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fid_is_said_only_of_the_fid_inception():
    for network, names in (
        ("inception", ("fid", "sfid")),
        ("effnet-lite0", ("fd", "sfd")),
        ("mine", ("fd", "sfd")),
    ):
        assert tuple(metric.key(network) for metric in standard()) == (*names, "is", "precision", "recall")
    assert [metric.title_for("inception") for metric in (FID, SFID)] == ["FID", "sFID"]
    assert FID.title_for("effnet-lite0") == "FD(effnet-lite0)"
    assert SFID.header("a.b:c") == "sFD(a.b:c) ↓"
    assert [RECALL.title_for(network) for network in ("inception", "effnet-lite0")] == ["Recall", "Recall"]
    assert RECALL.title_for("effnet-lite0", short=True, always=True) == "Rec.(effnet-lite0)"
    assert FID.title_for("inception", always=True) == "FID(inception)"
    assert not any("FID" in metric.title_for("effnet-lite0") for metric in BUILTIN)


def test_a_network_of_the_users_own():
    network = load_network("tests.metrics.toy:toy_network")
    taps = network(torch.zeros(3, 1, 4, 4, dtype=torch.uint8))
    assert [tap.shape for tap in taps] == [(3, 6), (3, 4), (3, 5)]
    assert available("tests.metrics.toy:toy_network") is None


def test_the_digest_of_a_users_network_covers_source_and_weights(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    name = "tests.metrics.toy:toy_network"
    digests = {network_digest(name, weights) for weights in (None, tmp_path / "a", tmp_path / "b")}
    assert len(digests) == 3


@pytest.mark.parametrize("name", ["inceptoin", "a.b:", ":c", "a b"])
def test_unknown_names(name):
    for function in (available, load_network):
        with pytest.raises(UsageError, match=r"expected inception, .*garments or package.module:NAME"):
            function(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.such.module:network", "cannot be found on the Python path"),
        (
            "tests.metrics.toy:absent",
            "'absent' is not in the module .* expected a ssdbench.metrics.network.Network",
        ),
        ("tests.metrics.toy:no_network", "returned int: expected"),
        ("tests.metrics.toy:impostor", "that name belongs to a built-in network"),
    ],
)
def test_functions_that_give_no_network(name, message):
    with pytest.raises(InputError, match=message):
        load_network(name)


def test_missing_weights_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "a b"))
    place = tmp_path / "a b/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth"
    told = available("inception") or ""
    command = shlex.split(told.split("`")[1])
    assert command == ["curl", "-L", "--create-dirs", "-o", str(place), INCEPTION_URL]
    assert "are not at /no/such/file" in (available("effnet-lite0", "/no/such/file") or "")
    with pytest.raises(InputError, match="are not at /no/such/file"):
        network_digest("inception", "/no/such/file")


@pytest.mark.parametrize(
    "shapes", [[(2, 4), (2, 5), (2, 7)], [(1, 4), (2, 5), (2, 6)], [(2, 4), (2, 5, 1), (2, 6)]]
)
def test_taps_of_other_shapes_than_announced_are_refused(shapes):
    taps = Taps(*(torch.zeros(shape) for shape in shapes))
    network = FeatureNetwork("odd", "0", Dims(4, 5, 6), lambda images: taps)
    with pytest.raises(InputError, match=r"'odd' returned taps of shapes .* expected \(B, D\) with B = 2"):
        network(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
