"""What can be known of weights and references is known before any work: all together, and no folder is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models.sd_toy import write_pipeline
from tests.models.toy import random_dit
from tools.rehearsal import configs, diffusion, images, transformers
from tools.rehearsal.sizes import shrunken, shrunken_vae, small_catalogue
from typer.testing import CliRunner

from ssdbench.cli.app import app
from ssdbench.models.checkpoint import save_dit
from ssdbench.models.vae import build_vae
from ssdbench.plan import build, digests, needs
from ssdbench.suite import load_suite
from ssdbench.suite.catalog import MODELS

SHAPE = shrunken(MODELS["DiT-XL/2"].shapes[256])
WEIGHTS = "diffusion_pytorch_model.safetensors"
RUN = ("table2", "--only", "resolution=256,nfe=10", "--no-disk-check")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that Table 2 needs at 256 pixels of DiT-XL/2, where a user would have put it."""
    home = tmp_path_factory.mktemp("home")
    transformers.write_bare(transformers.random_state(SHAPE), home / DIT)
    diffusion.write_vae(shrunken_vae(configs.vae_ft_ema()), home / VAE, everything=False)
    images.write_imagenet(home / "data/imagenet/train", 4)
    images.write_reference(home / REFERENCE, 256, 4)
    images.write_inception(home / INCEPTION)
    return home


