"""What a suite turns into: stages, shared where equal, with every setting made explicit."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import no_home

from ssdbench.errors import SuiteError
from ssdbench.methods.ssd import SelfStep, fused_layers, fusion_weight
from ssdbench.models.shapes import OUTPUT, DiTShape
from ssdbench.plan import Graph, build, sources
from ssdbench.plan.sources import Data, Inspected
from ssdbench.samplers.sampler import trained_pairs
from ssdbench.samplers.walks import timesteps
from ssdbench.stages import EncodeSpec, ReferenceSpec, SampleSpec, ScoreSpec, Source, TrainSpec
from ssdbench.suite import load_suite
from ssdbench.suite.training import Train
from ssdbench.suite.variant import Halved, variant_of

SHAPE = DiTShape(width=16, depth=4, heads=2, input_size=8, num_classes=10, learn_sigma=False)

SUITE = """
suite: t
title: t
layout: plain
defaults:
  model: dit-mini
  nfe: 10
  resolution: 32
  train: {steps: 3, batch_size: 4, lr: 1.0e-4}
  eval: {samples: 1500, reference: fashion-mnist, network: effnet-lite0}
seeds: [0]
runs:
"""


@pytest.fixture(autouse=True)
def found_without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and references count as found without their files."""
    monkeypatch.setattr("ssdbench.plan.sources.locate", lambda text, hint: Source(digest=text, path="/x"))
    monkeypatch.setattr("ssdbench.plan.sources.inspected", lambda *_: Inspected())
    monkeypatch.setattr("ssdbench.suite.rules_data.placed", lambda text: Path("/x"))


def graph_of(tmp_path: Path, rows: str) -> Graph:
    path = tmp_path / "t.yaml"
    path.write_text(SUITE + rows)
    return build(load_suite(path))


def specs(graph: Graph, kind: type) -> list:
    return [node.spec for node in graph.nodes.values() if isinstance(node.spec, kind)]


def test_samples_come_in_shards_that_extend(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, "  - {variant: base}\n")
    shards = specs(graph, SampleSpec)
    assert [(s.start, s.count) for s in shards] == [(0, 1000), (1000, 500)]
    longer = graph_of(tmp_path, "  - {variant: base, eval: {samples: 2500}}\n")
    assert shards[0].key() in longer.nodes  # 1,500 samples extend to 2,500: the whole shard serves both
    score = graph.nodes[graph.runs[0].target]
    assert sorted(score.inputs) == ["samples/00000", "samples/00001"]


def test_stages_are_shared_where_equal(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        "  - {variant: issd}\n  - {variant: issd, sampler: ab2}\n  - {variant: issd, label: again}\n"
        "  - {variant: ssd}\n",
    )
    assert len(graph.runs) == 4
    assert graph.runs[0].target == graph.runs[2].target
    assert len(specs(graph, TrainSpec)) == 2
    assert len(specs(graph, EncodeSpec)) == 1
    assert len(specs(graph, ScoreSpec)) == 3


def test_inputs_come_before_what_needs_them(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, "  - {variant: continual + issd + ssd}\n  - {variant: base}\n")
    seen: set[str] = set()
    for key, node in graph.nodes.items():
        assert set(node.inputs.values()) <= seen
        seen.add(key)
    chain = specs(graph, TrainSpec)
    assert [spec.objective.kind for spec in chain] == ["denoise", "issd", "ssd"]
    assert chain[0].weights is not None
    assert chain[1].inputs["model"] == chain[0].key()
    assert chain[2].inputs["model"] == chain[1].key()
    assert chain[1].weights is chain[2].weights is None


def test_seeds_change_training_and_sampling_but_not_latents(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, "  - {variant: ssd, seeds: [0, 1]}\n")
    assert sorted(spec.seed for spec in specs(graph, TrainSpec)) == [0, 1]
    assert len(specs(graph, EncodeSpec)) == 1


def objective(tmp_path: Path, row: str) -> SelfStep:
    [spec] = specs(graph_of(tmp_path, f"  - {row}\n"), TrainSpec)
    return spec.objective


def test_self_distillation_is_made_explicit(tmp_path: Path) -> None:
    found = objective(tmp_path, "{variant: issd, train: {fuse: last, lambda: 0.4, pairs: skip_last}}")
    assert (found.layers, found.w, found.pairs, found.nfe) == ((5,), 0.4, (2, 3, 4, 5, 6, 7, 8, 9), 10)
    assert (
        objective(tmp_path, "{variant: issd, train: {fuse: [1, 0], lambda: 0.4, lambda_weights: t}}").w == 0.6
    )
    assert objective(tmp_path, "{variant: ssd, train: {lambda: 0.4}}").lam == 0.4
    assert objective(tmp_path, "{variant: ssd}").lam == "eq12"
    assert objective(tmp_path, "{variant: ssd-eq12, train: {lambda: 0.4}}").lam == "eq12"
    assert objective(tmp_path, "{variant: ssd-eq10}").lam == 1.0


