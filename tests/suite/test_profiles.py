from __future__ import annotations

from pathlib import Path

import pytest

from ssdbench.errors import SuiteError
from ssdbench.suite import catalog, list_profiles, list_suites, load_suite
from ssdbench.suite.document import Mark, Problems
from ssdbench.suite.profiles import MAPPED, load_profile

from .conftest import HEAD, Write

OWN = """\
profile: own
models: {DiT-XL/2: dit-mini}
resolutions: {256: 32}
data: {original: original}
references: {imagenet-256: fashion-mnist}
networks: {inception: effnet-lite0}
samplers: {ddim: ddim}
override: {train: {steps: 100, share: 0.5}, eval: {samples: 40}}
rules:
  - {when: {variant: "ss?", train.pairs: all}, set: {train: {pairs: skip_last}}}
  - {when: {model: dit-mini, nfe: [5, 10]}, set: {train: {warmup: 7}}}
  - {when: {nfe: 20}, limits: {samples: 10, images: 60}}
limits: {images: 90}
"""


def test_a_limit_bounds_what_later_rules_set_too(write: Write, rows: Write) -> None:
    limit, later = "{when: {nfe: 10}, limits: {samples: 20}}", "{when: {nfe: 10}, set: {eval: {samples: 30}}}"
    write(OWN.replace("rules:", f"rules:\n  - {limit}\n  - {later}"), "profiles/own.yaml")
    (run,) = load_suite(rows("{variant: base}"), profile="own").runs
    assert run.eval.samples == 20


def test_names_are_mapped_and_remembered(rows: Write) -> None:
    (run,) = load_suite(rows("{variant: issd, data: synthetic-20}"), profile="mini").runs
    assert (run.model, run.resolution, run.nfe, run.data) == ("dit-mini", 32, 5, "synthetic-10")
    assert (run.eval.reference, run.eval.network) == ("fashion-mnist", "effnet-lite0")
    named = run.named
    assert (named.model, named.resolution, named.reference) == ("DiT-XL/2", 256, "imagenet-256")
    assert (named.nfe, named.data) == (10, "synthetic-20")
    assert run.scale == "mini"
    assert (run.train.steps, run.train.batch_size, run.settings) == (200, 128, "mini")
    assert run.eval.samples == 2000


def test_evaluations_are_mapped_where_the_model_stands_for_another(write: Write, rows: Write) -> None:
    counted = OWN.replace("override:", "nfe: {10: 6, 20: 9}\noverride:").replace(
        "dit-mini}", "dit-mini, dit-mini: dit-mini}"
    )
    write(counted, "profiles/own.yaml")
    path = rows(
        "{variant: base}",
        "{variant: base, nfe: 30}",  # not mapped: stays
        "{variant: base, map_nfe: false}",
        "{variant: base, model: dit-mini}",  # stands for itself
        "{variant: pd 20-10}",  # names its counts
        "{variant: issd, train: {pairs: [9]}}",
        "{variant: issd, nfe: 20, train: {nfe: 10}, data: synthetic-20}",
    )
    runs = load_suite(path, profile="own").runs
    assert [run.nfe for run in runs] == [6, 30, 10, 10, 10, 10, 9]
    assert [run.named.nfe for run in runs] == [10, 30, 10, 10, 10, 10, 20]
    assert (runs[-1].train.nfe, runs[-1].data, runs[-1].named.data) == (6, "synthetic-9", "synthetic-20")


def test_mini_leaves_pretraining_its_recipe() -> None:
    own, mini = load_suite("pretrain-mini").runs, load_suite("pretrain-mini", profile="mini").runs
    assert [run.train for run in mini] == [run.train for run in own]
    assert [run.autoencoder for run in mini] == [run.autoencoder for run in own]


@pytest.mark.parametrize("variant", ["continual", "ssd-eq10", "issd", "continual + issd"])
def test_mini_trains_everything_else_briefly(variant: str, rows: Write) -> None:
    (run,) = load_suite(
        rows(f"{{variant: {variant}, nfe: 30}}"), profile="mini"
    ).runs  # of which nothing was searched
    assert (run.train.steps, run.train.lr) == (200, 1e-4)


def test_mini_halves_alike_whatever_stands_on_top(rows: Write) -> None:
    path = rows("{variant: pd 20-10}", "{variant: pd 20-10 + issd}", "{variant: issd + pd 20-10}")
    runs = load_suite(path, profile="mini").runs
    # One recipe, so that rows share the distilled model.
    assert {(run.train.pd_steps, run.train.pd_lr) for run in runs} == {(300, 2e-4)}
    assert {run.train.steps for run in runs} == {200}


