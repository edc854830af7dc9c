"""Every kind of stage on a tiny model: what comes out, and that it depends on (seed, index) alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ssdbench.data.latents import Latents
from ssdbench.errors import InputError, Interrupted, NotFinite
from ssdbench.methods.denoising import Align, Denoise
from ssdbench.methods.progressive import Progressive
from ssdbench.methods.ssd import Explicit, Implicit
from ssdbench.metrics.networks import Taps
from ssdbench.metrics.reference import make_reference
from ssdbench.models.checkpoint import load_dit
from ssdbench.models.vae import Autoencoder
from ssdbench.stages import (
    EncodeSpec,
    ReferenceSpec,
    Runtime,
    SampleSpec,
    ScoreSpec,
    Source,
    TrainSpec,
    encode,
    reference,
    sample,
    score,
    train,
)
from ssdbench.stages.learning import read_features
from ssdbench.stages.reference import FILE
from ssdbench.stages.sample import Copying, GuidanceSetting, Sampling
from ssdbench.stages.train import Reconstruct
from tests.metrics.toy import DIMS, toy_network

from .conftest import DATA, IMAGES, SHAPE, Tiny


def sampled(tiny: Tiny, output: Path, start: int, count: int, **settings: object) -> dict[str, torch.Tensor]:
    output.mkdir(parents=True)
    sampling = {
        "sampler": "ddim",
        "grid": "even",
        "nfe": 3,
        "guidance": GuidanceSetting(scale=1.5, channels=3),
        **settings,
    }
    spec = SampleSpec(
        sampling=Sampling(shape=SHAPE, weights=tiny.weights, **sampling),
        resolution=32,
        vae=tiny.vae,
        seed=5,
        start=start,
        count=count,
    )
    facts = sample.body(spec, {}, output, Runtime(output))
    assert facts == {"nfe": 3}
    return load_file(output / "samples.safetensors")


def test_a_sample_depends_on_seed_and_index_alone(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for batch in (1, 7, 64):
        monkeypatch.setattr(sample, "BATCH", batch)
        found[batch] = sampled(tiny, tmp_path / str(batch), 0, 64)
    monkeypatch.setattr(sample, "BATCH", 10)
    pieces = [sampled(tiny, tmp_path / f"part{start}", start, count) for start, count in ((0, 23), (23, 41))]
    found["shards"] = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
    for other in found.values():
        assert torch.equal(other["labels"], found[64]["labels"])
        torch.testing.assert_close(other["latents"], found[64]["latents"], rtol=1e-4, atol=1e-4)
        assert (other["images"].int() - found[64]["images"].int()).abs().max() <= 1
    assert found[64]["images"].shape == (64, 32, 32, 1)
    assert found[64]["images"].dtype == torch.uint8


def test_samplers_start_from_the_same_noise_and_labels(tiny: Tiny, tmp_path: Path) -> None:
    one, other = (sampled(tiny, tmp_path / name, 0, 8, sampler=name) for name in ("ddim", "ab2"))
    assert torch.equal(one["labels"], other["labels"])
    assert not torch.allclose(one["latents"], other["latents"])
    # the same noise: the two differ less than two different samples do
    assert (one["latents"] - other["latents"]).norm() < (one["latents"] - one["latents"].flip(0)).norm()


def test_sampling_that_diverges_is_an_error(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "dit").mkdir()
    model = load_dit(Path(tiny.weights.path))
    # A weight that is not finite would be refused when it is read; these make products that are not.
    model.final_layer.linear.bias.data.fill_(3e38)
    from ssdbench.models.checkpoint import save_dit

    save_dit(model, tmp_path / "dit")
    broken = Tiny(tmp_path)
    (tmp_path / "vae").symlink_to(tiny.vae.path)
    with pytest.raises(NotFinite, match=r"samples 0\.\.3 are not finite"):
        sampled(broken, tmp_path / "out", 0, 4)


def test_a_stop_is_obeyed(tiny: Tiny, tmp_path: Path) -> None:
    spec = SampleSpec(
        sampling=Sampling(shape=SHAPE, weights=tiny.weights, sampler="ddim", grid="even", nfe=3),
        resolution=32,
        vae=tiny.vae,
        start=0,
        count=4,
    )
    with pytest.raises(Interrupted):
        sample.body(spec, {}, tmp_path, Runtime(tmp_path, stopping=lambda: True))


@pytest.mark.parametrize("reconstruct", [False, True])
def test_images_of_the_data_set_stand_in_for_samples(tiny: Tiny, tmp_path: Path, reconstruct: bool) -> None:
    spec = SampleSpec(
        copying=Copying(dataset="fashion-mnist", data=DATA, reconstruct=reconstruct),
        resolution=32,
        vae=tiny.vae if reconstruct else None,
        start=10,
        count=20,
    )
    sample.body(spec, {}, tmp_path, Runtime(tmp_path))
    images = load_file(tmp_path / "samples.safetensors")["images"]
    from ssdbench.data.datasets import load_images
    from ssdbench.diffusion.noise import shuffled

    originals = torch.from_numpy(load_images("fashion-mnist", 32).pixels[shuffled(10_000, 0, range(10, 30))])
    if not reconstruct:
        assert torch.equal(images, originals)
    else:
        vae = Autoencoder(Path(tiny.vae.path))
        assert (images.int() - vae.decode(vae.encode(originals)[0]).int()).abs().max() <= 1


def test_latents_hold_each_images_posterior(tiny: Tiny) -> None:
    from ssdbench.data.datasets import load_images

    images = load_images("fashion-mnist", 32)
    latents = Latents.encoded(tiny.latents)
    assert len(latents) == IMAGES
    assert np.array_equal(latents.labels.numpy(), images.labels[:IMAGES])
    mean, std = Autoencoder(Path(tiny.vae.path)).encode(torch.from_numpy(images.pixels[234:236]))
    torch.testing.assert_close(latents.mean[[234, 235]], mean, rtol=1e-4, atol=1e-4)
    drawn = torch.cat([latents.draw([234], 0, [position])[0] for position in range(4000)])
    torch.testing.assert_close(drawn.mean(0), mean[0], rtol=0, atol=float(std[0].max()) * 0.1)
    torch.testing.assert_close(drawn.std(0), std[0], rtol=0.08, atol=0)


def test_encoding_goes_on_after_the_last_finished_shard(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the third of five shards, it encodes the last three; the latents are those of one piece."""
    monkeypatch.setattr(encode, "SHARD", 200)
    output, scratch = tmp_path / "output", tmp_path / "scratch"
    output.mkdir()
    scratch.mkdir()
    encoded: list[int] = []
    spec = EncodeSpec(dataset="fashion-mnist", data=DATA, resolution=32, images=IMAGES, vae=tiny.vae)

    def report(done: int, total: int, unit: str, **values: float | str) -> None:
        encoded.append(done)

    with pytest.raises(Interrupted):
        encode.body(spec, {}, output, Runtime(scratch, report=report, stopping=lambda: len(encoded) == 5))
    assert not list(output.iterdir())
    del encoded[:]
    assert encode.body(spec, {}, output, Runtime(scratch, report=report)) == {"images": IMAGES}
    assert encoded[0] == 500
    # What is in scratch stays: a run that takes the stage over meanwhile goes on from there.
    del encoded[:]
    (tmp_path / "another").mkdir()
    encode.body(spec, {}, tmp_path / "another", Runtime(scratch, report=report))
    assert not encoded
    pieces, whole = Latents.encoded(output), Latents.encoded(tiny.latents)
    chosen = [999, 0, 199, 200, 543]
    assert torch.equal(pieces.labels, whole.labels)
    assert len(pieces) == len(whole)
    for drawn, expected in zip(
        pieces.draw(chosen, 3, range(5)), whole.draw(chosen, 3, range(5)), strict=True
    ):
        assert torch.equal(drawn, expected)


