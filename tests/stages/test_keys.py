"""Identity: what changes a result changes the key, what does not changes nothing."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.methods.denoising import Denoise
from ssdbench.methods.ssd import Explicit, Implicit
from ssdbench.models.shapes import DiTShape
from ssdbench.stages import (
    SPECS,
    EncodeSpec,
    ReferenceSpec,
    SampleSpec,
    ScoreSpec,
    Source,
    StageSpec,
    TrainSpec,
    load_spec,
)
from ssdbench.stages.sample import Copying, GuidanceSetting, Sampling
from ssdbench.stages.train import Reconstruct

SHAPE = DiTShape(width=32, depth=2, heads=2, input_size=8, num_classes=10, learn_sigma=False)
HERE, THERE = Source(digest="a" * 64, path="/here"), Source(digest="a" * 64, path="/there")


def train(**changes: object) -> TrainSpec:
    settings = {
        "objective": Denoise(kind="denoise"),
        "shape": SHAPE,
        "weights": HERE,
        "steps": 5,
        "batch_size": 4,
        "lr": 1e-3,
    }
    return TrainSpec(**{**settings, **changes})


def sample(**changes: object) -> SampleSpec:
    sampling = Sampling(shape=SHAPE, sampler="ddim", grid="even", nfe=10, weights=HERE)
    return SampleSpec(**{"sampling": sampling, "resolution": 32, "start": 0, "count": 10, **changes})


def labelled(labels: Source | str | None) -> str:
    plain = sample().sampling
    assert plain is not None
    return sample(sampling=plain.model_copy(update={"labels": labels})).key()


# Keys that exist in people's stores: a change here makes every result of before be computed again.
GOLDEN = {
    "train": train(),
    "sample": sample(),
    "encode": EncodeSpec(dataset="d", data=HERE, resolution=32, images=10, vae=HERE),
    "score": ScoreSpec(
        inputs={"samples/00000": "b" * 64}, network="n", weights=HERE, reference=HERE, samples=10
    ),
}
GOLDEN_KEYS = {
    "train": "c27d578e5f5bd220efaed6c14aefb590730e85f9d9295e2fa8747c4287028032",
    "sample": "70bc7a7149c19dc52ed8e00b4da42d2775ce7d757d51ddba01f33ad7088dd9fc",
    "encode": "28146c090de3892b53ca2de721aebc71be76ba0b15e0d11a93c381e11e5c743b",
    "score": "a0480072268753ea49f3d141d9ff161a215c141afee888ed85177d8a303ecd8a",
}


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_golden_keys(kind: str) -> None:
    assert GOLDEN[kind].key() == GOLDEN_KEYS[kind]


def test_paths_are_not_identity() -> None:
    assert train(weights=THERE).key() == train().key()
    assert train(weights=Source(digest="c" * 64, path="/here")).key() != train().key()


def test_classes_of_a_file_are_known_by_its_content() -> None:
    other = Source(digest="c" * 64, path="/here")
    assert labelled(HERE) == labelled(THERE)
    assert len({labelled(None), labelled("balanced"), labelled(HERE), labelled(other)}) == 4


def test_a_value_equal_to_its_default_is_left_out() -> None:
    assert train(ema=0.0, schedule="constant", seed=0).key() == train().key()
    assert sample(precision="float32").key() == sample().key()
    assert labelled(None) == sample().key()
    plain = Sampling(
        shape=SHAPE, sampler="ddim", grid="even", nfe=10, weights=HERE, guidance=GuidanceSetting(scale=1.0)
    )
    assert sample(sampling=plain).key() == sample().key()


STEP = Implicit(kind="issd", grid="even", nfe=10, pairs=(1, 2), layers=(0, 1), w=0.3, teacher_guidance=1.5)
HALF = Explicit(kind="ssd", grid="even", nfe=10, pairs=(1, 2), lam=0.5, weights=(1.0, 2.0), anchor=0.1)
EXAMPLES = [
    train(objective=STEP, inputs={"data": "c" * 64}, autocast="bfloat16", grad_clip=1.0),
    train(objective=HALF, inputs={"data": "c" * 64}, checkpoints=(1, 2), schedule="linear"),
    train(objective=Reconstruct(
        kind="reconstruct", dataset="d", data=HERE, resolution=32, channels=(8, 8), kl_weight=1e-6
    )),
    sample(vae=HERE, sampling=Sampling(
        shape=SHAPE, sampler="ddim", grid="even", nfe=10, guidance=GuidanceSetting(scale=1.5, channels=3), weights=HERE,
        pairs=(1, 2), lam=0.5, own=HERE
    )),
    sample(sampling=None, copying=Copying(dataset="d", data=HERE, reconstruct=True)),
    GOLDEN["encode"],
    GOLDEN["score"],
    ReferenceSpec(dataset="d", data=HERE, resolution=32, count=10, network="n", weights=HERE),
]  # fmt: skip
# Other values for settings that take words out of a list.
WORDS = [
    "float32",
    "bfloat16",
    "constant",
    "cosine",
    "eps",
    "v",
    "linear",
    "scaled-linear",
    "all",
    "per_sample",
    "per_batch",
    "ssd",
    "issd",
    "other",
]


def leaves(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Where a dumped specification has settings: (names and indices on the way, the value there)."""
    items = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    if items is None:
        yield path, value
        return
    for name, inner in items:
        yield from leaves(inner, (*path, name))


def others(value: object) -> list:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    return [*(word for word in WORDS if word != value), None]


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda spec: spec.title)
def test_every_setting_is_identity_and_no_path_is(spec: StageSpec) -> None:
    checked = 0
    for path, value in leaves(json.loads(json.dumps(spec.dump()))):
        if value is None or path == ("objective", "kind"):
            continue  # the kinds have fields of their own, and are told apart below
        for other in others(value):
            changed = json.loads(json.dumps(spec.dump()))
            place = changed
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = other
            try:
                key = load_spec(spec.KIND, changed).key()
            except ValueError:
                continue  # a word that this setting does not take
            assert (key == spec.key()) == (path[-1] == "path"), path
            checked += 1
            break
        else:
            pytest.fail(f"no other value was found for {path}")
    assert checked > 5


def test_kinds_of_objective_are_told_apart() -> None:
    explicit = train(objective=STEP.model_copy(update={"kind": "ssd"}))
    assert len({train().key(), train(objective=STEP).key(), explicit.key()}) == 3


@given(st.sampled_from(sorted(GOLDEN)))
def test_a_worker_rebuilds_the_same_specification(kind: str) -> None:
    spec = GOLDEN[kind]
    again = load_spec(kind, json.loads(json.dumps(spec.dump())))
    assert again == spec
    assert again.key() == spec.key()


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="extra"):
        load_spec("train", {**train().dump(), "stepz": 3})


def test_all_kinds_have_a_body() -> None:
    from ssdbench.stages import body

    assert set(SPECS) == {"train", "encode", "sample", "reference", "score"}
    assert all(callable(body(kind)) for kind in SPECS)
