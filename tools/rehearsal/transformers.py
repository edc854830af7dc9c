"""Random DiT, SiT and REPA checkpoints in the layouts of their authors' files."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from tools.rehearsal import configs
from tools.rehearsal.configs import Config
from tools.rehearsal.diffusion import WEIGHTS, write_vae
from torch import Tensor, nn

from ssdbench.models.diffusers_dit import to_diffusers
from ssdbench.models.dit import DiT
from ssdbench.models.shapes import DiTShape

State = OrderedDict[str, Tensor]

_PROJECTOR, _FEATURES = 2048, 768  # of REPA's projectors, whose output is DINOv2-B's


def random_state(shape: DiTShape, seed: int = 0) -> State:
    """The tensors of a DiT in the published names; all but the position table is random, so that nothing is hidden."""
    torch.manual_seed(seed)
    model = DiT(shape)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.02 if parameter.dim() > 1 else 0.1)
    return OrderedDict(model.state_dict())


def write_bare(state: Mapping[str, Tensor], path: Path) -> None:
    """As DiT-XL-2-*.pt and SiT-XL-2-*.pt: the averaged weights by name, and nothing else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(OrderedDict(state), path)


def write_training_state(state: Mapping[str, Tensor], path: Path) -> None:
    """As the training scripts of DiT and SiT leave it: both sets of weights, AdamW's state, and the options."""
    torch.save(_training_state(state, model="DiT-S/2", results_dir="results", global_batch_size=256), path)


def write_repa(state: Mapping[str, Tensor], path: Path) -> None:
    """As REPA's: projectors beside the transformer, and the blocks after the encoder's under a name of their own."""
    depth = len([name for name in state if name.endswith(".attn.qkv.weight")])
    encoder_depth = max(1, depth * 8 // 28)
    width = state["pos_embed"].shape[2]
    renamed: State = OrderedDict()
    for name, tensor in state.items():
        block, _, rest = name.removeprefix("blocks.").partition(".")
        if name.startswith("blocks.") and int(block) >= encoder_depth:
            name = f"decoder_blocks.{int(block) - encoder_depth}.{rest}"
        renamed[name] = tensor
    sizes = ((width, _PROJECTOR), (_PROJECTOR, _PROJECTOR), (_PROJECTOR, _FEATURES))
    for layer, (inputs, outputs) in zip((0, 2, 4), sizes, strict=True):
        renamed[f"projectors.0.{layer}.weight"] = torch.randn(outputs, inputs) * 0.02
        renamed[f"projectors.0.{layer}.bias"] = torch.zeros(outputs)
    options = {"model": "SiT-XL/2", "encoder_depth": encoder_depth, "enc_type": "dinov2-vit-b"}
    torch.save(_training_state(renamed, **options) | {"steps": 4_000_000}, path)


def write_diffusers(state: Mapping[str, Tensor], config: Config, vae: Config, folder: Path) -> None:
    """As facebook/DiT-XL-2-256: a pipeline's folder, its weights in ``.bin`` alone."""
    configs.write(configs.DIT_PIPELINE, folder / "model_index.json")
    configs.write(configs.DIT_SCHEDULER, folder / "scheduler/scheduler_config.json")
    configs.write(config, folder / "transformer/config.json")
    torch.save(to_diffusers(state), folder / f"transformer/{WEIGHTS}.bin")
    write_vae(vae, folder / "vae")


def _training_state(state: Mapping[str, Tensor], **options: object) -> dict[str, object]:
    live = OrderedDict((name, tensor + 1e-3) for name, tensor in state.items())  # not what is to be read
    parameters = [nn.Parameter(torch.ones(1))]
    parameters[0].grad = torch.ones(1)
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0)
    optimiser.step()
    return {
        "model": live,
        "ema": OrderedDict(state),
        "opt": optimiser.state_dict(),
        "args": Namespace(**options, data_path="imagenet/train", image_size=256, num_classes=1000, vae="ema"),
    }