OBJECTIVES = {
    "denoise": Denoise(kind="denoise"),
    "ssd": Explicit(kind="ssd", grid="even", nfe=5, pairs=(1, 2, 3, 4), lam="eq12"),
    "issd": Implicit(kind="issd", grid="even", nfe=5, pairs=(2, 3, 4), layers=(0, 1), w=0.3),
    "half-step": Explicit(kind="half-step", grid="even", nfe=5, pairs=(2, 3, 4)),
    "issd after a halving": Implicit(
        kind="issd", grid="even", nfe=5, halvings=1, pairs=(2, 3, 4), layers=(0, 1), w=0.3
    ),
    "pd": Progressive(kind="pd", grid="even", nfe=10),
    "issd of a flow": Implicit(kind="issd", grid="uniform", nfe=5, pairs=(1, 2, 3, 4), layers=(0, 1), w=0.3),
    "pd of a flow": Progressive(kind="pd", grid="uniform", nfe=10),
    "pd, second halving": Progressive(kind="pd", grid="even", nfe=10, halvings=1, weighting="truncated"),
}


# What is left of `even` 10 and 20 after halvings, written out from their strides of 111 and 52.58.
TENTHS = [111, 333, 555, 777, 999]
GRIDS = {"pd": TENTHS, "issd after a halving": TENTHS, "pd, second halving": [158, 368, 578, 789, 999]}


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_training_changes_the_model_and_lowers_the_loss(tiny: Tiny, tmp_path: Path, name: str) -> None:
    output, scratch = tmp_path / "out", tmp_path / "scratch"
    output.mkdir()
    scratch.mkdir()
    spec = TrainSpec(
        objective=OBJECTIVES[name],
        shape=SHAPE,
        weights=tiny.weights,
        steps=40,
        batch_size=16,
        lr=1e-3,
        label_dropout=0.0,
        flow=0 if "flow" in name else None,
    )
    facts = train.body(spec, {"data": tiny.latents}, output, Runtime(scratch))
    assert facts["student_forwards"] == 640
    assert facts["frozen_forwards"] == (0 if name == "denoise" else 1280)
    before, after = load_dit(Path(tiny.weights.path)), load_dit(output / "model", SHAPE)
    assert not torch.equal(before.blocks[0].attn.qkv.weight, after.blocks[0].attn.qkv.weight)
    assert torch.equal(before.pos_embed, after.pos_embed)
    losses = [json.loads(line)["loss"] for line in (output / "loss.jsonl").read_text().splitlines()]
    assert sum(losses[-10:]) < sum(losses[:10])
    grid = json.loads((output / "model" / "config.json").read_text()).get("grid")
    gridless = name == "denoise" or "flow" in name
    assert grid == GRIDS.get(name, None if gridless else [0, 250, 500, 749, 999])