@pytest.fixture
def machine(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for each test; the Inception's 90 MB are the same file as long as no test spoils them."""
    home = tmp_path / "home"

    def copy(source: str, target: str) -> str:
        if source.endswith(INCEPTION):
            os.link(source, target)
            return target
        return shutil.copy2(source, target)

    shutil.copytree(furnished, home, copy_function=copy)
    monkeypatch.setenv("SSDBENCH_DATA", str(home / "data"))
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.chdir(home)
    with small_catalogue():
        yield home


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def retensor(path: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    edit(state)
    if path.suffix == ".safetensors":
        save_file(state, path, metadata={"format": "pt"})
    else:
        torch.save(state, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def full(name: str, state: dict[str, torch.Tensor]) -> str:
    """The name itself, or the first that ends in it."""
    return name if name in state else next(key for key in state if key.endswith(name))


def lost(name: str) -> Callable[[Path], object]:
    return lambda path: retensor(path, lambda state: state.pop(full(name, state)))


def spoilt(name: str) -> Callable[[Path], object]:
    def fill(state: dict[str, torch.Tensor]) -> None:
        state[full(name, state)].fill_(torch.nan)

    return lambda path: retensor(path, fill)


def config(**values: Any) -> Callable[[Path], object]:
    return lambda path: change(path, lambda content: content.update(values))


def arrays(**content: np.ndarray) -> Callable[[Path], object]:
    return lambda path: np.savez(path, **content)


def two_sets(path: Path) -> None:
    torch.save({"a": random_dit(SHAPE).state_dict(), "b": random_dit(SHAPE).state_dict()}, path)


DIT, VAE, REFERENCE = (
    "data/weights/DiT-XL-2-256x256.pt",
    "data/weights/sd-vae-ft-ema",
    "data/weights/VIRTUAL_imagenet256_labeled.npz",
)
INCEPTION = "torch/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth"

FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "weights: a web page": (DIT, lambda p: p.write_text("<html>404</html>"), "it is a web page"),
    "weights: empty": (DIT, lambda p: p.write_bytes(b""), "it is empty"),
    "weights: cut short": (DIT, cut, "cut short"),
    "weights: a tensor is missing": (DIT, lost("blocks.1.mlp.fc1.bias"), "missing blocks.1.mlp.fc1.bias"),
    "weights: NaN": (
        DIT,
        spoilt("blocks.1.mlp.fc1.bias"),
        "numbers that are NaN or infinite: blocks.1.mlp.fc1.bias",
    ),
    "weights: of another model": (
        DIT,
        lambda p: torch.save(random_dit().state_dict(), p),
        "does not fit the model",
    ),
    "weights: several sets": (DIT, two_sets, "holds 2 sets of weights: 'a', 'b'"),
    "weights: foreign objects": (
        DIT,
        lambda p: torch.save(random_dit(SHAPE).state_dict() | {"x": retensor}, p),
        "beside tensors it holds objects of ",
    ),
    "autoencoder: a file": (
        VAE,
        lambda p: (shutil.rmtree(p), p.write_bytes(b"x")),
        "expected a folder with config.json",
    ),
    "autoencoder: no config": (f"{VAE}/config.json", lambda p: p.unlink(), "config.json: cannot be read"),
    "autoencoder: not JSON": (f"{VAE}/config.json", lambda p: p.write_text("{"), "cannot be read as JSON"),
    "autoencoder: of another class": (
        f"{VAE}/config.json",
        config(_class_name="VQModel"),
        "is of a 'VQModel', expected AutoencoderKL",
    ),
    "autoencoder: other latents": (f"{VAE}/config.json", config(latent_channels=8), "does not fit the model"),
    "autoencoder: no weights": (f"{VAE}/{WEIGHTS}", lambda p: p.unlink(), "has no weights"),
    "autoencoder: cut short": (f"{VAE}/{WEIGHTS}", cut, "cannot be read as safetensors"),
    "autoencoder: a tensor is missing": (
        f"{VAE}/{WEIGHTS}",
        lost("quant_conv.bias"),
        "missing quant_conv.bias",
    ),
    "autoencoder: NaN": (f"{VAE}/{WEIGHTS}", spoilt("quant_conv.bias"), "NaN or infinite: quant_conv.bias"),
    "reference: a text": (REFERENCE, lambda p: p.write_text("x"), "is no .npz file"),
    "reference: cut short": (REFERENCE, cut, "is no .npz file, or it is cut short"),
    "reference: nothing of use": (REFERENCE, arrays(x=np.zeros(3)), "expected 'arr_0'"),
    "reference: NCHW": (
        REFERENCE,
        arrays(arr_0=np.zeros((3, 3, 256, 256), np.uint8)),
        "this looks like NCHW",
    ),
    "reference: another size": (
        REFERENCE,
        arrays(arr_0=np.zeros((3, 512, 512, 3), np.uint8)),
        "holds images of 512x512 pixels, expected 256x256",
    ),
    "reference: statistics of another network": (
        REFERENCE,
        arrays(mu=np.zeros(64), sigma=np.zeros((64, 64))),
        "'mu' is float64 (64,), expected floating point (2048,)",
    ),
    "reference: half of the statistics": (REFERENCE, arrays(mu=np.zeros(2048)), "no array 'sigma'"),
    "network: a text": (
        INCEPTION,
        lambda p: p.write_text("Not found"),
        "it is a text that begins with 'Not found'",
    ),
    "network: something else": (
        INCEPTION,
        lambda p: torch.save({"a": torch.ones(1)}, p),
        "does not hold the weights of the feature network 'inception'",
    ),
    "network: NaN": (INCEPTION, spoilt("fc.bias"), "NaN or infinite: fc.bias"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_each_fault_is_found_by_the_plan(machine: Path, what: str) -> None:
    where, spoil, message = FAULTS[what]
    if where == INCEPTION:
        shutil.copy(machine / where, machine / "own")
        (machine / "own").replace(machine / where)
    spoil(machine / where)
    missing = {
        text
        for planned in build(load_suite("table2", only="resolution=256,nfe=10")).runs
        for text in planned.missing
    }
    place = str(machine / where.removesuffix("/config.json").removesuffix(f"/{WEIGHTS}"))
    assert missing
    assert all(place in said for said in missing), missing  # and nothing else is found fault with
    assert any(message in said for said in missing), missing


def test_all_faults_are_listed_together_and_nothing_is_written(machine: Path) -> None:
    chosen = ("weights: NaN", "autoencoder: a tensor is missing", "reference: another size")
    for what in chosen:
        where, spoil, _ = FAULTS[what]
        spoil(machine / where)
    said = run("run", *RUN)
    assert said.exit_code == 2
    for what in chosen:
        assert FAULTS[what][2] in said.output
    assert "need what is not on this machine, or does not fit" in said.output
    assert not (machine / "results").exists()
    planned = run("plan", *RUN[:3])
    assert planned.exit_code == 0
    assert all(FAULTS[what][2].split()[-1] in planned.output for what in chosen)


def keys(*overrides: str) -> set[str | None]:
    return {
        planned.target
        for planned in build(load_suite("table2", only="resolution=256,nfe=10", overrides=overrides)).runs
    }


def test_which_weights_is_a_setting_that_is_in_the_key_and_printed(machine: Path) -> None:
    ema, raw = random_dit(SHAPE, 1).state_dict(), random_dit(SHAPE, 2).state_dict()
    torch.save({"ema": ema, "model": raw}, machine / DIT)
    usual = keys()
    assert None not in usual
    assert keys("weights=ema") == usual  # the default, said
    assert not keys("weights=model") & usual
    for option, taken, left in (((), "ema", "model"), (("--set", "weights=model"), "model", "ema")):
        planned = run("plan", *RUN[:3], *option)
        note = f"note: {machine / DIT}: the weights under '{taken}' are taken, not those under '{left}'"
        assert note in " ".join(planned.stdout.split())
        told = json.loads(run("plan", *RUN[:3], *option, "--json").stdout)["runs"]
        assert all(note.removeprefix("note: ") in one["notes"] for one in told)
    refused = run("run", *RUN, "--set", "weights=nobody")
    assert refused.exit_code == 2
    assert "has no one set of weights called 'nobody'" in refused.output


def test_what_was_found_right_is_not_looked_at_again(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what is shared by rows, right or wrong."""
    monkeypatch.setattr(digests, "_SMALL_BYTES", 0)
    looked: list[str] = []
    real = needs.denoiser

    def denoiser(path: Path, *how: Any) -> Any:
        looked.append(path.name)
        return real(path, *how)

    monkeypatch.setattr(needs, "denoiser", denoiser)
    keys()
    assert looked == ["DiT-XL-2-256x256.pt"]
    keys()
    assert len(looked) == 1
    torch.save(random_dit(SHAPE, 5).state_dict(), machine / DIT)
    keys()
    assert len(looked) == 2
    cut(machine / DIT)
    assert keys() == {None}
    assert len(looked) == 3
    keys()
    assert len(looked) == 4  # what is wrong is never remembered


def test_a_folder_of_ours_says_what_it_predicts(machine: Path) -> None:
    (machine / DIT).unlink()
    save_dit(random_dit(SHAPE), machine / DIT, prediction="v")
    [missing] = {t for p in build(load_suite("table2", only="resolution=256,nfe=10")).runs for t in p.missing}
    assert "is of a flow model, which predicts a velocity: expected one of timesteps" in missing


def test_an_autoencoder_that_halves_otherwise_is_refused(machine: Path) -> None:
    build_vae((8, 8, 8), image_channels=3).save_pretrained(machine / VAE)
    [missing] = {t for p in build(load_suite("table2", only="resolution=256,nfe=10")).runs for t in p.missing}
    assert (
        "an image's side is 4 times its latents', so that the model's 32 are 128 pixels, not 256" in missing
    )


TEXT_FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "tokenizer: no config": (
        "tokenizer/tokenizer.json",
        lambda p: p.unlink(),
        "is no tokenizer: expected tokenizer.json",
    ),
    "tokenizer: another length": (
        "tokenizer/tokenizer_config.json",
        config(model_max_length=77),
        "model_max_length is 77, and the UNet takes texts of 9 tokens",
    ),
    "tokenizer: not JSON": (
        "tokenizer/tokenizer.json",
        lambda p: p.write_text("x"),
        "cannot be read as JSON",
    ),
    "encoder: another class": (
        "text_encoder/config.json",
        config(architectures=["T5EncoderModel"]),
        "is of a 'T5EncoderModel', expected CLIPTextModel",
    ),
    "encoder: another width": (
        "text_encoder/config.json",
        config(hidden_size=24),
        "hidden_size is 24, expected the model's 16",
    ),
    "encoder: fewer words": (
        "text_encoder/config.json",
        config(vocab_size=5),
        "vocab_size is 5, expected at least the 54 words of the tokenizer",
    ),
    "encoder: a tensor is missing": ("text_encoder/model.safetensors", lost("fc1.bias"), "fc1.bias"),
    "encoder: NaN": ("text_encoder/model.safetensors", spoilt("fc1.bias"), "NaN or infinite"),
    "encoder: cut short": ("text_encoder/model.safetensors", cut, "cannot be read as safetensors"),
    "unet: of another shape": (
        "unet/config.json",
        config(cross_attention_dim=32),
        "cross_attention_dim is 32, expected 16",
    ),
    "unet: a tensor is missing": (f"unet/{WEIGHTS}", lost("conv_in.bias"), "missing conv_in.bias"),
    "unet: NaN": (f"unet/{WEIGHTS}", spoilt("conv_in.bias"), "NaN or infinite: conv_in.bias"),
}


@pytest.mark.parametrize("what", TEXT_FAULTS)
def test_of_a_pipeline_each_part_is_looked_at(tmp_path: Path, what: str) -> None:
    from tests.models.sd_toy import SHAPE as UNET

    from ssdbench.errors import InputError
    from ssdbench.models.inspection import find_text
    from ssdbench.plan.sources import denoiser, inspected
    from ssdbench.stages import Source

    def at(inspection: Callable[..., Any], path: Path, *expected: object) -> object:
        return inspected(inspection, Source(digest="", path=str(path)), *expected)

    folder = write_pipeline(tmp_path / "sd")
    for name in ("vocab.json", "merges.txt"):
        (folder / "tokenizer" / name).unlink(missing_ok=True)
    at(find_text, folder, *UNET.texts)
    at(denoiser, folder / "unet", UNET, "")
    where, spoil, message = TEXT_FAULTS[what]
    spoil(folder / where)
    of_unet = (denoiser, folder / "unet", UNET, "")
    with pytest.raises(InputError) as caught:
        at(*(of_unet if "unet" in what else (find_text, folder, *UNET.texts)))
    assert message in str(caught.value)
    assert str(folder / Path(where).parent) in str(caught.value)


def test_everything_that_is_shipped_is_right() -> None:
    """All models of mini scale at once: no fault is found where there is none."""
    for name in ("table1", "table2", "table3", "table4", "table5", "table7", "table8", "figure4"):
        graph = build(load_suite(name, profile="mini"))
        assert not [text for planned in graph.runs for text in planned.missing], name
        assert not any("weights" in note for planned in graph.runs for note in planned.notes)


def test_a_plan_imports_no_torch() -> None:
    code = (
        "import sys; from ssdbench.plan import build; from ssdbench.suite import load_suite;"
        "assert all(run.target for run in build(load_suite('quick')).runs); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
