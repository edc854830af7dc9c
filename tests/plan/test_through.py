"""A reference through the autoencoder: in suites, profiles and plans, and what the stage computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ssdbench.data.datasets import load_images
from ssdbench.diffusion.noise import shuffled
from ssdbench.errors import InputError, SuiteError
from ssdbench.metrics.networks import Dims, FeatureNetwork, Taps
from ssdbench.metrics.reference import load_reference
from ssdbench.metrics.reference_set import THROUGH
from ssdbench.models.vae import Autoencoder
from ssdbench.plan import build
from ssdbench.plan.graph import Graph
from ssdbench.stages import ReferenceSpec, Runtime, SampleSpec, Source, TrainSpec, reference
from ssdbench.suite import load_suite

SUITE = """
suite: t
title: t
layout: plain
defaults: {{model: {}, nfe: 4, resolution: 32, eval: {{samples: 50, network: effnet-lite0}}}}
runs:
"""
THROUGH_IT = "{of: fashion-mnist, through: autoencoder}"


def corner(weights: Path | None, device: str) -> FeatureNetwork:
    """A network whose features are the grey levels of 4 x 4 pixels in the middle."""

    def forward(x: torch.Tensor) -> Taps:
        pooled = x[:, 0, 12:16, 12:16].float().flatten(1)
        return Taps(pooled=pooled, spatial=pooled, logits=pooled)

    return FeatureNetwork("corner", "0" * 64, Dims(16, 16, 16), forward, device)


def graph_of(folder: Path, rows: str, model: str = "dit-mini", **how: str) -> Graph:
    (folder / "t.yaml").write_text(SUITE.format(model) + rows)
    return build(load_suite(folder / "t.yaml", **how))


def references(graph: Graph) -> list[ReferenceSpec]:
    return [node.spec for node in graph.nodes.values() if isinstance(node.spec, ReferenceSpec)]


def test_the_images_of_a_shipped_reference_are_passed_through_and_nothing_else_changes(
    tmp_path: Path,
) -> None:
    for variant in ("base", "real"):
        graph = graph_of(
            tmp_path,
            f"  - {{variant: {variant}, eval: {{reference: fashion-mnist}}}}\n"
            f"  - {{variant: {variant}, eval: {{reference: {THROUGH_IT}}}}}\n",
        )
        [spec] = references(graph)
        assert (spec.dataset, spec.count, spec.through, spec.offset) == (
            "fashion-mnist-reference",
            10_000,
            True,
            128.0,
        )
        assert spec.vae is not None
        assert len([node for node in graph.nodes.values() if isinstance(node.spec, SampleSpec)]) == 1
        plain, through = graph.runs
        assert plain.target != through.target
        assert through.run.eval.reference == f"fashion-mnist{THROUGH}" == through.run.named.reference


def test_training_images_that_are_compared_with_it_go_the_same_way(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path, f"  - {{variant: base, eval: {{reference: {THROUGH_IT}, memorisation: true}}}}\n"
    )
    found = {spec.dataset: spec.through for spec in references(graph)}
    assert found == {"fashion-mnist-reference": True, "fashion-mnist": True}


def test_the_autoencoder_is_identity(tmp_path: Path) -> None:
    [spec] = references(graph_of(tmp_path, f"  - {{variant: base, eval: {{reference: {THROUGH_IT}}}}}\n"))
    other = spec.model_copy(update={"vae": Source(digest="e" * 64, path="")})
    assert other.key() != spec.key()
    assert spec.model_copy(update={"vae": Source(digest=spec.vae.digest, path="/else")}).key() == spec.key()


def test_an_autoencoder_that_the_run_trains_is_the_references_too(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        "  - {variant: pretrain, data: fashion-mnist, autoencoder: {steps: 3}, train: {steps: 3},"
        f" eval: {{reference: {THROUGH_IT}}}}}\n",
    )
    [spec] = references(graph)
    [vae] = [
        node.spec
        for node in graph.nodes.values()
        if isinstance(node.spec, TrainSpec) and node.spec.shape is None
    ]
    assert spec.inputs == {"vae": vae.key()}
    assert spec.vae is None


def test_repas_images_are_cut_as_its_samples_are(tmp_path: Path) -> None:
    row = f"  - {{variant: base, eval: {{reference: {THROUGH_IT}}}}}\n"
    [spec] = references(graph_of(tmp_path, row, "repa-mini"))
    assert spec.offset == 127.5


def test_a_profile_maps_what_is_passed_through(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        "  - {resolution: 256, variant: base, sampler: ddim, nfe: 10, eval: {network: inception,"
        " reference: {of: imagenet-256, through: autoencoder}}}\n",
        "DiT-XL/2",
        profile="mini",
    )
    assert references(graph)[0].through
    run = graph.runs[0].run
    assert run.eval.reference == f"fashion-mnist{THROUGH}"
    assert run.named.reference == f"imagenet-256{THROUGH}"


def test_rows_of_a_matrix_may_differ_in_it(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        f"  - {{matrix: {{eval.reference: [fashion-mnist, {THROUGH_IT}]}}, variant: base}}\n",
    )
    assert [planned.run.eval.reference for planned in graph.runs] == [
        "fashion-mnist",
        f"fashion-mnist{THROUGH}",
    ]


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (
            "{of: fashion-mnits, through: autoencoder}",
            r"t\.yaml:7:44: eval\.reference\.of: unknown reference"
            r" 'fashion-mnits' \(did you mean 'fashion-mnist'\?\)",
        ),
        ("{of: fashion-mnist, through: vae}", r"eval\.reference\.through: must be 'autoencoder', not 'vae'"),
        ("{of: fashion-mnist}", r"eval\.reference\.through: missing"),
        (
            "{off: fashion-mnist, through: autoencoder}",
            r"eval\.reference\.off: unknown key \(did you mean 'of'\?\)",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, reference: str, text: str) -> None:
    with pytest.raises(SuiteError, match=text):
        graph_of(tmp_path, f"  - {{variant: base, eval: {{reference: {reference}}}}}\n")


def test_training_on_its_images_is_refused_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="holds the images of the reference"):
        graph_of(
            tmp_path,
            f"  - {{variant: continual, data: fashion-mnist-full, eval: {{reference: {THROUGH_IT}}}}}\n",
        )


def test_statistics_alone_cannot_be_passed_through(tmp_path: Path) -> None:
    np.savez(tmp_path / "ref.npz", mu=np.zeros(3), sigma=np.eye(3))
    row = f"  - {{variant: base, eval: {{reference: {{of: {tmp_path}/ref.npz, through: autoencoder}}}}}}\n"
    [planned] = graph_of(tmp_path, row).runs
    assert "holds no images to pass through the autoencoder, only statistics" in str(planned.reason)


def test_a_function_in_pixels_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in_pixels.py").write_text(
        "from ssdbench.models.own_model import OwnModel\n"
        "def f(r): return OwnModel(list, channels=1, size=r, classes=10, dataset='fashion-mnist')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    row = f"  - {{variant: base, eval: {{reference: {THROUGH_IT}}}}}\n"
    [planned] = graph_of(tmp_path, row, "'in_pixels:f'").runs
    assert "model 'in_pixels:f' has no autoencoder: it denoises pixels" in str(planned.reason)


@pytest.mark.parametrize("file", [False, True])
def test_the_stage_takes_features_of_images_that_were_encoded_and_decoded(tmp_path: Path, file: bool) -> None:
    vae = Path(__file__).parents[2] / "harness/ssdbench/assets/weights/vae-mini"
    images = load_images("fashion-mnist-reference", 32).pixels[shuffled(10_000, 0, range(60))]
    if file:
        np.savez(tmp_path / "r.npz", arr_0=images)
    spec = ReferenceSpec(
        dataset=reference.FILE if file else "fashion-mnist-reference",
        data=Source(digest="d" * 64, path=str(tmp_path / "r.npz")),
        resolution=32,
        count=60,
        network="tests.plan.test_through:corner",
        weights=Source(digest="e" * 64, path=""),
        through=True,
        vae=Source(digest="f" * 64, path=str(vae)),
        offset=127.5,
    )
    assert reference.body(spec, {}, tmp_path, Runtime(tmp_path))["count"] == 60
    found = load_reference(tmp_path / "reference.safetensors")
    autoencoder = Autoencoder(vae)
    passed = autoencoder.decode(autoencoder.encode(torch.from_numpy(images))[0], 127.5)
    assert found.features is not None
    np.testing.assert_array_equal(found.features, passed[:, 12:16, 12:16, 0].flatten(1).numpy())
    assert not np.array_equal(found.features, images[:, 12:16, 12:16, 0].reshape(60, -1))
    assert "through the autoencoder" in found.data


def test_images_alone_know_no_autoencoder() -> None:
    from ssdbench import evaluate

    with pytest.raises(InputError, match="of a suite's run alone"):
        evaluate(
            np.zeros((8, 32, 32, 1), np.uint8), reference=f"fashion-mnist{THROUGH}", network="effnet-lite0"
        )