def test_mini_skips_the_pair_that_cannot_be_learnt(rows: Write) -> None:
    path = rows(
        "{variant: ssd}",
        "{variant: continual + issd}",
        "{variant: ssd-eq12, grid: trailing}",
        "{variant: ssd, nfe: 2}",
        "{variant: issd, train: {pairs: [1]}}",
        "{variant: continual}",
        "{variant: pd 20-10 + issd}",  # its grid starts at 53, not at 0
        "{variant: ssd, model: SiT-XL/2}",
    )
    runs = load_suite(path, profile="mini").runs
    assert [run.train.pairs for run in runs] == [
        *("skip_last", "skip_last", "all", "all", (1,), "all"),
        *("all", "all"),
    ]


def test_every_suite_loads_at_every_scale() -> None:
    for name in list_suites():
        for profile in (None, "mini", "smoke"):
            assert load_suite(name, profile=profile).runs


def test_fewer_evaluations_stand_for_the_papers(rows: Write) -> None:
    path = rows(*(f"{{variant: base, nfe: {nfe}}}" for nfe in (250, 50, 20, 10)))
    assert [run.nfe for run in load_suite(path, profile="mini").runs] == [50, 20, 10, 5]


def test_smoke_is_mini_cut_down(rows: Write) -> None:
    (run,) = load_suite(rows("{variant: issd}"), profile="smoke").runs
    assert (run.model, run.train.steps, run.eval.samples, run.images) == ("dit-mini", 2, 16, 100)


def test_the_lowest_bound_of_images_holds(write: Write, rows: Write) -> None:
    path = rows("{variant: issd}", "{variant: issd, images: 70}", "{variant: issd, nfe: 20}")
    assert [run.images for run in load_suite(path).runs] == [None, 70, None]
    write(OWN, "profiles/own.yaml")
    assert [run.images for run in load_suite(path, profile="own").runs] == [90, 70, 60]


@pytest.mark.parametrize("name", ["mini", "smoke"])
def test_every_model_network_and_reference_has_a_counterpart(name: str) -> None:
    problems = Problems()
    profile = load_profile(name, Mark(file="test"), Path("nowhere"), problems)
    assert profile is not None
    assert list(problems) == []
    for key, (table, known) in MAPPED.items():
        if known is not None:
            # What is already mini stays itself, so that a profile can be applied to any suite.
            assert set(profile.tables[table].values()) <= set(profile.tables[table]), key
    assert set(profile.tables["models"]) == set(catalog.MODELS)
    assert set(profile.tables["networks"]) == set(catalog.NETWORKS)
    assert set(profile.tables["data"]) == {"original", *catalog.DATASETS}


def test_an_unmapped_name_is_an_error_where_the_suite_says_it(write: Write) -> None:
    write(OWN, "profiles/own.yaml")
    path = write(
        HEAD
        + "  - {variant: base, sampler: ab2}\n  - [DiT-S/2, ssd, ddim, 10, 256, original]\n  - {variant: base}\n"
    )
    with pytest.raises(SuiteError) as caught:
        load_suite(path, profile="own", overrides=["resolution=512"])
    assert caught.value.problems == [
        "x.yaml:9:6: model: profile 'own' (profiles/own.yaml) does not map 'DiT-S/2' (did you mean 'DiT-XL/2'?)",
        "--set resolution=512: resolution: profile 'own' (profiles/own.yaml) does not map 512",
    ]


def test_layers_and_rules(write: Write) -> None:
    write(OWN, "profiles/own.yaml")
    path = write(
        HEAD
        + "  - {variant: ssd, train: {lambda: 0.9, steps: 5}}\n"
        + "  - {variant: ssd, nfe: 20, train: {pairs: [1]}}\n"
        + "  - {variant: issd, nfe: 5}\n"
    )
    first, second, third = load_suite(path, profile="own").runs
    assert (first.train.steps, first.train.lambda_, first.train.share) == (100, None, 0.5)
    assert (first.train.pairs, first.train.warmup, first.eval.samples) == ("skip_last", 7, 40)
    assert (second.train.pairs, second.train.warmup, second.eval.samples) == ((1,), 0, 10)
    assert (third.train.pairs, third.train.warmup) == ("all", 7)
    overridden = load_suite(path, profile="own", overrides=["train.steps=3", "nfe=10"]).runs
    assert [run.train.steps for run in overridden] == [3, 3, 3]
    assert [run.train.warmup for run in overridden] == [7, 7, 7]


