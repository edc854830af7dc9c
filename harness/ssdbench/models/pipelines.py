"""Whole pipelines in diffusers' layout, which ``from_pretrained`` loads: they sample what is sampled here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ssdbench.diffusion.guidance import GuidanceSetting
from ssdbench.inputs import load_json, refuse
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.diffusers_dit import build_diffusers
from ssdbench.models.dit_files import Checkpoint
from ssdbench.models.inspection import find_text, read_latents
from ssdbench.models.parts import FACTS, FITTED, INDEX, TRANSFORMER, UNET
from ssdbench.models.respaced import Respaced, Walk, fit, scheduler_for
from ssdbench.models.shapes import DiTShape
from ssdbench.models.text import TextEncoder
from ssdbench.models.times import sinusoids
from ssdbench.models.unet import load_unet
from ssdbench.models.unet_shape import UNetShape
from ssdbench.models.vae import Autoencoder

NULL = 1000
"""The label that ``DiTPipeline`` takes for none, whatever the number of classes."""
CARD = "README.md"
_UNGUIDED = GuidanceSetting()


@dataclass(frozen=True)
class Sampled:
    """How a pipeline is to sample.

    Args:
        walk: the times.
        guidance: that the model was measured with.
        classes: names of the classes by number; none where they are not known.
        name: of the folder, for the page in it.
    """

    walk: Walk
    guidance: GuidanceSetting = _UNGUIDED
    classes: Sequence[str] = ()
    name: str = "FOLDER"

    def differences(self, channels: int) -> Iterator[str]:
        """What the pipeline does otherwise than the run did, of latents of so many channels; a line each."""
        guided = self.guidance
        if guided.scale == 1.0:
            return
        if guided.scale < 1.0:
            yield f"the run was guided with scale {guided.scale:g}; the pipeline guides above 1 alone"
        if guided.channels not in (None, channels):
            yield (
                f"the run was guided on the first {guided.channels} of {channels} latent channels; the pipeline guides"
                " all of them, so that its images differ from the run's"
            )
        if guided.interval is not None:
            low, high = guided.interval
            yield (
                f"the run was guided at noise levels from {low:g} to {high:g}; the pipeline guides at all of them, so"
                " that its images differ from the run's"
            )


def write_dit_pipeline(found: Checkpoint, target: Path, vae: Path, how: Sampled) -> list[str]:
    """Write a ``DiTPipeline`` to a new folder; returns what it does otherwise than the run did.

    Args:
        found: the model.
        target: must not exist.
        vae: the folder of an AutoencoderKL.
        how: of the sampling.

    Raises:
        InputError: diffusers has no such model, scheduler or autoencoder; names what to do.
    """
    shape, path = found.shape, found.path
    refuse([*_no_dit(shape), *_no_vae(vae, shape.in_channels)], path, "is of no DiTPipeline:\n  ")
    prepare_torchvision()
    from diffusers import DiTPipeline

    state = dict(found.state)
    table = state["y_embedder.embedding_table.weight"]
    # The pipeline's null label is 1000: what lies between the classes and it is null too.
    empty = table[-1:].expand(NULL + 1 - shape.num_classes, -1)
    state["y_embedder.embedding_table.weight"] = torch.cat([table[:-1], empty])
    model = build_diffusers(state, replace(shape, num_classes=NULL), path)
    if how.walk.noise_at == 0:  # towards the data, where diffusers' flows lead to the noise
        for parameter in model.proj_out_2.parameters():
            parameter.data.neg_()
    found_walk = scheduler_for(how.walk, shape)
    embeddings = [block.norm1.emb for block in model.transformer_blocks]
    given = embeddings[0].time_proj(torch.arange(len(found_walk.times)))
    layers = [one.timestep_embedder.linear_1 for one in embeddings]
    fitted = fit(layers, given, sinusoids(torch.from_numpy(found_walk.times)), found_walk.at)
    names = {str(number): name for number, name in enumerate(how.classes)}
    pipeline = DiTPipeline(model, Autoencoder(vae).model, found_walk.scheduler)
    pipeline.save_pretrained(target)
    index = load_json(target / INDEX) | ({"id2label": names} if names else {})
    (target / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    labels = "pipeline.get_label_ids([" + ", ".join(map(repr, how.classes[:2])) + "])" if names else "[0, 1]"
    return _finish(target, TRANSFORMER, "DiTPipeline", labels, found_walk, fitted, how, shape.in_channels)


def write_unet_pipeline(
    source: Path, target: Path, shape: UNetShape, vae: Path, text: Path, how: Sampled, part: str = ""
) -> list[str]:
    """Write a ``StableDiffusionPipeline`` without a safety checker to a new folder; else as the other.

    Args:
        source: the folder or file of the UNet.
        target: must not exist.
        shape: of the UNet.
        vae: the folder of an AutoencoderKL.
        text: holds the folders of a tokenizer and a text encoder.
        how: of the sampling.
        part: which weights of a file that holds several sets.

    Raises:
        InputError: as the other; or the text encoder does not fit.
    """
    second = ["it has a second time, which the pipeline does not give"] if shape.second_time else []
    refuse([*second, *_no_vae(vae, shape.in_channels)], source, "is of no StableDiffusionPipeline:\n  ")
    find_text(text, shape.text_length, shape.text_width)
    prepare_torchvision()
    from diffusers import StableDiffusionPipeline

    unet, words = load_unet(source, shape, part), TextEncoder(text)
    unet.register_to_config(sample_size=shape.input_size)
    found_walk = scheduler_for(how.walk, shape)
    times = torch.from_numpy(found_walk.times)
    given, wanted = unet.time_proj(torch.arange(len(times))), unet.time_proj(times)
    fitted = fit([unet.time_embedding.linear_1], given, wanted, found_walk.at)
    pipeline = StableDiffusionPipeline(
        vae=Autoencoder(vae).model,
        text_encoder=words.model,
        tokenizer=words.tokenizer,
        unet=unet,
        scheduler=found_walk.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(target)
    asked = '"a photograph of a cat"'
    return _finish(target, UNET, "StableDiffusionPipeline", asked, found_walk, fitted, how, shape.in_channels)


def _no_dit(shape: DiTShape) -> Iterator[str]:
    if shape.second_time:
        yield "it has a second time, which the pipeline does not give"
    if shape.num_classes > NULL:
        yield f"it has {shape.num_classes:,} classes, and the pipeline's label for none is {NULL}"


def _no_vae(vae: Path, channels: int) -> Iterator[str]:
    latents = read_latents(vae)
    if latents.mean or latents.std:
        yield f"{vae} shifts its latents, or scales each channel, which the pipeline does not undo"
    if latents.channels != channels:
        yield f"{vae} has {latents.channels} latent channels, expected the model's {channels}"


def _finish(
    target: Path, part: str, kind: str, asked: str, found: Respaced, fitted: bool, how: Sampled, channels: int
) -> list[str]:
    """Write what tells the folder's limits: a mark for ssdbench where the model was fitted, a page for people."""
    times, differences = [f"{time:g}" for time in how.walk.times], list(how.differences(channels))
    if fitted:
        facts: Mapping[str, Any] = {FITTED: found.at, "times": times}
        (target / part / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    n, scale = len(times), max(how.guidance.scale, 1.0)
    kinds = "timesteps" if how.walk.noise_at is None else "times"
    page = f"""# {how.name}

```python
from diffusers import {kind}

pipeline = {kind}.from_pretrained("{how.name}")
images = pipeline({asked}, num_inference_steps={n}, guidance_scale={scale:g}).images
```

- It is for **{n} evaluations**, at the {kinds} {", ".join(times)}. Other numbers of steps are not its own.
- The scheduler walks {found.at} to do so{_FITTED if fitted else "."}
- Say `guidance_scale`: the default is another. All {channels} latent channels are guided, at every step.
"""
    (target / CARD).write_text(page + "".join(f"- Note: {line}.\n" for line in differences))
    return differences


_FITTED = """: its betas and the model's embedding of time are fitted to each other. Only this scheduler
  and this number of steps belong to the model."""
