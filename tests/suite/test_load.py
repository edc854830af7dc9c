from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from ssdbench.errors import UsageError
from ssdbench.suite import ResolvedRun, catalog, load_suite, run_yaml

from .conftest import HEAD, Write

EXAMPLE = """\
suite: table8
title: Results on synthetic data
layout: table2
defaults:
  model: DiT-XL/2
  sampler: ddim
  nfe: 10
  resolution: 256
  guidance: {scale: 1.5, channels: 3}
  train: {steps: 8007, batch_size: 128, lr: 5.0e-6, lambda: 0.5, fuse: all}
  eval: {samples: 50000, reference: imagenet-256}
seeds: [0]
runs:
  - {variant: base}
  - {matrix: {data: [original, synthetic-10, synthetic-20]}, variant: issd}
  - [DiT-XL/2, ssd, ddim, 10, 256, original]
"""


def settings(run: ResolvedRun) -> dict[str, object]:
    return run.model_dump(mode="json", by_alias=True, exclude={"mark"})


def test_the_example(write: Write) -> None:
    suite = load_suite(write(EXAMPLE))
    assert (suite.name, suite.title, suite.layout) == ("table8", "Results on synthetic data", "table2")
    assert suite.profile is None
    assert suite.text == EXAMPLE
    assert [(run.variant, run.data, run.mark.line) for run in suite.runs] == [
        ("base", "original", 14),
        ("issd", "original", 15),
        ("issd", "synthetic-10", 15),
        ("issd", "synthetic-20", 15),
        ("ssd", "original", 16),
    ]
    assert {run.scale for run in suite.runs} == {"paper"}
    assert suite.runs[0].named.model == "DiT-XL/2"
    assert suite.runs[0].guidance.channels == 3
    assert suite.notes == []


def test_the_default_is_the_published_recipe(rows: Write) -> None:
    (run,) = load_suite(rows("{variant: issd}")).runs
    train = run.train
    # Section 4.1: AdamW without weight decay, no warm-up, no schedule, no moving average; 0.8 epochs of ImageNet.
    assert train.steps == round(0.8 * catalog.DATASETS["imagenet"].images / 128)
    assert (train.batch_size, train.lr) == (128, 5e-6)
    assert (train.weight_decay, train.warmup, train.schedule, train.ema) == (0, 0, "constant", 0)
    assert (run.sampler, run.grid, run.eval.samples, run.eval.network) == (
        "ddim",
        "even",
        50_000,
        "inception",
    )
    assert (train.lambda_, train.share, train.fuse, train.pairs) == (None, None, "all", "all")


def test_tuple_and_mapping_say_the_same(rows: Write) -> None:
    first, second = load_suite(
        rows(
            "[DiT-S/2, pd 40-20+issd, ab2, 20, 256, synthetic-50]",
            "{model: DiT-S/2, variant: pd 40-20 + issd, sampler: ab2, nfe: 20, resolution: 256, data: synthetic-50}",
        )
    ).runs
    assert settings(first) == settings(second)
    assert (first.mark.line, second.mark.line) == (8, 9)


def test_a_matrix_is_a_product_with_the_first_key_slowest(rows: Write) -> None:
    path = rows(
        "{matrix: {nfe: [5, 10], train.lambda: [0.1, 0.2, 0.3], guidance: [{scale: 1.0}, {scale: 2}]}, variant: ssd}"
    )
    runs = load_suite(path).runs
    assert [(run.nfe, run.train.lambda_, run.guidance.scale) for run in runs] == [
        (nfe, weight, scale) for nfe in (5, 10) for weight in (0.1, 0.2, 0.3) for scale in (1.0, 2.0)
    ]


def test_sections_merge_key_by_key(write: Write) -> None:
    text = EXAMPLE.replace(
        "{variant: base}", "{variant: issd, train: {steps: 5}, guidance: {channels: null}}"
    )
    run = load_suite(write(text)).runs[0]
    assert (run.train.steps, run.train.lr, run.train.lambda_) == (5, 5e-6, 0.5)
    assert (run.guidance.scale, run.guidance.channels) == (1.5, None)


