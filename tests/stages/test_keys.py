"""Identity: what changes a result changes the key, what does not changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssdbench.models.shapes import DiTShape
from ssdbench.stages import SPECS, EncodeSpec, SampleSpec, ScoreSpec, Source, TrainSpec, load_spec
from ssdbench.stages.sample import Guidance, Sampling
from ssdbench.stages.train import Denoise, SelfStep

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


def test_a_value_equal_to_its_default_is_left_out() -> None:
    assert train(ema=0.0, schedule="constant", seed=0).key() == train().key()
    assert sample(dtype="float32").key() == sample().key()
    plain = Sampling(
        shape=SHAPE, sampler="ddim", grid="even", nfe=10, weights=HERE, guidance=Guidance(scale=1.0)
    )
    assert sample(sampling=plain).key() == sample().key()


CHANGES = [
    {"seed": 1}, {"steps": 6}, {"batch_size": 5}, {"lr": 2e-3}, {"ema": 0.9}, {"autocast": "bfloat16"}, {"warmup": 1},
    {"label_dropout": 0.2}, {"loss_channels": "all"}, {"timestep": "per_batch"}, {"grad_clip": 1.0},
    {"weight_decay": 0.1}, {"schedule": "cosine"}, {"weights": None}, {"inputs": {"data": "c" * 64}},
    {"shape": DiTShape(width=32, depth=3, heads=2, input_size=8, num_classes=10, learn_sigma=False)},
    {"objective": SelfStep(kind="ssd", grid="even", nfe=10, pairs=(1,), lam=0.5)},
    {"objective": SelfStep(kind="ssd", grid="even", nfe=10, pairs=(1,), lam="eq12")},
    {"objective": SelfStep(kind="ssd", grid="even", nfe=10, pairs=(2,), lam=0.5)},
    {"objective": SelfStep(kind="issd", grid="even", nfe=10, pairs=(1,), layers=(1,), w=0.5)},
    {"objective": SelfStep(kind="issd", grid="even", nfe=10, pairs=(1,), layers=(0, 1), w=0.5)},
]  # fmt: skip


def test_every_setting_is_identity() -> None:
    keys = [train().key(), *(train(**change).key() for change in CHANGES)]
    assert len(set(keys)) == len(keys)
    changed = {name for change in CHANGES for name in change}
    assert changed == set(TrainSpec.model_fields)  # a new setting needs a line above


@given(st.sampled_from(sorted(GOLDEN)))
def test_a_worker_rebuilds_the_same_specification(kind: str) -> None:
    import json

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
