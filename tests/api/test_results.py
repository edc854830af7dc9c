"""What a run left: frames, tables, images and models."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import ssdbench
from ssdbench.cli.app import app
from ssdbench.store import Store
from tests.api.conftest import BASE, SEEDED
from tests.cli.conftest import SUITE, fill


@pytest.fixture
def results(workplace: Path) -> ssdbench.Results:
    return ssdbench.load("quick", **SEEDED).results()  # type: ignore[arg-type]


def test_the_table_has_the_numbers_of_the_records(results: ssdbench.Results) -> None:
    frame, records = results.table(), results.records
    assert len(frame) == 2  # the base and Adams-Bashforth, each on two seeds
    assert len(records) == len(results) == 4
    assert records["seed"].tolist() == [1, 2, 1, 2]
    assert records["seed"].dtype == "int64"
    for metric in ("fd", "sfd", "is@garments", "precision", "recall", "class_accuracy@garments"):
        values = [run.metrics[metric] for run in results]
        assert records[metric].tolist() == values
        of_rows = np.reshape(values, (2, 2))
        assert frame[metric].tolist() == pytest.approx(of_rows.mean(axis=1))
        assert frame[f"{metric}_sd"].tolist() == pytest.approx(of_rows.std(axis=1, ddof=1))
    assert frame["seeds"].tolist() == [2, 2]
    assert frame["reason"].tolist() == [None, None]
    assert not any("fid" in name for name in frame)


def test_one_seed_has_a_value_and_no_deviation(results: ssdbench.Results) -> None:
    alone = ssdbench.load("quick", profile="smoke", only="variant=base").results().table()
    assert alone["seeds"].tolist() == [1, 1]
    assert alone["fd"].tolist() == [
        results[label, 1].metrics["fd"] for label in ("base", "Adams-Bashforth 2 (AFS)")
    ]
    assert not any(name.endswith("_sd") for name in alone)


def test_whole_numbers_stay_whole_where_some_are_missing(workplace: Path) -> None:
    suite = workplace / "tiny.yaml"
    suite.write_text(SUITE)
    filled = fill(workplace / "results", suite)
    (workplace / f"results/records/{filled.targets[0]}.json").unlink()
    records = ssdbench.load(suite, results="results").results().records
    assert records["record.samples"].dtype == "Int64"
    assert records["record.samples"].isna().tolist() == [True, False]
    big = ssdbench.load(suite, results="results", seed=2**63 - 1).results().records
    assert big["seed"].tolist() == [2**63 - 1] * 2


def test_shown_as_the_suites_own_table(results: ssdbench.Results) -> None:
    arguments = ["--profile", "smoke", "--only", "variant=base", "--set", "seeds=[1,2]"]
    report = CliRunner().invoke(app, ["report", "quick", *arguments]).stdout
    assert results.render() == report
    text, shown = str(results), results._repr_html_()
    table = results.reports[0].table
    for piece in (*table.notes, *table.footnotes, table.title):
        assert html.escape(piece) in shown
        assert piece.replace("Bold:", "*:") in text
    assert shown.count("<tr>") == 3
    assert repr(results).startswith("<Results of quick: 4 of 4 runs have one, in ")
    with pytest.raises(ssdbench.UsageError, match="unknown format"):
        results.render("word")


def test_a_runs_names(results: ssdbench.Results) -> None:
    first = results[0]
    assert first.key is not None
    assert results["base", 1].key == results[first.key].key == results[first.key[:8]].key == first.key
    assert results[-1].label == "Adams-Bashforth 2 (AFS)"
    assert results["Adams-Bashforth 2 (AFS)", 2].run.sampler == "ab2-afs"
    with pytest.raises(
        ssdbench.UsageError, match=r"2 runs are called 'base'.*\n  0: .*seed 1\n  1: .*seed 2"
    ):
        results["base"]
    with pytest.raises(ssdbench.UsageError, match=r"no run is called 'Adams-Bashfort'.*did you mean"):
        results["Adams-Bashfort"]
    with pytest.raises(ssdbench.UsageError, match="no run is called 'base' with seed 3"):
        results["base", 3]
    with pytest.raises(IndexError):
        results[4]


def test_a_runs_images_are_those_that_were_scored(results: ssdbench.Results) -> None:
    run = results[0]
    images = run.images(5)
    assert (images.dtype, images.shape) == (np.uint8, (5, 32, 32, 1))
    np.testing.assert_array_equal(run.images()[:5], images)
    assert len(run.images()) == run.record.samples
    assert len(run.samples().labels) == run.record.samples
    with pytest.raises(ssdbench.UsageError, match="has 16 images, not 17"):
        run.images(17)


@pytest.mark.parametrize(("label", "sampler"), [("base", "ddim"), ("Adams-Bashforth 2 (AFS)", "ab2-afs")])
def test_a_runs_model_makes_its_images_again(results: ssdbench.Results, label: str, sampler: str) -> None:
    """From the same noise and labels, with guidance, the sampler by name gives the images in the store."""
    from ssdbench.diffusion import noise
    from ssdbench.diffusion.denoiser import Guided

    run = results[label, 2]
    model = run.model()
    assert not any(parameter.requires_grad for parameter in model.parameters())
    side = model.shape.input_size
    start = noise.normal((4, side, side), run.seed, "sample/noise", range(3))
    labels = torch.from_numpy(run.samples().labels[:3])
    guided = Guided(model, model.null, run.run.guidance.scale, run.run.guidance.channels)
    latents = ssdbench.sampler(sampler)(guided, start, labels, nfe=5)
    made = run.autoencoder().decode(latents).numpy().astype(int)
    assert np.abs(made - run.images(3)).max() <= 1  # of 255: the stage had another batch size


def test_what_is_not_there_is_told(workplace: Path) -> None:
    suite = workplace / "tiny.yaml"
    suite.write_text(SUITE)
    results = ssdbench.load(suite, results="results").results()
    assert results.table()["seeds"].tolist() == [0, 0]
    run = results[0]
    assert run.reason == "not run"
    with pytest.raises(ssdbench.UsageError, match=r"pretrain, .* there is no result: not run"):
        run.record  # noqa: B018
    with pytest.raises(ssdbench.UsageError, match="is not in results: run the suite"):
        run.model()
    (workplace / "real.yaml").write_text(BASE.replace("base", "real"))
    with pytest.raises(ssdbench.UsageError, match="scores images of the data set, so there is no model"):
        ssdbench.load("real.yaml", results="results").results()["real"].model()
    assert not Path("results").exists()


def test_damaged_weights_and_dropped_images_are_told(workplace: Path) -> None:
    suite = workplace / "tiny.yaml"
    suite.write_text(SUITE)
    filled = fill(workplace / "results", suite)
    run = ssdbench.load(suite, results="results").results()[1]
    store = Store(workplace / "results")
    key = filled.stage("train", "issd")
    (store.directory(key) / "model/config.json").write_text("{}")
    with pytest.raises(ssdbench.UsageError, match=f"'train issd .*' \\({key[:12]}\\) is damaged"):
        run.model()
    for key, node in filled.graph.nodes.items():
        if node.spec.KIND == "sample":
            assert store.remove(key)
    with pytest.raises(ssdbench.UsageError, match="no longer in results"):
        run.images()