def test_the_more_special_mixing_weight_replaces_the_other(write: Write) -> None:
    text = EXAMPLE.replace("{variant: base}", "{variant: issd, train: {share: 0.25}}")
    runs = load_suite(write(text)).runs
    assert (runs[0].train.lambda_, runs[0].train.share) == (None, 0.25)
    assert (runs[1].train.lambda_, runs[1].train.share) == (0.5, None)
    runs = load_suite(write(text), overrides=["train.lambda=0.125"]).runs
    assert {(run.train.lambda_, run.train.share) for run in runs} == {(0.125, None)}


def test_real_images_need_no_sampler(rows: Write) -> None:
    real, reconstruction = load_suite(
        rows("{variant: real}", "[DiT-XL/2, reconstruction, none, 0, 256, original]")
    ).runs
    for run in (real, reconstruction):
        assert (run.nfe, run.sampler, run.named.nfe, run.named.sampler) == (0, "none", 0, "none")


def test_an_autoencoder_can_be_taken_back(write: Write) -> None:
    head = HEAD.replace("runs:", "  autoencoder: {steps: 5, channels: [8, 16]}\nruns:")
    suite = load_suite(write(f"{head}  - {{variant: pretrain}}\n  - {{variant: base, autoencoder: null}}\n"))
    pretrain, base = suite.runs
    assert pretrain.autoencoder is not None
    assert (pretrain.autoencoder.steps, pretrain.autoencoder.channels) == (5, (8, 16))
    assert base.autoencoder is None


def test_seeds(write: Write) -> None:
    path = write(
        HEAD.replace("runs:", "seeds: [3, 1]\nruns:")
        + "  - {variant: base}\n  - {variant: ssd, seeds: [7]}\n"
    )
    assert [(run.variant, run.seed) for run in load_suite(path).runs] == [
        ("base", 3),
        ("base", 1),
        ("ssd", 7),
    ]
    assert [run.seed for run in load_suite(path, seed=5).runs] == [5, 5]
    assert [run.seed for run in load_suite(path, overrides=["seeds=[1, 2]"]).runs] == [1, 2, 1, 2]


def test_overrides(write: Write) -> None:
    overrides = ["train.steps=50", "train.fuse=[1, 2]", "guidance={scale: 3}", "nfe=20", "train.lr=1e-3"]
    suite = load_suite(write(EXAMPLE), overrides=overrides)
    for run in suite.runs:
        assert (run.train.steps, run.train.fuse, run.train.lr) == (50, (1, 2), 1e-3)
        assert (run.guidance.scale, run.guidance.channels) == (3.0, 3)
        assert run.nfe == run.named.nfe == 20


def test_limit_caps_and_never_raises(rows: Write) -> None:
    path = rows("{variant: base}", "{variant: ssd, eval: {samples: 100}}")
    assert [run.eval.samples for run in load_suite(path, limit=500).runs] == [500, 100]


def test_a_users_own_things_are_named_by_module_and_function(rows: Write) -> None:
    path = rows(
        "{variant: base, model: my.models:small, sampler: my:euler, data: my.data:cats, eval: {network: my.net:clip}}",
        "{variant: base, model: my.models:small, nfe: 7, resolution: 48, train: {fuse: [99]}}",
        "{variant: base, eval: {reference: statistics/cats.npz}}",
    )
    run, small, reference = load_suite(path).runs
    assert (run.model, run.sampler, run.data) == ("my.models:small", "my:euler", "my.data:cats")
    assert (small.resolution, reference.eval.reference) == (48, "statistics/cats.npz")


def test_a_repeated_run_is_noted(rows: Write) -> None:
    suite = load_suite(rows("{variant: base}", "{variant: ssd}", "{variant: base, nfe: 10}"))
    assert suite.notes == ["x.yaml:10:5: the same run as x.yaml:8:5"]


def test_a_run_of_another_seed_is_no_repeat(rows: Write) -> None:
    suite = load_suite(rows("{variant: base}", "{variant: base, seeds: [1, 2]}"))
    assert suite.notes == []
    suite = load_suite(rows("{variant: base, seeds: [0, 1]}", "{variant: base, seeds: [2, 1]}"))
    assert suite.notes == ["x.yaml:9:5: the same run as x.yaml:8:5"]
    assert load_suite(rows("{variant: base}", "{variant: base, seeds: [1]}"), seed=5).notes != []