def test_a_student_can_be_measured_off_its_grid(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, "  - {variant: ssd, matrix: {nfe: [5, 10, 20]}, train: {nfe: 10}}\n")
    [student] = specs(graph, TrainSpec)  # one student, sampled three times
    assert student.objective.nfe == 10
    assert student.objective.pairs == tuple(range(1, 10))
    assert sorted(spec.sampling.nfe for spec in specs(graph, SampleSpec) if spec.start == 0) == [5, 10, 20]


def test_rows_that_sample_at_several_steps_share_one_training(tmp_path: Path) -> None:
    keeping = "train: {steps: 400, checkpoints: [200, 100, 400]}"
    graph = graph_of(tmp_path, f"  - {{variant: issd, matrix: {{at_step: [100, 200, 400]}}, {keeping}}}\n")
    graph = Graph.union([graph, graph_of(tmp_path, f"  - {{variant: issd, {keeping}}}\n")])
    [training] = specs(graph, TrainSpec)
    assert (training.steps, training.checkpoints) == (400, (100, 200))
    assert {spec.sampling.step for spec in specs(graph, SampleSpec)} == {100, 200, None}
    assert len({run.target for run in graph.runs}) == 3  # the last step is the default
    [plain] = specs(graph_of(tmp_path, "  - {variant: issd, train: {steps: 400}}\n"), TrainSpec)
    assert training.disk_bytes() == 3 * plain.disk_bytes()
    assert training.scratch_bytes() > plain.scratch_bytes()


def test_the_last_training_of_a_chain_keeps_its_weights_alone(tmp_path: Path) -> None:
    row = "{variant: pd 20-10 + issd, at_step: 2, train: {checkpoints: [2], pd_steps: 7, anchor: 0.1}}"
    halving, last = specs(graph_of(tmp_path, f"  - {row}\n"), TrainSpec)
    assert (halving.checkpoints, last.checkpoints) == ((), (2,))
    assert (halving.objective.anchor, last.objective.anchor) == (
        0.0,
        0.1,
    )  # a halving trains all its timesteps
    first, second = specs(
        graph_of(tmp_path, "  - {variant: pd 40-20-10, train: {checkpoints: [2]}}\n"), TrainSpec
    )
    assert (first.checkpoints, second.checkpoints) == ((), (2,))
    base = graph_of(tmp_path, "  - {variant: base, at_step: 2, train: {checkpoints: [2], anchor: 0.1}}\n")
    assert base.runs[0].target == graph_of(tmp_path, "  - {variant: base}\n").runs[0].target


def test_settings_at_their_defaults_are_in_no_key(tmp_path: Path) -> None:
    given = (
        "anchor: 0.0, pair_weights: equal, flip: false, vb_loss: false, checkpoints: [], schedule: constant"
    )
    for variant in ("issd", "continual", "ssd"):
        plain, spelled = (
            graph_of(tmp_path, f"  - {{variant: {variant}{more}}}\n").runs[0].target
            for more in ("", f", at_step: null, train: {{{given}}}")
        )
        assert plain == spelled
    others = {
        graph_of(tmp_path, f"  - {{variant: issd, train: {{{more}}}}}\n").runs[0].target
        for more in ("fuse: last", "anchor: 0.1", "pair_weights: step", "flip: true", "fuse: output")
    }
    assert len(others) == 5
    unheeded = {
        graph_of(tmp_path, f"  - {{variant: continual, train: {{{more}}}}}\n").runs[0].target
        for more in ("fuse: last", "anchor: 0.1", "pair_weights: step", "fuse: all+output", "lambda: 0.3")
    }
    assert len(unheeded) == 1


def test_flipped_images_are_encoded_too(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, "  - {variant: continual, train: {flip: true}}\n")
    [training] = specs(graph, TrainSpec)
    assert [spec.flip for spec in specs(graph, EncodeSpec)] == [False, True]
    assert {"data", "flipped"} == set(training.inputs)


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.5])
@pytest.mark.parametrize("layers", [1, 6, 28])
def test_a_share_of_the_features_comes_from_s(share: float, layers: int) -> None:
    w = fusion_weight(Train(share=share), layers)
    kept = 1.0
    for _ in range(layers):
        kept *= 1 - w  # what is left of t's own features after each fused layer
    assert 1 - kept == pytest.approx(share)


def test_one_weight_has_one_spelling() -> None:
    assert fusion_weight(Train(share=1 / 3), 1) == fusion_weight(Train.model_validate({"lambda": 1 / 3}), 1)
    by_t = Train.model_validate({"lambda": 0.7, "lambda_weights": "t"})
    assert fusion_weight(by_t, 1) == 0.3


