"""Captions of samples that any program made, and the share of the time that is the network's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ssdbench
from ssdbench.errors import InputError
from ssdbench.metrics.catalog import KEYS
from tests.metrics.toy import toy_network

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)


def test_captions_of_a_file_reach_the_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def texts(captions: list[str]) -> np.ndarray:
        found.extend(captions)
        return np.ones((len(captions), 6), np.float32)

    metric = replace(KEYS["clip_score"], network=None)
    monkeypatch.setitem(KEYS, "clip_score", metric)
    file = tmp_path / "captions.txt"
    file.write_text("".join(f"a bag {i % 3}\n" for i in range(20)))
    how = {
        "reference": IMAGES,
        "network": replace(toy_network(), texts=texts),
        "metrics": ["fd", "clip_score"],
    }
    scores = ssdbench.evaluate(IMAGES, captions=file, **how)
    assert found == ["a bag 0", "a bag 1", "a bag 2"]
    assert scores["clip_score"] > 0
    assert scores.network_share is not None
    assert 0 < scores.network_share < 1
    assert "captions" in ssdbench.evaluate(IMAGES, **how).missing["clip_score"]
    with pytest.raises(InputError, match=r"captions: 3 captions, expected 20, one a sample"):
        ssdbench.evaluate(IMAGES, captions=["a", "b", "c"], **how)