def test_a_student_needs_a_model_to_start_from(tiny: Tiny, tmp_path: Path) -> None:
    spec = TrainSpec(objective=OBJECTIVES["ssd"], shape=SHAPE, steps=1, batch_size=2, lr=1e-3)
    with pytest.raises(InputError, match="needs a model to start from"):
        train.body(spec, {"data": tiny.latents}, tmp_path, Runtime(tmp_path))


def test_an_autoencoder_learns_to_reconstruct(tmp_path: Path) -> None:
    output, scratch = tmp_path / "out", tmp_path / "scratch"
    output.mkdir()
    scratch.mkdir()
    objective = Reconstruct(
        kind="reconstruct",
        dataset="fashion-mnist",
        data=DATA,
        resolution=32,
        channels=(8, 8, 8),
        kl_weight=1e-6,
    )
    train.body(TrainSpec(objective=objective, steps=30, batch_size=16, lr=3e-3), {}, output, Runtime(scratch))
    losses = [json.loads(line)["loss"] for line in (output / "loss.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.7 * losses[0]
    Autoencoder(output / "model")


def test_images_score_against_the_reference_made_of_them(tiny: Tiny, tmp_path: Path) -> None:
    network = Source(digest="e" * 64, path="")
    made, shards, scored = (tmp_path / name for name in ("reference", "samples", "score"))
    for folder in (made, shards, scored):
        folder.mkdir()
    spec = ReferenceSpec(
        dataset="fashion-mnist", data=DATA, resolution=32, count=40, network="effnet-lite0", weights=network
    )
    assert reference.body(spec, {}, made, Runtime(tmp_path)) == {"count": 40}
    copying = Copying(dataset="fashion-mnist", data=DATA, reconstruct=False)
    sample.body(SampleSpec(copying=copying, resolution=32, start=0, count=40), {}, shards, Runtime(tmp_path))
    inputs = {"samples/00000": shards, "reference": made}
    facts = score.body(
        ScoreSpec(network="effnet-lite0", weights=network, samples=40), inputs, scored, Runtime(tmp_path)
    )
    # both draw the first forty of the same order: the same images
    assert facts["metrics"]["fd"] == pytest.approx(0.0, abs=1e-3)
    assert facts["metrics"]["precision"] == facts["metrics"]["recall"] == 1.0
    assert json.loads((scored / "metrics.json").read_text())["metrics"] == facts["metrics"]
    assert (scored / "grid.png").is_file()
    with pytest.raises(Interrupted):
        reference.body(spec, {}, made, Runtime(tmp_path, stopping=lambda: True))


def test_of_a_data_set_the_first_images_are_taken(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latents and features of the first 25 are those of the whole data set's, row by row; of 7 drawn, 7 of these."""

    def forward(images: torch.Tensor) -> Taps:  # some of the pixels
        return Taps(*(images[:, 0, 12, -width - 8 : -8].float() for width in DIMS))

    network = replace(toy_network(), forward=forward)
    monkeypatch.setattr("ssdbench.metrics.networks.load_network", lambda *_: network)
    latents = tmp_path / "latents"
    latents.mkdir()
    spec = EncodeSpec(dataset="fashion-mnist", data=DATA, resolution=32, images=25, vae=tiny.vae)
    assert encode.body(spec, {}, latents, Runtime(tmp_path)) == {"images": 25}
    few, all_of_them = Latents.encoded(latents), Latents.encoded(tiny.latents)
    rows = list(range(25))
    assert len(few) == 25
    assert torch.equal(few.labels, all_of_them.labels[:25])
    torch.testing.assert_close(few.mean[rows], all_of_them.mean[rows], rtol=1e-4, atol=1e-5)

    found = {}
    for images, count in ((0, 1000), (25, 25), (25, 7), (1000, 1000)):
        place = tmp_path / f"{images}-{count}"
        place.mkdir()
        drawn = ReferenceSpec(
            dataset="fashion-mnist", data=DATA, resolution=32, count=count, images=images, network="toy",
            weights=Source(digest="e" * 64, path=""),
        )  # fmt: skip
        assert reference.body(drawn, {}, place, Runtime(tmp_path)) == {"count": count}
        found[images, count] = read_features(place)
    whole = found[1000, 1000]  # read_features undoes the order of drawing, so this is data order
    assert torch.equal(found[25, 25], whole[:25])
    assert not torch.equal(found[0, 1000], whole)  # drawn from all 10,000
    assert all((row == whole[:25]).all(1).any() for row in found[25, 7])


def test_the_images_of_a_file_go_through_the_network_once_and_its_statistics_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ADM's reference: scoring against what the stage keeps is scoring against the file, without its images."""
    network = replace(toy_network(name="inception"), batch_size=7)
    monkeypatch.setattr("ssdbench.metrics.networks.load_network", lambda *_: network)
    rng = np.random.default_rng(0)
    real, fakes = rng.integers(0, 256, (2, 30, 4, 4, 3), dtype=np.uint8)
    statistics = make_reference([rng.integers(0, 256, (99, 4, 4, 3), dtype=np.uint8)], network, "all").arrays(
        "full"
    )
    del statistics["features"], statistics["radii"]
    np.savez(tmp_path / "adm.npz", arr_0=real, **statistics)
    made, shards = tmp_path / "reference", tmp_path / "samples"
    for folder in (made, shards):
        folder.mkdir()
    save_file({"images": torch.from_numpy(fakes)}, shards / "samples.safetensors")
    weights, file = Source(digest="e" * 64, path=""), Source(digest="f" * 64, path=str(tmp_path / "adm.npz"))
    spec = ReferenceSpec(
        dataset=FILE, data=file, resolution=4, count=30, network="inception", weights=weights
    )
    assert reference.body(spec, {}, made, Runtime(tmp_path)) == {"count": 30}
    read: list[int] = []
    counted = replace(network, forward=lambda images: read.append(len(images)) or network.forward(images))
    monkeypatch.setattr("ssdbench.metrics.networks.load_network", lambda *_: counted)
    found = []
    for where in ({"reference": file}, {"inputs": {"reference": "0" * 64}}):
        read.clear()
        facts = score.body(
            ScoreSpec(network="inception", weights=weights, samples=30, **where),
            {"samples/00000": shards, "reference": made},
            tmp_path,
            Runtime(tmp_path),
        )
        found.append((facts["metrics"], facts["intervals"], facts["stamps"], facts["missing"], sum(read)))
    (*direct, both), (*through, alone) = found
    assert direct == through
    assert direct[0].keys() == {"fid", "sfid", "is", "precision", "recall"}
    assert (both, alone) == (60, 30)
    with pytest.raises(Interrupted):
        reference.body(spec, {}, made, Runtime(tmp_path, stopping=lambda: True))


def test_diagnostics_compare_the_first_samples_with_exact_ones_and_with_training_images(
    tiny: Tiny, tmp_path: Path
) -> None:
    network = Source(digest="e" * 64, path="")
    made, coarse, fine = (tmp_path / name for name in ("training", "coarse", "fine"))
    made.mkdir()
    spec = ReferenceSpec(
        dataset="fashion-mnist", data=DATA, resolution=32, count=20, network="effnet-lite0", weights=network
    )
    reference.body(spec, {}, made, Runtime(tmp_path))
    few, exact = sampled(tiny, coarse, 0, 12), sampled(tiny, fine, 0, 5, grid="trailing")
    inputs = {"samples/00000": coarse, "reference": made, "training": made, "trajectory": fine}
    score_spec = ScoreSpec(network="effnet-lite0", weights=network, samples=12)
    metrics = score.body(score_spec, inputs, tmp_path, Runtime(tmp_path))["metrics"]
    expected = (few["latents"][:5] - exact["latents"]).square().mean().sqrt()
    assert metrics["trajectory"] == pytest.approx(float(expected), rel=1e-5)
    assert metrics["nearer_training"] == 0.5  # the reference is the training set here
    assert metrics["nearest_training"] > 0
    del inputs["training"], inputs["trajectory"]
    plain = score.body(score_spec, inputs, tmp_path, Runtime(tmp_path))["metrics"]
    assert set(metrics) - set(plain) == {"trajectory", "nearest_training", "nearer_training"}
    assert all(metrics[name] == plain[name] for name in plain)


def test_samples_are_read_as_latents_without_decoding(tiny: Tiny, tmp_path: Path) -> None:
    first, second = (sampled(tiny, tmp_path / str(start), start, 6) for start in (0, 6))
    files = [tmp_path / str(start) / "samples.safetensors" for start in (0, 6)]
    latents = Latents.sampled(files)
    drawn, labels = latents.draw([7, 0], 3, [0, 1])
    assert torch.equal(drawn, torch.stack([second["latents"][1], first["latents"][0]]))
    assert torch.equal(labels, torch.stack([second["labels"][1], first["labels"][0]]))
    output = tmp_path / "out"
    output.mkdir()
    spec = TrainSpec(
        objective=OBJECTIVES["issd"], shape=SHAPE, weights=tiny.weights, steps=2, batch_size=8, lr=1e-3
    )
    inputs = {"data/00000": tmp_path / "0", "data/00001": tmp_path / "6"}
    assert train.body(spec, inputs, output, Runtime(tmp_path))["steps"] == 2


def test_alignment_pulls_an_early_block_towards_the_features_of_the_images(
    tiny: Tiny, tmp_path: Path
) -> None:
    made, output = tmp_path / "features", tmp_path / "out"
    made.mkdir()
    output.mkdir()
    rng = np.random.default_rng(0)
    latents = Latents.encoded(tiny.latents)
    # Features that say no more than the label, by image; a reference holds them in the order in which it drew them.
    by_label = rng.normal(size=(10, 12)).astype(np.float32)
    by_image = by_label[latents.labels.numpy()]
    from ssdbench.diffusion.noise import shuffled
    from ssdbench.metrics.reference import Reference, save_reference

    drawn = by_image[shuffled(IMAGES, 0, range(IMAGES))]
    save_reference(Reference("toy", None, 1, "toy", IMAGES, features=drawn), made / "reference.safetensors")
    assert torch.equal(read_features(made), torch.from_numpy(by_image))
    spec = TrainSpec(
        objective=Align(kind="align", layer=0, coeff=1.0, width=64),
        shape=SHAPE,
        flow=1,
        steps=60,
        batch_size=32,
        lr=2e-3,
        label_dropout=0.0,
    )
    train.body(spec, {"data": tiny.latents, "features": made}, output, Runtime(tmp_path))
    losses = [json.loads(line)["loss"] for line in (output / "loss.jsonl").read_text().splitlines()]
    assert (
        sum(losses[:5]) / 5 - sum(losses[-5:]) / 5 > 0.7
    )  # the label is in the conditioning: similarity nears 1
    assert not [
        name
        for name in load_file(output / "model/diffusion_pytorch_model.safetensors")
        if "proj" in name and "blocks" not in name and "x_embedder" not in name
    ]  # the projector is dropped
