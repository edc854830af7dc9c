"""Rows with two models along the grid, of the limit of Eq. 6, of an adaptive sampler: what they mean, and mistakes."""

from __future__ import annotations

import pytest

from ssdbench.plan import build
from ssdbench.samplers import SAMPLERS
from ssdbench.stages import SampleSpec
from ssdbench.stages.sample import Sampling
from ssdbench.suite import load_suite

from .conftest import HEAD, ProblemsOf, Write

OF_EPS = [
    name for name, sampler in SAMPLERS.items() if "eps" in sampler.predictions and not sampler.second_time
]

MINI = """\
suite: x
defaults:
  model: dit-mini
  nfe: 10
  resolution: 32
  train: {steps: 5}
  eval: {samples: 10, reference: fashion-mnist, network: effnet-lite0}
runs:
"""


def sampled(write: Write, row: str, profile: str | None = None) -> Sampling:
    """How the only row of a suite is sampled."""
    graph = build(load_suite(write(f"{MINI}  - {row}\n"), profile=profile))
    [how] = {node.spec.sampling for node in graph.nodes.values() if isinstance(node.spec, SampleSpec)}
    assert how is not None
    return how


@pytest.mark.parametrize(
    ("row", "times"),
    [
        ("{variant: issd, student_at: [888]}", (888,)),
        ("{variant: issd, student_at: [0, 888]}", (0, 888)),
        # iSSD trains g[i-1] of a pair, explicit SSD g[i].
        ("{variant: issd, student_at: trained, train: {pairs: [9, 2]}}", (111, 888)),
        ("{variant: ssd, student_at: trained, train: {pairs: [9, 2]}}", (222, 999)),
        ("{variant: ssd, student_at: trained, train: {pairs: skip_last}, nfe: 5}", (500, 749, 999)),
        ("{variant: pd 20-10 + issd, student_at: trained, train: {pairs: [9]}}", (894,)),
        ("{model: sit-mini, variant: issd, student_at: trained, nfe: 4, train: {pairs: [3]}}", (0.25,)),
        ("{model: repa-mini, variant: issd, student_at: [0.75], nfe: 4, train: {share: 0.2}}", (0.75,)),
    ],
)
def test_where_the_student_is_evaluated(write: Write, row: str, times: tuple[float, ...]) -> None:
    how = sampled(write, row)
    assert how.along_grid is not None
    assert how.along_grid.student_at == pytest.approx(times)
    assert how.models == 2


@pytest.mark.parametrize(
    "row",
    [
        "{variant: issd}",
        "{variant: issd, student_at: all}",
        "{variant: continual, student_at: trained}",  # trained at all timesteps
        "{variant: pd 20-10, student_at: trained}",
    ],
)
def test_one_model_has_the_keys_of_before(write: Write, row: str) -> None:
    how = sampled(write, row)
    assert how.along_grid is None
    assert "along_grid" not in str(how.model_dump(exclude_defaults=True))


def test_what_stands_elsewhere_is_what_the_student_was_distilled_from(write: Write) -> None:
    path = write(f"{MINI}  - {{variant: pd 20-10 + issd, student_at: [894], train: {{pairs: [9]}}}}\n")
    graph = build(load_suite(path))
    [shard] = [node for node in graph.nodes.values() if isinstance(node.spec, SampleSpec)]
    student, base = (graph.nodes[shard.inputs[role]].spec for role in ("model", "frozen"))
    assert student.objective.kind == "issd"
    assert base.objective.kind == "pd"
    # The base model itself is a source, not a stage.
    how = sampled(write, "{variant: issd, student_at: [888]}")
    assert how.along_grid is not None
    assert how.along_grid.base == how.frozen
    assert how.frozen is not None


def test_a_profile_s_grid_takes_the_nearest_timesteps(write: Write) -> None:
    write(
        "profile: short\nmodels: {dit-mini: dit-mini}\nresolutions: {32: 32}\ndata: {original: original}\n"
        "references: {fashion-mnist: fashion-mnist}\nnetworks: {effnet-lite0: effnet-lite0}\noverride: {nfe: 5}\n",
        "profiles/short.yaml",
    )
    how = sampled(write, "{variant: issd, student_at: [888, 555, 444, 111]}", profile="short")
    assert how.timesteps() == [0, 250, 500, 749, 999]
    assert how.along_grid is not None
    assert how.along_grid.student_at == (0, 500, 999)  # 444 and 555 are both nearest to 500