def test_a_suites_own_profile_and_the_command_lines(write: Write) -> None:
    write(OWN, "profiles/own.yaml")
    path = write(HEAD.replace("suite: x", "suite: x\nprofile: own") + "  - {variant: base}\n")
    assert load_suite(path).profile == "own"
    assert load_suite(path, profile="smoke").profile == "smoke"
    bad = write(HEAD.replace("suite: x", "suite: x\nprofile: onw") + "  - {variant: base}\n")
    with pytest.raises(
        SuiteError, match=r"^x.yaml:2:10: profile: unknown profile 'onw' \(did you mean 'own'\?\)$"
    ):
        load_suite(bad)


def test_extending(write: Write) -> None:
    write(OWN, "profiles/own.yaml")
    write(
        "profile: child\nextends: own\nmodels: {DiT-S/2: dit-mini}\noverride: {train: {warmup: 1, pairs: all}}\n",
        "profiles/child.yaml",
    )
    suite = load_suite(
        write(HEAD + "  - {variant: ssd, model: DiT-S/2}\n  - {variant: ssd}\n"), profile="child"
    )
    for run in suite.runs:
        # The child's settings hold over the parent's rules.
        assert (run.train.steps, run.train.warmup, run.train.pairs) == (100, 1, "all")
        assert run.scale == "child"


def test_mistakes_in_a_profile_name_its_file(write: Write) -> None:
    write(
        """\
        profile: other
        modles: {}
        models: {DiT-XL/2: dit-minni}
        resolutions: {256: small}
        override: {train: {stepz: 3}}
        rules:
          - {when: {varaint: ssd}, set: {train: {lr: -1}}}
          - {set: {}}
        limits: {samples: 1, images: 1.5}
        """,
        "profiles/own.yaml",
    )
    path = write(HEAD + "  - {variant: bas}\n")
    with pytest.raises(SuiteError) as caught:
        load_suite(path, profile="own")
    file = "profiles/own.yaml"
    assert caught.value.problems == [
        "x.yaml:8:15: variant: unknown variant 'bas' (did you mean 'base'?)",
        f"{file}:1:10: profile: must be the file's name 'own', not 'other'",
        f"{file}:2:1: modles: unknown key (did you mean 'models'?)",
        f"{file}:3:20: models.DiT-XL/2: unknown name 'dit-minni' (did you mean 'dit-mini'?)",
        f"{file}:4:20: resolutions: must be a whole number, not 'small'",
        f"{file}:5:20: train.stepz: unknown key (did you mean 'steps'?)",
        f"{file}:7:13: rules.when.varaint: unknown key (did you mean 'variant'?)",
        f"{file}:7:46: rules.set.train.lr: must be above 0, not -1",
        f"{file}:8:5: rules.when: missing",
        f"{file}:9:19: limits.samples: must be at least 2, not 1",
        f"{file}:9:30: limits.images: must be a whole number, not 1.5",
    ]


def test_profiles_that_extend_each_other(write: Write) -> None:
    write("profile: a\nextends: b\n", "profiles/a.yaml")
    write("profile: b\nextends: a\n", "profiles/b.yaml")
    write("profile: c\nextends: d\n", "profiles/c.yaml")
    path = write(HEAD + "  - {variant: base}\n")
    with pytest.raises(SuiteError, match=r"profiles/b.yaml:2:10: extends: .* in a circle: a -> b -> a"):
        load_suite(path, profile="a")
    with pytest.raises(SuiteError, match=r"profiles/c.yaml:2:10: extends: unknown profile 'd'"):
        load_suite(path, profile="c")


def test_an_impossible_setting_of_a_profile_is_located_in_it(write: Write) -> None:
    write(OWN.replace("share: 0.5", "fuse: [6]"), "profiles/own.yaml")
    with pytest.raises(SuiteError, match=r"^profiles/own.yaml:8:38: train.fuse: 6 is beyond the 6 blocks"):
        load_suite(write(HEAD + "  - {variant: issd}\n"), profile="own")


def test_the_profiles_that_come_along_are_listed() -> None:
    assert {"mini", "smoke"} <= set(list_profiles())
