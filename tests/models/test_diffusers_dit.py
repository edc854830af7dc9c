"""Against diffusers' own DiT: the same weights give the same output, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ssdbench
from ssdbench.diffusion.denoiser import Guided, Prediction
from ssdbench.diffusion.schedule import alphas_cumprod
from ssdbench.errors import InputError
from ssdbench.models.checkpoint import load_dit, recast, save_dit
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.convert import write_checkpoint
from ssdbench.models.diffusers_dit import use_official_timesteps
from ssdbench.models.dit import sincos_2d
from ssdbench.models.dit_files import read_checkpoint
from ssdbench.models.official import Layout
from ssdbench.models.shapes import DiTShape
from ssdbench.models.vae import build_vae
from ssdbench.samplers.ddim import ddim
from ssdbench.samplers.walks import timesteps
from tests.models.toy import SHAPES, SMALL, inputs, random_dit, same

prepare_torchvision()
from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel  # noqa: E402

GOLDEN = Path(__file__).parent.parent / "golden"
PRECISION = 1e-5  # of the output's size


def exported(shape: DiTShape, folder: Path) -> Any:
    save_dit(random_dit(shape), folder / "ours")
    write_checkpoint(read_checkpoint(folder / "ours"), folder / "theirs", Layout.diffusers)
    return DiTTransformer2DModel.from_pretrained(folder / "theirs")


def difference(
    ours: torch.nn.Module, theirs: Any, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor
) -> float:
    with torch.no_grad():
        a, b = ours(x, t, y), theirs(x, timestep=t, class_labels=y).sample
    assert a.shape == b.shape
    return float((a - b).abs().max() / a.abs().max())


@pytest.mark.parametrize("shape", SHAPES)
def test_an_exported_model_gives_the_same_output(tmp_path: Path, shape: DiTShape) -> None:
    theirs = exported(shape, tmp_path)
    use_official_timesteps(theirs)
    assert difference(random_dit(shape), theirs, *inputs(shape)) < PRECISION


def test_only_the_frequencies_of_the_timestep_differ_out_of_the_box(tmp_path: Path) -> None:
    theirs = exported(SMALL, tmp_path)
    x, t, y = inputs(SMALL)
    assert difference(random_dit(), theirs, x, torch.zeros_like(t), y) < PRECISION  # all angles are 0
    assert difference(random_dit(), theirs, x, t, y) > 100 * PRECISION


def test_the_golden_output_comes_out_of_diffusers(tmp_path: Path) -> None:
    found = read_checkpoint(GOLDEN / "dit_official_layout.pt", heads=4)
    write_checkpoint(found, tmp_path / "theirs", Layout.diffusers)
    theirs = DiTTransformer2DModel.from_pretrained(tmp_path / "theirs")
    use_official_timesteps(theirs)
    golden = {
        k: torch.from_numpy(v) for k, v in np.load(GOLDEN / "dit_forward_and_ddim.npz").items() if v.shape
    }
    with torch.no_grad():
        out = theirs(golden["x"], timestep=golden["t"], class_labels=golden["y"]).sample
    assert (out - golden["out"]).abs().max() < PRECISION * golden["out"].abs().max()


def from_diffusers(**settings: Any) -> Any:
    """A random model that diffusers made, with one embedder for all blocks."""
    torch.manual_seed(0)
    usual = {
        "num_attention_heads": 3,
        "attention_head_dim": 16,
        "num_layers": 3,
        "sample_size": 12,
        "patch_size": 2,
    }
    model = DiTTransformer2DModel(**(usual | {"num_embeds_ada_norm": 7, "norm_eps": 1e-6} | settings)).eval()
    for block in model.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(model.transformer_blocks[0].norm1.emb.state_dict())
    return model


@pytest.mark.parametrize("outputs", [None, 4, 8])
def test_a_model_of_diffusers_is_read(tmp_path: Path, outputs: int | None) -> None:
    theirs = from_diffusers(out_channels=outputs)
    theirs.save_pretrained(tmp_path)
    ours = load_dit(tmp_path)
    assert ours.shape == DiTShape(48, 3, 3, input_size=12, num_classes=7, learn_sigma=outputs == 8)
    use_official_timesteps(theirs)
    assert difference(ours, theirs, *inputs(ours.shape)) < PRECISION


def test_the_eps_with_which_the_published_ones_come_changes_next_to_nothing(tmp_path: Path) -> None:
    theirs = from_diffusers(norm_eps=1e-5)
    theirs.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["norm_eps"]  # as in the first published configs, which also bear another class
    (tmp_path / "config.json").write_text(json.dumps(config | {"_class_name": "Transformer2DModel"}))
    ours = load_dit(tmp_path)
    use_official_timesteps(theirs)
    assert difference(ours, theirs, *inputs(ours.shape)) < 10 * PRECISION


@pytest.mark.parametrize("options", [{"safe_serialization": False}, {"max_shard_size": "100KB"}])
def test_bins_and_shards_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    theirs = from_diffusers()
    theirs.save_pretrained(tmp_path / "plain")
    theirs.save_pretrained(tmp_path / "other", **options)
    assert not (tmp_path / "other/diffusion_pytorch_model.safetensors").exists()
    assert same(read_checkpoint(tmp_path / "plain").state, read_checkpoint(tmp_path / "other").state)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../other.safetensors", "files in the same folder"),
        ("x" * 300, "x{300}: cannot be read: File name too long"),
    ],
)
def test_an_index_that_leads_nowhere_is_refused(tmp_path: Path, name: str, message: str) -> None:
    from_diffusers().save_pretrained(tmp_path, max_shard_size="100KB")
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"proj_out_1.bias": name}}))
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path)


def test_embedders_that_were_trained_apart_are_refused(tmp_path: Path) -> None:
    theirs = from_diffusers()
    with torch.no_grad():
        theirs.transformer_blocks[2].norm1.emb.class_embedder.embedding_table.weight[3, 5] += 1e-3
    theirs.save_pretrained(tmp_path)
    with pytest.raises(
        InputError, match=r"1 embedders were trained apart .*transformer_blocks\.2\..*class_embedder"
    ):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm_eps": 1e-3}, "norm_eps is 0.001, expected 1e-06 to 1e-05"),
        ({"activation_fn": "geglu", "attention_bias": False}, "activation_fn.*\n.*attention_bias is False"),
        ({"num_layers": "3"}, "num_layers is '3', expected a positive whole number"),
        ({"out_channels": 6}, r"out_channels is 6, expected in_channels \(4\) or twice"),
        ({"num_layers": 4}, r"missing transformer_blocks\.3\.attn1\.to_q\.weight"),
        ({"num_embeds_ada_norm": 8}, r"class_embedder.* has shape \(8, 48\), expected \(9, 48\)"),
    ],
)
def test_configs_that_do_not_fit(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    from_diffusers().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path)


def test_what_diffusers_has_no_room_for(tmp_path: Path) -> None:
    save_dit(random_dit(DiTShape(48, 2, 4, input_size=8, mlp_ratio=2.0)), tmp_path / "narrow")
    model = random_dit()
    model.pos_embed.data += 0.1
    save_dit(model, tmp_path / "placed")
    for name, message in (
        ("narrow", r"MLPs of 96 units; .* has 192 \(4 x 48\)"),
        ("placed", "position embedding of its"),
    ):
        with pytest.raises(InputError, match=message):
            write_checkpoint(read_checkpoint(tmp_path / name), tmp_path / "out", Layout.diffusers)


def test_a_student_samples_in_dits_pipeline_as_it_does_here_and_comes_back_from_it(tmp_path: Path) -> None:
    shape = DiTShape(
        48, 2, 4, input_size=4
    )  # of 1,000 classes: the pipeline's null label is 1000 whatever the model
    student, vae = exported(shape, tmp_path), build_vae((8, 8), image_channels=3)
    use_official_timesteps(student)
    pipeline = DiTPipeline(student, vae, DDIMScheduler(clip_sample=False))
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        [3, 700],
        guidance_scale=1.5,
        num_inference_steps=2,
        output_type="pt",
        generator=torch.Generator().manual_seed(5),
    ).images
    assert images.shape == (2, 3, 8, 8)
    assert images.isfinite().all()
    ours = random_dit(shape)
    guided = Prediction(Guided(ours, ours.null, 1.5, channels=4))
    noise = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        latents = ddim(guided, noise, timesteps("leading", 2), alphas_cumprod(), torch.tensor([3, 700]))
        expected = (vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)
    assert 0.1 < expected.std() < 0.45  # or all would be clamped, and prove nothing
    assert (images - expected).abs().max() < 1e-4
    pipeline.save_pretrained(tmp_path / "pipeline")
    for place in ("pipeline", "pipeline/transformer"):
        assert same(load_dit(tmp_path / place, shape).state_dict(), random_dit(shape).state_dict())


ASSETS = Path(ssdbench.__file__).parent / "assets" / "weights"
EMBEDDED = sorted(path.name for path in ASSETS.iterdir() if "it-mini" in path.name or "repa" in path.name)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_models_come_back_in_their_precision(tmp_path: Path, name: str) -> None:
    found, ours = read_checkpoint(ASSETS / name), load_dit(ASSETS / name)
    assert {value.dtype for value in found.state.values()} == {torch.float16}
    for layout in (Layout.ours, Layout.official):
        there = tmp_path / f"{layout.value}.pt"
        write_checkpoint(found, there, layout)
        write_checkpoint(
            read_checkpoint(there, heads=found.shape.heads), tmp_path / f"back-{layout}", Layout.ours
        )
        assert same(read_checkpoint(tmp_path / f"back-{layout}").state, found.state)
        assert same(load_dit(tmp_path / f"back-{layout}").state_dict(), ours.state_dict())


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_models_are_the_same_in_diffusers_with_the_fixed_table(tmp_path: Path, name: str) -> None:
    # Their own position tables were trained too, which diffusers' class cannot hold.
    with pytest.raises(InputError, match="has a position embedding of its own"):
        write_checkpoint(read_checkpoint(ASSETS / name), tmp_path / "theirs", Layout.diffusers)
    fixed = load_dit(ASSETS / name)
    with torch.no_grad():
        fixed.pos_embed.copy_(sincos_2d(fixed.shape.width, fixed.shape.input_size // fixed.shape.patch_size))
    save_dit(fixed, tmp_path / "fixed")
    recast(tmp_path / "fixed", "float16")
    found = read_checkpoint(tmp_path / "fixed")
    write_checkpoint(found, tmp_path / "theirs", Layout.diffusers)
    theirs = DiTTransformer2DModel.from_pretrained(tmp_path / "theirs", torch_dtype=torch.float32)
    use_official_timesteps(theirs)
    ours = load_dit(tmp_path / "fixed")
    assert difference(ours, theirs, *inputs(ours.shape, 16)) < PRECISION
    write_checkpoint(read_checkpoint(tmp_path / "theirs"), tmp_path / "back", Layout.ours)
    assert same(read_checkpoint(tmp_path / "back").state, found.state)
    assert same(load_dit(tmp_path / "back").state_dict(), ours.state_dict())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_rounded_table_is_made_exact_where_the_precision_rises(tmp_path: Path, dtype: str) -> None:
    save_dit(random_dit(), tmp_path / "m")
    write_checkpoint(read_checkpoint(tmp_path / "m"), tmp_path / "half", Layout.ours, dtype)
    half = read_checkpoint(tmp_path / "half")
    exact = random_dit().state_dict()["pos_embed"]
    assert not torch.equal(half.state["pos_embed"].float(), exact)
    write_checkpoint(half, tmp_path / "whole", Layout.official, "float32")
    assert torch.equal(read_checkpoint(tmp_path / "whole", heads=4).state["pos_embed"], exact)
    assert torch.equal(load_dit(tmp_path / "half").state_dict()["pos_embed"], exact)


def test_a_position_embedding_of_ones_own_is_kept(tmp_path: Path) -> None:
    model = random_dit()
    model.pos_embed.data += 0.1
    save_dit(model, tmp_path / "m")
    assert same(load_dit(tmp_path / "m").state_dict(), model.state_dict())
