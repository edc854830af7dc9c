"""Rows of samples that another program made: what their settings mean, how they are scored, and mistakes in them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ssdbench.api.export import _trained
from ssdbench.api.pictures import shards_of
from ssdbench.errors import InputError, SuiteError, UsageError
from ssdbench.layouts import LAYOUTS
from ssdbench.plan import build, run_cost
from ssdbench.plan.fitting import fitting_samples
from ssdbench.report.build import build as table
from ssdbench.report.fields import forward_passes
from ssdbench.report.rows import Result, gather
from ssdbench.stages import ScoreSpec
from ssdbench.suite import Suite, load_suite

HEAD = """\
suite: x
defaults:
  model: dit-mini
  variant: issd
  nfe: 10
  resolution: 32
  data: synthetic-10
  eval: {samples: 8, reference: fashion-mnist, network: effnet-lite0}
seeds: [3, 4]
runs:
"""
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(12) * 7 % 10

Load = Callable[..., Suite]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """A suite in a folder of its own beside ``ok.npz`` and ``pictures/``, found from another working directory."""
    folder = tmp_path / "suites"
    (folder / "pictures").mkdir(parents=True)
    np.savez(folder / "ok.npz", PIXELS, LABELS)
    for i, image in enumerate(PIXELS):
        Image.fromarray(image).save(folder / "pictures" / f"{i:02d}.png")
    monkeypatch.chdir(tmp_path)

    def load(*rows: str, **options: object) -> Suite:
        (folder / "x.yaml").write_text(HEAD + "".join(f"  - {row}\n" for row in rows), encoding="utf-8")
        return load_suite("suites/x.yaml", **options)  # type: ignore[arg-type]

    return load


def specs(suite: Suite) -> list[ScoreSpec]:
    graph = build(suite)
    assert graph.missing == ()
    found = [graph.nodes[planned.target].spec for planned in graph.runs if planned.target]
    assert all(isinstance(spec, ScoreSpec) and not spec.inputs for spec in found)
    return found  # type: ignore[return-value]


def test_a_row_of_samples_has_the_settings_of_the_others_and_no_stage_but_its_score(load: Load) -> None:
    [run] = load("{samples: ok.npz, nfe: 4, forwards: 8, label: Theirs}").runs
    assert (run.variant, run.sampler, run.nfe, run.forwards, run.data) == (
        "external",
        "none",
        4,
        8,
        "original",
    )
    assert run.seed == 3  # one file is one sample of a method, however many seeds the others have
    assert (run.samples, run.eval.samples) == ("suites/ok.npz", 8)
    [spec] = specs(load("{samples: ok.npz, nfe: 4}"))
    assert spec.given is not None
    assert spec.given.path == str(Path("suites/ok.npz").resolve())
    [unstated] = load("{samples: ok.npz}").runs
    assert unstated.nfe == 0


def test_the_content_is_the_key_and_not_the_place_the_statements_or_the_seed(load: Load) -> None:
    rows = (
        "{samples: ok.npz, nfe: 4}",
        "{samples: ok.npz, nfe: 2, forwards: 4, cite: A}",
        "{samples: again/ok.npz}",
    )
    load(rows[0])
    Path("suites/again").mkdir()
    Path("suites/again/ok.npz").write_bytes(Path("suites/ok.npz").read_bytes())
    keys = {spec.key() for spec in specs(load(*rows))}
    assert len(keys) == 1
    assert {spec.key() for spec in specs(load(rows[0], seed=7))} == keys
    np.savez("suites/ok.npz", PIXELS[::-1], LABELS)
    assert not {spec.key() for spec in specs(load(rows[0]))} & keys
    assert not {spec.key() for spec in specs(load("{samples: pictures/}"))} & keys
    assert not {spec.key() for spec in specs(load(rows[2], limit=5))} & keys


def test_a_profile_takes_the_stated_evaluations_as_they_are(load: Load) -> None:
    head = "{model: DiT-XL/2, resolution: 256, eval: {reference: imagenet-256, network: inception}, "
    stated, ours = load(
        head + "samples: ok.npz, nfe: 10}", head + "variant: base, data: original}", profile="mini"
    ).runs[:2]
    assert (stated.nfe, stated.resolution) == (10, 32)
    assert ours.nfe < 10


def test_what_is_told_before_any_work(load: Load) -> None:
    np.savez("suites/sorted.npz", PIXELS, np.sort(LABELS))
    graph = build(load("{samples: sorted.npz}", "{samples: pictures}"))
    assert any("sorted.npz: the samples come class by class" in note for note in graph.notes)
    assert any("sorted.npz: the first 8 of 12 images are scored" in note for note in graph.notes)
    metrics = "eval: {metrics: [fid, class_accuracy@garments]}"
    np.savez("suites/plain.npz", PIXELS)
    graph = build(load(f"{{samples: plain.npz, {metrics}}}", f"{{samples: ok.npz, {metrics}}}"))
    assert any("no class_accuracy@garments: the samples have no labels" in note for note in graph.notes)
    kept = [graph.nodes[str(planned.target)].spec.labels for planned in graph.runs]  # type: ignore[attr-defined]
    assert kept == [False, True]


def arrays(name: str, *arrays: object) -> Callable[[], object]:
    return lambda: np.savez(f"suites/{name}", *arrays)  # type: ignore[arg-type]


def odd() -> None:
    Image.fromarray(PIXELS[0][:30]).save("suites/pictures/11.png")


def damaged() -> None:
    Path("suites/bad.npz").write_bytes(Path("suites/ok.npz").read_bytes()[:900])


@pytest.mark.parametrize(
    ("make", "samples", "problem"),
    [
        (lambda: None, "none.npz", "samples 'suites/none.npz': there is no such file or folder"),
        (lambda: None, "x.yaml", "x.yaml: expected .npz (images as arr_0), .tar, .safetensors (our shards)"),
        (lambda: Path("suites/empty").mkdir(), "empty", "empty: no images found"),
        (damaged, "bad.npz", "bad.npz is no .npz file, or it is cut short"),
        (odd, "pictures", "pictures/11.png: 32x30 pixels, expected 32x32, the row's resolution"),
        (arrays("big.npz", PIXELS.repeat(2, 1).repeat(2, 2)), "big.npz", "big.npz: 64x64 pixels, expected 32x32"),
        (arrays("nchw.npz", PIXELS.transpose(0, 3, 1, 2)), "nchw.npz", "expected uint8 (N, H, W, C) with C = 1 or 3"),
        (arrays("four.npz", PIXELS.repeat(2, 3)[..., :4]), "four.npz", "expected uint8 (N, H, W, C) with C = 1 or 3"),
        (arrays("real.npz", PIXELS / 255), "real.npz", "'arr_0' is float64 (12, 32, 32, 3), expected uint8"),
        (arrays("few.npz", PIXELS[:7]), "few.npz", "few.npz: holds 7 images, and eval.samples is 8: lower it"),
        (arrays("l.npz", PIXELS, LABELS + 1), "l.npz", "l.npz: labels from 1 to 10, expected 0 to 9, the model's"),
        (arrays("l.npz", PIXELS, LABELS[1:]), "l.npz", "'arr_1' is int64 (11,), expected 12 whole numbers"),
        (arrays("s.npz", *([PIXELS] * 2)), "s.npz", "'arr_1' is uint8 (12, 32, 32, 3), expected 12 whole numbers"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit(load: Load, make: Callable[[], object], samples: str, problem: str) -> None:
    make()
    [planned] = build(load(f"{{samples: {samples}}}")).runs
    assert planned.target is None
    [text] = planned.missing
    assert text.startswith("suites/x.yaml:11:5: ")
    assert problem in text


@pytest.mark.parametrize(
    ("row", "problems"),
    [
        ("{samples: ok.npz, variant: issd}", ["samples: 'issd' makes its own images: leave out samples, or the"]),
        ("{variant: external, data: original}", ["samples: must be given: 'external' scores what another program"]),
        ("{variant: external + issd}", ["variant: 'external' stands alone"]),
        ("{forwards: 8}", ["forwards: are counted here"]),
        ("{samples: ok.npz, sampler: ddim}", ["sampler: variant 'external' samples nothing, so the sampler must be"]),
        ("{samples: ok.npz, nfe: -1}", ["nfe: must be at least 0, not -1"]),
        ("{samples: ok.npz, nfe: 1.5}", ["nfe: must be a whole number"]),
        ("{samples: ok.npz, forwards: 0}", ["forwards: must be at least 1, not 0"]),
        ("{samples: '', cite: 5}", ["samples: must be given"]),
        ("{sample: ok.npz}", ["sample: unknown key (did you mean 'samples'?)"]),
        ("{samples: ok.npz, student_at: [3]}", ["student_at: 'external' has no student"]),
    ],
)  # fmt: skip
def test_rows_that_cannot_be(load: Load, row: str, problems: list[str]) -> None:
    with pytest.raises(SuiteError) as caught:
        load(row)
    assert len(caught.value.problems) == len(problems)
    for found, expected in zip(caught.value.problems, problems, strict=True):
        assert found.startswith("suites/x.yaml:11:")
        assert found.split(": ", 1)[1].startswith(expected)


def test_the_table_says_what_was_stated(load: Load) -> None:
    suite = load(
        "{samples: ok.npz, nfe: 4, forwards: 8, label: Theirs, cite: 'Someone, 2024'}",
        "{samples: pictures, label: Others}",
        "{variant: base, data: original}",
    )
    made = table(gather(map(Result, suite.runs)), LAYOUTS["plain"], name="x", title="x")
    cells = {line[0].text: line[1].text for section in made.sections for line in section.lines}
    assert cells == {"Theirs": "4", "Others": "–", "DiT-mini": "10"}
    assert [forward_passes(row) for row in gather(map(Result, suite.runs))[:2]] == ["8", "–"]
    graph = build(suite)
    assert [run_cost(graph, str(planned.target)) is None for planned in graph.runs] == [
        True,
        True,
        False,
        False,
    ]
    notes = " ".join(made.footnotes)
    assert (
        "samples made elsewhere (ok.npz); NFE as stated, 8 forward passes an image as stated; Someone, 2024"
        in notes
    )
    assert "samples made elsewhere (pictures); NFE not stated" in notes


def test_what_the_store_does_not_hold_is_said_to_lie_elsewhere() -> None:
    record: Any = SimpleNamespace(key="a" * 64, run={"samples": "theirs.npz"})
    store: Any = None
    with pytest.raises(UsageError, match=r"made elsewhere: they are in theirs\.npz, not in the store"):
        shards_of(record, store)
    with pytest.raises(
        UsageError, match=r"trained no model: its samples were made elsewhere, and are in theirs\.npz"
    ):
        _trained(record, store, "model")


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 12), st.sampled_from(["npz", "pictures"]), st.integers(2, 14), st.sampled_from([32, 31])
)
def test_exactly_what_fits_is_let_through(held: int, kind: str, wanted: int, side: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("x.npz" if kind == "npz" else "")
        if kind == "npz":
            np.savez(path, PIXELS[:held])
        else:
            for i in range(held):
                Image.fromarray(PIXELS[i]).save(path / f"{i}.png")
        try:
            fitting_samples(path, side, wanted, 10)
        except InputError:
            assert held < wanted or side != 32
        else:
            assert held >= wanted
            assert side == 32