def test_layers_and_pairs() -> None:
    assert fused_layers(Train(), 3) == (0, 1, 2)
    assert fused_layers(Train(fuse="last"), 3) == (2,)
    assert fused_layers(Train(fuse=[2, 0]), 3) == (0, 2)
    assert fused_layers(Train(fuse="output"), 3) == (OUTPUT,)
    assert fused_layers(Train(fuse="all+output"), 3) == (0, 1, 2, OUTPUT)
    assert trained_pairs(Train().pairs, 4) == (1, 2, 3)
    assert trained_pairs("skip_last", 4) == (2, 3)
    assert trained_pairs((3, 1), 4) == (1, 3)


def test_what_cannot_run_says_why_and_leaves_the_rest(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        "  - {variant: base, resolution: 64}\n  - {variant: base}\n",
    )
    assert [run.target is None for run in graph.runs] == [True, False]
    assert "holds images of 32 pixels" in str(graph.runs[0].unavailable)


def test_weights_that_are_not_shipped_are_not_for_the_user_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # of `found_without_files`
    with pytest.raises(sources.Unavailable, match="weights/none is not part of this installation: a recipe"):
        sources.locate("package:weights/none", "a recipe")
    with pytest.raises(sources.Missing, match="weights/none is missing: download it"):
        sources.locate("file:none", "download it")


def test_pretraining_trains_the_autoencoder_first(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        "  - {variant: pretrain, autoencoder: {steps: 2, channels: [8, 8, 8]}}\n"
        "  - {variant: reconstruction, sampler: none, nfe: 0, autoencoder: {steps: 2, channels: [8, 8, 8]}}\n",
    )
    vae, denoiser = specs(graph, TrainSpec)
    assert (vae.objective.kind, denoiser.objective.kind) == ("reconstruct", "denoise")
    [latents] = specs(graph, EncodeSpec)
    assert latents.inputs == {"vae": vae.key()}
    assert denoiser.weights is None
    assert "model" not in denoiser.inputs
    assert all(spec.inputs["vae"] == vae.key() for spec in specs(graph, SampleSpec))


def test_pretraining_may_have_a_recipe_of_its_own(tmp_path: Path) -> None:
    recipe = "pretrain: {steps: 7, lr: 1.0e-3, warmup: 2, ema: 0.9, seed: 5}"
    graph = graph_of(
        tmp_path,
        f"  - {{variant: pretrain, {recipe}, seeds: [1, 2]}}\n"
        f"  - {{variant: pretrain + issd, {recipe}, seeds: [1, 2]}}\n",
    )
    base, *distilled = specs(graph, TrainSpec)  # one base model for both variants and both seeds
    assert (base.steps, base.lr, base.warmup, base.ema, base.seed) == (7, 1e-3, 2, 0.9, 5)
    assert [(one.steps, one.lr, one.warmup, one.ema, one.seed) for one in distilled] == [
        (3, 1e-4, 0, 0.0, 1),
        (3, 1e-4, 0, 0.0, 2),
    ]
    assert all(one.inputs["model"] == base.key() for one in distilled)


def write_picture(path: Path, colour: tuple[int, int, int] = (0, 0, 0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), colour).save(path)


def class_folders(root: Path, count: int = 10) -> None:
    """A folder of as many classes as dit-mini has, with an image each."""
    for i in range(count):
        write_picture(root / f"{i}/a.png")


def test_a_folder_of_images_is_a_data_set(tmp_path: Path) -> None:
    class_folders(tmp_path / "shirts")
    row = f"  - {{variant: continual, data: {tmp_path}/shirts}}\n"
    [latents] = specs(graph_of(tmp_path, row), EncodeSpec)
    assert latents.images == 10
    write_picture(tmp_path / "shirts/0/a.png", (1, 2, 3))
    [changed] = specs(graph_of(tmp_path, row), EncodeSpec)
    assert changed.key() != latents.key()  # its content is identity


def test_a_folders_place_is_no_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("here/shirts", "there"):
        class_folders(tmp_path / place)
    monkeypatch.chdir(tmp_path / "here")
    rows = (
        "  - {variant: continual, data: HERE}\n"
        "  - {variant: real, data: HERE}\n"
        "  - {variant: reconstruction, data: HERE, autoencoder: {steps: 2}}\n"
    )
    graphs = [graph_of(tmp_path, rows.replace("HERE", name)) for name in ("./shirts", f"{tmp_path}/there")]
    assert graphs[0].nodes.keys() == graphs[1].nodes.keys()
    [latents] = specs(graphs[0], EncodeSpec)
    assert latents.data.path == str(tmp_path / "here/shirts")  # where a worker, started elsewhere, finds it