def test_the_limit_takes_the_layer_the_weight_and_the_pairs_of_the_training_settings(write: Write) -> None:
    how = sampled(
        write, "{variant: base, sampler: issd-limit, train: {fuse: last, lambda: 0.6, pairs: [9, 1]}}"
    )
    assert how.fused is not None
    assert (how.fused.layers, how.fused.w, how.fused.pairs) == ((5,), 0.6, (1, 9))
    assert (how.models, how.passes) == (1, 10)


def test_an_adaptive_sampler_has_no_nfe(write: Write) -> None:
    suite = load_suite(write(f"{MINI}  - {{model: sit-mini, variant: base, sampler: dopri5}}\n"))
    assert (suite.runs[0].nfe, suite.runs[0].named.nfe) == (0, 0)
    how = sampled(write, "{model: sit-mini, variant: base, sampler: dopri5}")
    assert how.times() == [0.0, 1.0]
    assert how.passes > 10  # for the plan's estimates


WRONG = {
    "no timestep of the grid": (
        "{variant: issd, student_at: [888, 800, 3]}",
        "8:33: student_at: 800, 3 is none of the 10 that are evaluated: 0, 111, 222, 333, 444, 555, 666, 777, 888, 999",
    ),
    "no student": (
        "{variant: base, student_at: trained}",
        "8:33: student_at: 'base' has no student, and so no two models along the grid",
    ),
    "neither a word nor a list": (
        "{variant: issd, student_at: [888, x]}",
        "8:33: student_at: must be 'all', 'trained' or a list of distinct timesteps or times of the grid, not"
        " [888, 'x']",
    ),
    "fused too": (
        "{variant: issd, student_at: trained, fused: true}",
        "8:33: student_at: a fused student runs the model that it was distilled from anyhow: leave out fused or"
        " student_at",
    ),
    "off its grid": (
        "{variant: issd, student_at: trained, train: {nfe: 5}}",
        "8:33: student_at: 'trained' are timesteps of the student's own grid: leave out train.nfe, or list timesteps",
    ),
    "of an adaptive sampler": (
        "{model: SiT-XL/2, variant: continual, student_at: [0.5], sampler: dopri5}",
        "8:55: student_at: 'dopri5' chooses its times itself: name a sampler that walks a grid",
    ),
    "the limit of several layers": (
        "{variant: base, sampler: issd-limit}",
        "8:30: sampler: 'issd-limit' is exact for one fused layer, and train.fuse 'all' are 28: a block of such a"
        " student is trained on inputs that the fused layers before it have mixed, and sampled on others; give"
        " train.fuse: last",
    ),
    "the limit of a student that is all s": (
        "{variant: base, sampler: issd-limit, train: {fuse: last, lambda: 1.0}}",
        "8:30: sampler: 'issd-limit' divides by 1 - w, and w is 1: give another lambda or share",
    ),
    "the limit with guidance that ends": (
        "{variant: base, sampler: issd-limit, train: {fuse: last}, guidance: {scale: 2.0, interval: [0.1, 0.5]}}",
        "8:30: sampler: 'issd-limit' needs both branches' states of the step before, and guidance.interval drops one",
    ),
    "pairs that the limit does not visit": (
        "{variant: base, sampler: issd-limit, nfe: 5, train: {fuse: last, pairs: [9]}}",
        "8:77: train.pairs: 9 is no pair of 5 timesteps (1 to 4)",
    ),
    "a block that is not there": (
        "{variant: base, sampler: issd-limit, train: {fuse: [28]}}",
        "8:56: train.fuse: 28 is beyond the 28 blocks (0 to 27) of model 'DiT-XL/2'",
    ),
    "an adaptive sampler with an nfe": (
        "{model: SiT-XL/2, variant: base, sampler: dopri5, nfe: 50}",
        "8:60: nfe: must be 0 or left out for sampler 'dopri5', which takes as many evaluations as its tolerances need,"
        " not 50",
    ),
    "an adaptive sampler of timesteps": (
        "{variant: base, sampler: dopri5}",
        "8:30: sampler: 'dopri5' is not for model 'DiT-XL/2', which predicts eps (there are ddim, sde, ab2, plms,"
        f" {', '.join(OF_EPS[4:])})",
    ),
    "a student of a grid that is not walked": (
        "{model: SiT-XL/2, variant: issd, sampler: dopri5, train: {nfe: 10}}",
        "8:47: sampler: 'dopri5' takes as many evaluations as its tolerances need, and 'issd' is distilled for one"
        " evaluation a step",
    ),
}


@pytest.mark.parametrize(("row", "expected"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_once_and_where(row: str, expected: str, problems_of: ProblemsOf) -> None:
    assert problems_of(f"{HEAD}  - {row}\n") == [f"x.yaml:{expected}"]
