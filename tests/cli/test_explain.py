"""The verb explain: one table, the same as JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Command

TOY = ("--network", "tests.metrics.toy:toy_network")
AGAINST = ("samples.npz", "--reference", "real.npz", *TOY)


@pytest.fixture
def files(workplace: Path) -> None:
    """Samples with labels, and a reference."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(30, 226, (200, 4, 4, 3), dtype=np.uint8)
    np.savez(workplace / "samples.npz", arr_0=pixels, arr_1=rng.integers(0, 3, 200))
    np.savez(workplace / "real.npz", arr_0=rng.integers(0, 256, (150, 4, 4, 3), dtype=np.uint8))


def test_a_figure_is_explained(ssdbench: Command, files: None) -> None:
    measured = json.loads(ssdbench("explain", *AGAINST, "--metrics", "fd,is", "--json").stdout)
    assert measured["cause"] == []
    biased = next(row for row in measured["conventions"] if row["conventions"] == ["biased-covariance"])
    figure = f"fd={biased['metrics']['fd']:.6f}"
    result = ssdbench("explain", *AGAINST, "--reported", figure)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    table = lines[lines.index("") + 1 :]
    assert [line.split()[0] for line in table[:3]] == ["FD(toy)", "as", "biased-covariance"]
    assert table[2].split()[2] == "+0.00"
    assert table[2].endswith("; gives what is reported")
    assert "biased-covariance closes the gap to the last digit." in lines
    found = json.loads(ssdbench("explain", *AGAINST, "--reported", figure, "--json").stdout)
    assert found["cause"] == ["biased-covariance"]
    assert found["reported"] == {"fd": float(figure[3:])}
    assert found["samples"] == {"name": "samples.npz", "count": 200}


def test_a_reference_is_needed(ssdbench: Command, files: None) -> None:
    result = ssdbench("explain", "samples.npz")
    assert result.exit_code == 2
    assert "--reference" in result.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--reported", "3.39"), "--reported 3.39: expected METRIC=FIGURE, such as fid=3.39"),
        (("--reported", "fid=3.39"), "toy_network it is called fd"),
        (("--reported", "fd=x"), "reported fd: 'x' is no number"),
        (("--conventions", "none-such"), "unknown convention 'none-such'"),
    ],
)
def test_what_is_refused(ssdbench: Command, files: None, more: tuple[str, ...], message: str) -> None:
    result = ssdbench("explain", *AGAINST, *more)
    assert result.exit_code == 2
    assert message in result.stderr