def test_folders_that_are_missing_or_malformed_are_told_and_leave_the_rest(tmp_path: Path) -> None:
    write_picture(tmp_path / "mixed/a.png")
    write_picture(tmp_path / "mixed/0/a.png")
    rows = "".join(f"  - {{variant: continual, data: {tmp_path}/{name}}}\n" for name in ("trousers", "mixed"))
    graph = graph_of(tmp_path, rows + "  - {variant: base}\n")
    assert [run.target is None for run in graph.runs] == [True, True, False]
    assert "trousers" in graph.runs[0].missing[0]
    assert "lie beside" in graph.runs[1].missing[0]


def test_rows_share_the_digest_of_their_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path / "shirts")
    read: list[Path] = []
    real = sources.digest_images
    monkeypatch.setattr(sources, "digest_images", lambda root, found: read.append(root) or real(root, found))
    graph_of(tmp_path, f"  - {{matrix: {{variant: [ssd, issd]}}, data: {tmp_path}/shirts}}\n")
    assert read == [tmp_path / "shirts"]


def test_only_weights_of_the_users_own_have_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.pth").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    assert sources.network_source("effnet-lite0", None).path == ""
    assert sources.network_source("effnet-lite0", "w.pth").path == str(tmp_path / "w.pth")


def test_embedded_things_need_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_home(monkeypatch)
    for name in ("SSDBENCH_DATA", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    paper = "model: DiT-XL/2, resolution: 256, eval: {reference: imagenet-256, network: inception}"
    graph = graph_of(tmp_path, f"  - {{variant: continual}}\n  - {{variant: base, {paper}}}\n")
    assert graph.runs[0].target is not None
    assert "TORCH_HOME" in graph.runs[1].missing[0]


def test_a_reference_is_computed_where_none_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    (tmp_path / "real").mkdir()
    for i in range(3):
        Image.new("RGB", (32, 32), (i, 0, 0)).save(tmp_path / f"real/{i}.png")
    row = f"  - {{variant: base, eval: {{reference: {tmp_path}/real}}}}\n"
    graph = graph_of(tmp_path, row)
    [made] = specs(graph, ReferenceSpec)
    assert (made.dataset, made.count, made.network) == ("folder", 3, "effnet-lite0")
    [score] = specs(graph, ScoreSpec)
    assert score.reference is None
    assert score.inputs["reference"] == made.key()
    # a network that no statistics are shipped for: the same 10,000 images
    weights = Source(digest="n" * 64, path="")
    monkeypatch.setattr("ssdbench.plan.sources.network_source", lambda name, weights_file: weights)
    monkeypatch.setattr("ssdbench.plan.sources.dataset", lambda name: Data(name, weights, 10_000))
    [made] = specs(graph_of(tmp_path, "  - {variant: base, eval: {network: inception}}\n"), ReferenceSpec)
    assert (made.dataset, made.count, made.network) == ("fashion-mnist-reference", 10_000, "inception")


def notes_of(tmp_path: Path, row: str) -> tuple[str, ...]:
    [run] = graph_of(tmp_path, row).runs
    assert run.missing == ()
    return run.notes


def missing_of(tmp_path: Path, row: str) -> str:
    [run] = graph_of(tmp_path, row).runs
    assert run.target is None
    return "; ".join(run.missing)


def test_how_classes_are_numbered_is_told(tmp_path: Path) -> None:
    root = tmp_path / "shirts"
    class_folders(root)
    row = f"  - {{variant: continual, data: {root}}}\n"
    assert notes_of(tmp_path, row) == (f"{root}: classes 0 = 0, 1 = 1, ..., 8 = 8, 9 = 9",)
    (root / "4/a.png").unlink()
    (root / "3/b.heic").write_bytes(b"x")
    told = notes_of(tmp_path, row)
    assert any("1 of 10 class folders hold no image: 4" in note for note in told)
    assert any("passed over 1 image of types that are not read: 1 .heic" in note for note in told)
    # Images that are scored, not trained on, have no need of a model's classes.
    class_folders(tmp_path / "two", 2)
    assert notes_of(tmp_path, f"  - {{variant: real, data: {tmp_path}/two}}\n") == ()


@pytest.mark.parametrize("count", [1, 9, 11])
def test_another_number_of_classes_than_the_models_is_refused(tmp_path: Path, count: int) -> None:
    class_folders(tmp_path / "shirts", count)
    for variant in ("continual", "ssd", "pretrain"):
        told = f"data: model 'dit-mini' has 10 classes, and '{tmp_path}/shirts' has {count} (0 = 0"
        with pytest.raises(SuiteError, match=re.escape(told)):
            graph_of(tmp_path, f"  - {{variant: {variant}, data: {tmp_path}/shirts}}\n")


def test_a_folder_with_captions_is_none_of_classes_and_the_other_way_round(tmp_path: Path) -> None:
    write_picture(tmp_path / "said/a.png")
    (tmp_path / "said/a.txt").write_text("a dog")
    told = missing_of(tmp_path, f"  - {{variant: continual, data: {tmp_path}/said}}\n")
    assert "model 'dit-mini' takes classes (one folder a class), and the labels of" in told
    class_folders(tmp_path / "shirts")
    text = "model: sd-mini, grid: sd, nfe: 5"
    reference = "reference: fashion-captions-a"
    row = f"  - {{{text}, variant: continual, data: {tmp_path}/shirts, eval: {{{reference}}}}}\n"
    with pytest.raises(
        SuiteError, match=f"model 'sd-mini' takes texts, and '{tmp_path}/shirts' has no captions"
    ):
        graph_of(tmp_path, row)
    write_picture(tmp_path / "plain/a.png")
    row = f"  - {{{text}, variant: base, eval: {{{reference}, captions: {tmp_path}/plain}}}}\n"
    assert "has no captions: expected a .txt file beside each image" in missing_of(tmp_path, row)
    (tmp_path / "plain/a.txt").write_text("a dog")
    assert notes_of(tmp_path, row) == ()
    write_picture(tmp_path / "plain/b.png")
    assert "b.png: has no caption b.txt" in missing_of(tmp_path, row)


def test_images_without_classes_are_told(tmp_path: Path) -> None:
    write_picture(tmp_path / "flat/a.png")
    told = notes_of(tmp_path, f"  - {{variant: continual, data: {tmp_path}/flat}}\n")
    assert told == (f"{tmp_path}/flat: the images have no classes: all of them train the null class",)


def test_what_few_reference_images_do_not_give_is_told_before_sampling(tmp_path: Path) -> None:
    for i in range(3):
        write_picture(tmp_path / f"real/{i}.png")
    np.savez(tmp_path / "real.npz", arr_0=np.zeros((3, 32, 32, 3), np.uint8))
    for place in ("real", "real.npz"):
        row = f"  - {{variant: base, eval: {{reference: {tmp_path}/{place}}}}}\n"
        assert notes_of(tmp_path, row) == ("no precision, recall: 3 reference images: at least 4 are needed",)
    for i in range(2):
        (tmp_path / f"real/{i}.png").unlink()
    np.savez(tmp_path / "real.npz", arr_0=np.zeros((1, 32, 32, 3), np.uint8))
    for place in ("real", "real.npz"):
        row = f"  - {{variant: base, eval: {{reference: {tmp_path}/{place}}}}}\n"
        assert "holds 1 image, at least 2 are needed" in missing_of(tmp_path, row)


def test_a_reference_file_of_the_users_own(tmp_path: Path) -> None:
    missing = graph_of(tmp_path, f"  - {{variant: base, eval: {{reference: {tmp_path}/ref.npz}}}}\n").runs[0]
    assert "ref.npz': there is no such file or folder" in missing.missing[0]
    np.savez(tmp_path / "ref.npz", arr_0=np.zeros((4, 8, 8, 3), np.uint8))
    rows = (
        f"  - {{variant: base, matrix: {{nfe: [4, 5]}}, eval: {{reference: {tmp_path}/ref.npz,"
        " metrics: [fd, is@garments, kid@garments]}}\n"
    )
    graph = graph_of(tmp_path, rows)
    # Its images go through each network once, whatever is scored against them.
    stages = specs(graph, ReferenceSpec)
    assert [stage.network for stage in stages] == ["effnet-lite0", "garments"]
    for stage in stages:
        assert (stage.data.path, stage.count) == (str(tmp_path / "ref.npz"), 4)
    for score in specs(graph, ScoreSpec):
        assert (score.reference, score.references) == (None, {})
        assert [score.inputs["reference"], score.inputs["reference/garments"]] == [s.key() for s in stages]
    np.savez(tmp_path / "ref.npz", mu=np.zeros(3), sigma=np.eye(3))
    graph = graph_of(tmp_path, rows.replace(", kid@garments", ""))
    assert specs(graph, ReferenceSpec) == []
    for score in specs(graph, ScoreSpec):
        assert score.reference.path == str(tmp_path / "ref.npz")
        assert list(score.networks) == ["garments"]


def test_a_reference_is_of_the_runs_own_size(tmp_path: Path) -> None:
    [run] = graph_of(tmp_path, "  - {variant: base, resolution: 64}\n").runs
    assert run.unavailable == "reference 'fashion-mnist' holds images of 32 pixels, the run's have 64"


def test_diagnostics_add_inputs_to_the_score_and_move_no_other_key(tmp_path: Path) -> None:
    plain = graph_of(tmp_path, "  - {variant: issd, sampler: ab2}\n")
    graph = graph_of(
        tmp_path,
        "  - {variant: issd, sampler: ab2, eval: {trajectory: 1000, memorisation: true}}\n"
        "  - {variant: base, eval: {trajectory: 1000}}\n",
    )
    shared = {key for key in plain.nodes if plain.nodes[key].spec.KIND != "score"}
    assert shared <= set(graph.nodes)
    first, second = (graph.nodes[run.target].inputs for run in graph.runs)
    assert first["trajectory"] == second["trajectory"]  # of the base model, whatever was made of it
    assert "training" not in second
    exact = graph.nodes[first["trajectory"]].spec
    assert (exact.sampling.sampler, exact.sampling.nfe, exact.start, exact.count) == ("ddim", 1000, 0, 200)
    assert exact.sampling.weights is not None
    training = graph.nodes[first["training"]].spec
    assert (training.dataset, training.count) == ("fashion-mnist", 10_000)


def test_metrics_of_another_network_are_of_the_same_samples_and_take_a_reference_where_they_need_one(
    tmp_path: Path,
) -> None:
    asked = "[fd, {}]"
    plain = graph_of(tmp_path, "  - {variant: base}\n")
    rows = {
        metrics: graph_of(tmp_path, "  - {variant: base, eval: {metrics: " + asked.format(metrics) + "}}\n")
        for metrics in ("precision", "is@garments", "class_accuracy@garments", "kid@garments")
    }
    for metrics, graph in rows.items():
        assert plain.nodes.keys() - graph.nodes.keys() == set(plain.targets), metrics
        [score] = specs(graph, ScoreSpec)
        assert list(score.networks) == ["garments"] * ("@" in metrics)
        assert score.labels == metrics.startswith("class_accuracy")
        references = {role for role in score.inputs if role.startswith("reference")}
        assert references == ({"reference/garments"} if metrics.startswith("kid") else set())
    graph = graph_of(
        tmp_path, "  - {variant: base, eval: {network: garments, metrics: [is, fd@effnet-lite0]}}\n"
    )
    [score], [stage] = specs(graph, ScoreSpec), specs(graph, ReferenceSpec)
    assert list(score.references) == ["effnet-lite0"]  # the file that is shipped for it
    assert (stage.network, score.inputs["reference"]) == ("garments", stage.key())


def test_classes_of_other_data_than_the_classifiers_are_told_and_left_out(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        "  - {model: sd-mini, variant: base,"
        " eval: {reference: fashion-captions-a, metrics: [fd, class_accuracy@garments]}}\n"
        "  - {variant: base, eval: {metrics: [fd, class_accuracy]}}\n"
        "  - {variant: base, eval: {metrics: [class_accuracy]}}\n",
    )
    captions, wrong, nothing = graph.runs
    assert (
        "no class_accuracy@garments: the samples' labels are of fashion-captions, garments knows"
        in captions.notes[0]
    )
    assert "no class_accuracy: the samples' labels are of fashion-mnist, effnet-lite0 knows" in wrong.notes[0]
    assert all(score.metrics == ("fid",) and not score.labels for score in specs(graph, ScoreSpec))
    assert nothing.target is None
    assert "effnet-lite0 knows classes of no data set" in nothing.missing[0]


def test_synthetic_data_is_the_base_models_own_from_other_noise(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        "  - {variant: issd, data: synthetic-20, guidance: {scale: 1.5, channels: 3},"
        " train: {steps: 300, batch_size: 4}}\n"
        "  - {variant: issd + ssd, data: synthetic-20, guidance: {scale: 1.5, channels: 3},"
        " train: {steps: 300, batch_size: 4}}\n",
    )
    assert not specs(graph, EncodeSpec)
    issd, ssd = specs(graph, TrainSpec)
    assert {role: key for role, key in ssd.inputs.items() if role != "model"} == issd.inputs
    made = [graph.nodes[issd.inputs[role]].spec for role in ("data/00000", "data/00001")]
    assert len(issd.inputs) == 2
    assert [(shard.start, shard.count) for shard in made] == [(0, 1000), (1000, 200)]  # 300 steps of 4
    assert all(shard.sampling.nfe == 20 and shard.sampling.guidance.scale == 1.5 for shard in made)
    assert all(shard.sampling.weights is not None for shard in made)  # of the base, for the second step too
    scored = {shard.seed for shard in specs(graph, SampleSpec)} - {made[0].seed}
    assert scored == {0}
    assert made[0].seed != 0


def test_a_run_takes_the_first_images_of_every_data_set(tmp_path: Path) -> None:
    rows = "  - {{variant: issd, {}eval: {{half: report, memorisation: true}}}}\n"
    few = graph_of(tmp_path, rows.format("images: 300, "))
    assert [one.images for one in specs(few, EncodeSpec)] == [300]
    assert {(one.dataset, one.images, one.count) for one in specs(few, ReferenceSpec)} == {
        ("fashion-mnist-reference", 300, 300),
        ("fashion-mnist", 300, 300),
    }
    # A limit that nothing reaches changes no key.
    assert (
        graph_of(tmp_path, rows.format("images: 10000, ")).nodes.keys()
        == graph_of(tmp_path, rows.format("")).nodes.keys()
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    for i in range(3):
        Image.new("L", (32, 32), i).save(folder / f"{i}.png")
    graph = graph_of(tmp_path, f"  - {{variant: base, images: 2, eval: {{reference: {folder}}}}}\n")
    assert [(one.images, one.count) for one in specs(graph, ReferenceSpec)] == [(2, 2)]


def test_synthetic_data_is_no_larger_than_the_models_own_or_than_asked_for(tmp_path: Path) -> None:
    row = "  - {{variant: issd, data: synthetic-20, train: {{steps: 9000, batch_size: 128{}}}}}\n"
    for more, total in (("", 10_000), (", synthetic_images: 2500", 2500)):
        [spec] = specs(graph_of(tmp_path, row.format(more)), TrainSpec)
        assert len(spec.inputs) == -(-total // 1000)


def test_progressive_distillation_is_a_training_a_halving_shared_by_what_stands_on_it(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        "  - {variant: pd 20-10}\n"
        "  - {variant: pd 20-10 + issd}\n"
        "  - {variant: pd 20-10-5, nfe: 5}\n"
        "  - {variant: pd 20-10-5 + ssd, nfe: 5, train: {pd_steps: 3, pd_lr: 1.0e-4, lr: 5.0e-6}}\n",
    )
    trained = specs(graph, TrainSpec)
    assert [(one.objective.kind, one.objective.nfe, one.objective.halvings) for one in trained] == [
        ("pd", 20, 0),
        ("issd", 10, 1),
        ("pd", 10, 1),
        ("ssd", 5, 2),
    ]
    first, issd, second, ssd = trained
    assert issd.inputs["model"] == second.inputs["model"] == first.key()
    assert ssd.inputs["model"] == second.key()
    assert (ssd.lr, second.lr) == (5e-6, 1e-4)
    grids = [one.sampling.timesteps() for one in specs(graph, SampleSpec)]
    twenty = timesteps("even", 20)
    ten, five = twenty[1::2], twenty[3::4]
    assert grids == [ten, ten] * 2 + [five, five] * 2
    assert ten != timesteps("even", 10)  # grids are not nested


def test_a_progressively_distilled_student_off_its_grid(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, "  - {variant: pd 20-10, nfe: 20, train: {nfe: 10}}\n")
    [trained] = specs(graph, TrainSpec)
    assert (trained.objective.nfe, trained.objective.halvings) == (20, 0)
    sample = specs(graph, SampleSpec)[0].sampling
    assert sample.timesteps() == timesteps("even", 20)
    assert sample.halvings == 0


def test_halvings_are_counted_along_the_whole_variant() -> None:
    assert variant_of("pd 64-32 + issd + pd 32-16-8").distilled == Halved(8, 3)
    assert variant_of("pd 20-10").distilled.on(20) == 0
    assert variant_of("issd").distilled.on(10) == 0
    # The second teacher takes 20 steps, as the first: it does not go on where the first student ended.
    assert variant_of("pd 20-10 + pd 20-10").distilled == Halved(10, 1)


def test_a_fused_student_knows_the_model_that_it_was_distilled_from(tmp_path: Path) -> None:
    graph = graph_of(
        tmp_path,
        "  - {variant: issd, fused: true, train: {pairs: skip_last}}\n  - {variant: continual + issd, fused: true}\n",
    )
    first, second = (graph.nodes[graph.nodes[run.target].inputs["samples/00000"]] for run in graph.runs)
    assert first.spec.sampling.fused.frozen is not None  # the base model's weights
    assert first.spec.sampling.fused.pairs == tuple(range(2, 10))
    assert "frozen" not in first.inputs
    before = graph.nodes[second.inputs["frozen"]].spec
    assert before.objective.kind == "denoise"
    assert graph.nodes[second.inputs["model"]].inputs["model"] == second.inputs["frozen"]


def test_flows_walk_equal_steps_whatever_the_grid_and_stochastic_ones_are_distilled_where_they_are_evaluated(
    tmp_path: Path,
) -> None:
    rows = "  - {{model: sit-mini, variant: {}, sampler: {}, train: {{lambda: 1.0}}}}\n"
    graph = graph_of(
        tmp_path, rows.format("ssd", "ddim") + rows.format("ssd", "sde") + rows.format("pd 20-10", "ddim")
    )
    trained = [(spec.flow, spec.objective.grid, spec.objective.nfe) for spec in specs(graph, TrainSpec)]
    assert trained == [(0, "uniform", 10), (0, "sde", 10), (0, "uniform", 20)]
    assert {spec.sampling.halvings for spec in specs(graph, SampleSpec)} == {0}


def test_synthetic_data_of_a_model_whose_data_set_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_model.py").write_text(
        "from ssdbench.models.own_model import OwnModel\n"
        "def f(resolution): return OwnModel(list, channels=1, size=32, classes=2, dataset='own_data:g')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    graph = graph_of(
        tmp_path,
        "  - {model: 'own_model:f', variant: continual, data: synthetic-4,"
        " train: {steps: 30, batch_size: 50}}\n",
    )
    [spec] = specs(graph, TrainSpec)
    assert len(spec.inputs) == 2  # 1,500 images


def test_a_second_time_is_of_those_that_have_trained_it(tmp_path: Path) -> None:
    how = "model: sit-mini, sampler: flow-map, nfe: 4, train: {fuse: last}"
    graph = graph_of(
        tmp_path,
        f"  - {{variant: pretrain + shortcut + issd, {how}}}\n"
        f"  - {{variant: issd + mean-flow, data: synthetic-20, {how}}}\n",
    )
    # In the order in which they are trained.
    trained = [spec.shape.second_time for spec in specs(graph, TrainSpec)]
    assert trained == [False, True, True, False, True]
    shapes = {spec.sampling.sampler: spec.sampling.shape.second_time for spec in specs(graph, SampleSpec)}
    assert shapes == {"ddim": False, "flow-map": True}


def test_classes_of_the_samples_are_drawn_balanced_or_taken_from_a_file(tmp_path: Path) -> None:
    """What the samples are compared with has their classes; synthetic training data have drawn ones."""
    labels = tmp_path / "labels.txt"
    labels.write_text("7\n" * 1500)
    graph = graph_of(
        tmp_path,
        "  - {variant: base}\n"
        "  - {variant: base, labels: balanced, eval: {trajectory: 1000}}\n"
        f"  - {{variant: issd, labels: {labels}, data: synthetic-5}}\n"
        "  - {variant: base, labels: random}\n",
    )
    assert graph.runs[0].target == graph.runs[3].target
    found = {
        (s.sampling.labels if isinstance(s.sampling.labels, str) else bool(s.sampling.labels), s.sampling.nfe)
        for s in specs(graph, SampleSpec)
    }
    assert found == {(False, 10), ("balanced", 10), ("balanced", 1000), (True, 10), (False, 5)}
    (file,) = {s.sampling.labels for s in specs(graph, SampleSpec) if isinstance(s.sampling.labels, Source)}
    assert file == sources.own_file(labels, "labels")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("balancd", "labels: unknown labels 'balancd' .did you mean 'balanced'"),
        ("few.txt", r"few.txt: holds 2 classes, expected one for each of 1,500 samples"),
        ("wrong.txt", r"wrong.txt:2: is class 10, expected 0 to 9, the model's"),
    ],
)
def test_classes_that_do_not_fit_are_located(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few.txt").write_text("1\n2\n")
    Path("wrong.txt").write_text("1\n10\n" * 750)
    with pytest.raises(SuiteError, match=rf"t.yaml:\d+:\d+: labels: .*{message}|t.yaml:\d+:\d+: {message}"):
        graph_of(tmp_path, f"  - {{variant: base, labels: {labels}}}\n")
    graph_of(tmp_path, "  - {variant: real, labels: few.txt}\n")  # which samples nothing
    [planned] = graph_of(tmp_path, "  - {variant: base, labels: none.txt}\n").runs
    assert planned.missing == ("labels 'none.txt': there is no such file or folder",)


def test_classes_of_a_reference_are_kept_where_a_metric_tells_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped statistics say none, so under their network there is no such metric; keys of others do not move."""
    monkeypatch.setattr("ssdbench.plan.references.says_classes", lambda path: False)
    asked = "metrics: [fd, is@garments, fd_per_class, fd_per_class@garments, fd_worst_class@garments]"
    graph = graph_of(
        tmp_path,
        f"  - {{variant: base, eval: {{{asked}}}}}\n"
        "  - {variant: base, eval: {metrics: [fd, kid@garments]}}\n"
        "  - {variant: base}\n",
    )
    first, second, third = (graph.nodes[run.target].spec for run in graph.runs)
    assert [first.labels, second.labels, third.labels] == [True, False, False]
    assert first.metrics == ("fid", "is@garments", "fd_per_class@garments", "fd_worst_class@garments")
    assert any(note.startswith("no fd_per_class: /x: says no classes") for note in graph.runs[0].notes)
    with_, without = (graph.nodes[spec.inputs["reference/garments"]].spec for spec in (first, second))
    assert with_.labels
    assert with_.model_copy(update={"labels": False}).key() == without.key()