def test_data_and_reference_may_meet_where_nothing_is_trained_or_the_paper_says_so(rows: Write) -> None:
    load_suite(
        rows(
            "{variant: base, data: fashion-mnist-full, eval: {reference: fashion-mnist}}",
            "{model: dit-mini, resolution: 32, variant: issd, data: fashion-mnist, eval: {reference: fashion-mnist}}",
            "{variant: issd, data: imagenet}",
        )
    )


def test_a_byte_order_mark_is_no_part_of_a_suite(write: Write) -> None:
    plain, marked = write(EXAMPLE), write(EXAMPLE)
    runs = load_suite(plain).runs
    marked.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.encode())
    assert load_suite(marked).runs == runs  # with their places


def test_too_few_samples_for_a_metric_are_noted_where_they_are_asked_for(rows: Write) -> None:
    few = load_suite(rows("{variant: base}", "{variant: base, seeds: [0, 1], eval: {samples: 3}}"))
    (note,) = few.notes
    place, _, text = note.partition(": ")
    assert text == "no precision, recall: 3 samples: at least 4 are needed"
    assert few.text.splitlines()[int(place.split(":")[1]) - 1].endswith("eval: {samples: 3}}")
    assert load_suite(rows("{variant: base, eval: {samples: 4}}")).notes == []


def test_resolved_runs_survive_a_round_trip(write: Write) -> None:
    for run in load_suite(
        write(EXAMPLE), overrides=["train.fuse=[1, 2]", "guidance.interval=[0.1, 0.7]"]
    ).runs:
        data = run.model_dump(mode="json", by_alias=True)
        assert ResolvedRun.model_validate(data) == run
        text = run_yaml(run)
        assert "mark" not in text
        again = yaml.safe_load(text) | {"mark": data["mark"]}
        # PyYAML reads 5e-06 as text and writes 5.0e-06, which both versions of YAML read as a number.
        assert ResolvedRun.model_validate(again) == run


def test_runs_of_an_older_catalog_can_still_be_read(write: Write) -> None:
    run = load_suite(write(EXAMPLE)).runs[0]
    data = run.model_dump(mode="json", by_alias=True) | {"model": "renamed since"}
    assert ResolvedRun.model_validate(data).model == "renamed since"


def test_where_suites_are_found(write: Write) -> None:
    write(EXAMPLE, "suites/own.yaml")
    for name in ("own", "own.yaml", "suites/own.yaml", "suites/own"):
        assert load_suite(name).source == Path("suites/own.yaml")
    assert load_suite("quick").name == "quick"  # of the package, from any directory
    with pytest.raises(UsageError, match=r"quik: there is no such suite \(did you mean 'quick'\?\)"):
        load_suite("quik")
    with pytest.raises(UsageError, match="no such suite"):
        load_suite("elsewhere/quick.yaml")


def test_a_run_takes_no_longer_to_load_among_thousands(write: Write) -> None:
    def seconds(steps: int) -> float:
        one_line = "{matrix: {train.steps: [%s], guidance.scale: [%s]}, variant: issd}"
        matrix = one_line % (",".join(map(str, range(1, steps + 1))), ",".join(map(str, range(100))))
        start = time.process_time()
        suite = load_suite(write(HEAD + f"  - {matrix}\n"), profile="mini", overrides=["train.lr=1e-3"])
        taken = time.process_time() - start
        assert len(suite.runs) == 100 * steps
        return taken

    few, many = min(seconds(10), seconds(10)), seconds(100)
    assert many < 20 * few  # ten times as many runs; quadratic work would take up to a hundred times as long
    assert many < 10  # about three; a minute is what nobody waits for


def test_more_runs_than_anyone_needs_are_refused(write: Write) -> None:
    numbers = ",".join(map(str, range(1, 1001)))
    path = write(
        f"{HEAD}  - {{matrix: {{train.steps: [{numbers}], train.warmup: [{numbers}]}}, variant: ssd}}\n"
    )
    with pytest.raises(UsageError, match=r"x.yaml:8:5: runs: more than 100,000 runs"):
        load_suite(path)
