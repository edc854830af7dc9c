"""Random autoencoders and Stable Diffusion pipelines: diffusers' classes, in the names and files of their time."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from tools.rehearsal import configs
from tools.rehearsal.configs import Config
from torch import Tensor, nn

from ssdbench.models.compat import prepare_torchvision

prepare_torchvision()

WEIGHTS = "diffusion_pytorch_model"
_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def write_vae(config: Config, folder: Path, *, everything: bool = True) -> None:
    """An autoencoder with the attention's names of diffusers before 0.12.

    Of the weights there is also a ``.bin``, and a half-precision file, if ``everything`` is to be there.
    """
    from diffusers import AutoencoderKL

    state = _random(AutoencoderKL.from_config(config))
    old = {_old_name(name): tensor for name, tensor in state.items()}
    _write_weights(old, folder, WEIGHTS, everything=everything)
    configs.write(config, folder / "config.json")


def mark_as_downloaded(folder: Path) -> None:
    """Leave beside a repository's files what ``hf download --local-dir`` leaves there."""
    metadata = folder / ".cache/huggingface/download/config.json.metadata"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("31f26fdeee1355a5c34592e401dd41e45d25a493\n\n0.0\n")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")


def write_pipeline(folder: Path, unet: Config, vae: Config, text: Config, *, everything: bool = True) -> None:
    """Stable Diffusion v1.5 as its repository holds it; ``everything`` as in :func:`write_vae`."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    configs.write(configs.PIPELINE, folder / "model_index.json")
    configs.write(configs.SCHEDULER, folder / "scheduler/scheduler_config.json")
    _write_tokenizer(folder / "tokenizer")
    write_vae(vae, folder / "vae", everything=everything)
    configs.write(unet, folder / "unet/config.json")
    state = _random(UNet2DConditionModel.from_config(unet))
    _write_weights(state, folder / "unet", WEIGHTS, everything=everything)
    configs.write(text, folder / "text_encoder/config.json")
    encoder = _random(CLIPTextModel(CLIPTextConfig(**text)))
    # Their names began with the part's, and the positions' numbers were stored with them.
    named = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in encoder.items()}
    named["text_model.embeddings.position_ids"] = torch.arange(text["max_position_embeddings"])[None]
    _write_weights(named, folder / "text_encoder", "model", "pytorch_model", everything=everything)


def write_hub_cache(hub: Path, repository: str, content: Path) -> None:
    """Move a repository's files into the cache of the Hugging Face hub, as ``hf download`` leaves them."""
    root = hub / f"models--{repository.replace('/', '--')}"
    commit = hashlib.sha1(repository.encode()).hexdigest()
    for folder in ("blobs", "refs"):
        (root / folder).mkdir(parents=True)
    (root / "refs/main").write_text(commit)
    for file in sorted(path for path in content.rglob("*") if path.is_file()):
        blob = root / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        name = file.relative_to(content)
        link = root / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        file.replace(blob)
        link.symlink_to(Path(*[".."] * (len(name.parts) + 1)) / "blobs" / blob.name)
    shutil.rmtree(content)


def _random(model: nn.Module) -> dict[str, Tensor]:
    """A model's tensors, its weights normal and such that states keep their size at any width; nothing is at zero."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def _old_name(name: str) -> str:
    match = re.fullmatch(r"(.*mid_block\.attentions\.0)\.(to_q|to_k|to_v|to_out\.0)\.(weight|bias)", name)
    return name if match is None else f"{match[1]}.{_OLD_ATTENTION[match[2]]}.{match[3]}"


def _write_weights(
    state: Mapping[str, Tensor], folder: Path, name: str, pickled: str | None = None, *, everything: bool
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(state), folder / f"{name}.safetensors", metadata={"format": "pt"})
    if everything:
        torch.save(dict(state), folder / f"{pickled or name}.bin")
        halved = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        save_file(halved, folder / f"{name}.fp16.safetensors", metadata={"format": "pt"})


def _write_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer with as many tokens as CLIP's 49,408, of merges of letters that are no words."""
    configs.write(configs.TOKENIZER, folder / "tokenizer_config.json")
    configs.write(configs.SPECIAL_TOKENS, folder / "special_tokens_map.json")
    characters = _byte_characters()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    ends = [*letters, *(f"{letter}</w>" for letter in letters)]
    pairs = itertools.product(letters, ends)
    triples = (("".join(start), end) for start in itertools.product(letters, letters) for end in ends)
    fours = (("".join(start), end) for start in itertools.product(letters, repeat=3) for end in ends)
    count = configs.TEXT["vocab_size"] - 2 * len(characters) - 2
    merges = list(itertools.islice(itertools.chain(pairs, triples, fours), count))
    tokens = [*characters, *(f"{character}</w>" for character in characters)]
    tokens += ["".join(merge) for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    assert len(set(tokens)) == configs.TEXT["vocab_size"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")


def _byte_characters() -> list[str]:
    """The 256 characters that stand for bytes: those that can be seen for themselves, the rest from 256 on."""
    seen = [code for code in range(256) if 33 <= code <= 126 or 161 <= code <= 172 or 174 <= code <= 255]
    return [chr(code) for code in seen] + [chr(256 + i) for i in range(256 - len(seen))]
