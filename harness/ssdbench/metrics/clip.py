"""CLIP as a feature network: embeddings of images, and of the texts that they fit (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssdbench.errors import InputError, refusing
from ssdbench.metrics import pillow
from ssdbench.metrics.accumulator import Setup, Value, at_the_end
from ssdbench.metrics.builtin_networks import CLIP, CLIP_336
from ssdbench.metrics.intervals import around
from ssdbench.metrics.network import Network
from ssdbench.metrics.taps import FeatureNetwork, Input, Taps
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.files import read_tensors

_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HEAD = 64  # channels of a head, in all of CLIP's transformers
_TEXTS = 50  # at once


def load(
    declared: Network, weights: Path | None = None, device: torch.device | str = "cpu"
) -> FeatureNetwork:
    """Return a CLIP as a feature network: pooled (B, D) is the projected embedding of an image, of length one.

    The square in an image's middle is resized as Pillow does it, bicubic and antialiased, to the side that the weights'
    positions are for; then CLIP's mean and deviation. ``texts`` are embedded by the weights of the same file and the
    tokenizer beside it.

    Args:
        declared: which one.
        weights: ``model.safetensors`` or ``pytorch_model.bin`` of a folder in Hugging Face's layout; by default that in
            its cache.
        device: where the network runs.

    Raises:
        InputError: the weights are not there (says how to get them), or are another network's.
    """
    assert declared.locate is not None
    path = weights or declared.locate()
    model, size = clip_model(read_tensors(declared.tensors_in(path)), path)
    model.to(device)

    def taps(x: Tensor) -> Taps:
        pooled = model.vision_model(pixel_values=x).pooler_output
        return Taps(F.normalize(model.visual_projection(pooled), dim=-1))

    def forward(images: Tensor) -> Taps:
        return taps(scaled(resized(images, size)))

    batch = 8 if torch.device(device).type == "cpu" else 64
    steps = Input(size, resized, scaled, taps)
    texts = partial(_embedded, model, path.parent, device)
    return declared.loaded(forward, path, device, batch_size=batch, input=steps, texts=texts)


load_clip, load_clip_336 = partial(load, CLIP), partial(load, CLIP_336)


def clip_model(state: Mapping[str, Tensor], path: Path) -> tuple[Any, int]:
    """Return transformers' CLIPModel with these weights, whose shapes say how large it is, and the side of its images.

    Raises:
        InputError: the weights are no CLIP's with a vision transformer, or not whole.
    """
    prepare_torchvision()
    from transformers import CLIPConfig, CLIPModel

    with refusing(f"{path} does not hold the weights of a CLIP"):
        state = {name: tensor.float() for name, tensor in state.items() if not name.endswith("position_ids")}
        patch = state["vision_model.embeddings.patch_embedding.weight"].shape[-1]
        places = len(state["vision_model.embeddings.position_embedding.weight"]) - 1
        size = patch * round(places**0.5)
        words, _ = state["text_model.embeddings.token_embedding.weight"].shape
        common = {"projection_dim": len(state["visual_projection.weight"])}
        config = CLIPConfig(
            vision_config=_sizes(state, "vision_model") | common | {"image_size": size, "patch_size": patch},
            text_config=_sizes(state, "text_model")
            | common
            | {
                "max_position_embeddings": len(state["text_model.embeddings.position_embedding.weight"]),
                "vocab_size": words,
                "bos_token_id": words - 2,
                "eos_token_id": words - 1,
            },
            **common,
        )
        with torch.device("meta"):
            model = CLIPModel(config)
        model.load_state_dict(state, assign=True)
    for tower in (model.vision_model, model.text_model):  # their numbers of places are left out above
        numbers = torch.arange(tower.embeddings.position_embedding.num_embeddings)
        tower.embeddings.position_ids = numbers[None]
    return model.eval().requires_grad_(False), size


def _sizes(state: Mapping[str, Tensor], tower: str) -> dict[str, int]:
    """What the weights of a tower say of its transformer."""
    inner, width = state[f"{tower}.encoder.layers.0.mlp.fc1.weight"].shape
    numbers = [int(name.split(".")[3]) for name in state if name.startswith(f"{tower}.encoder.layers.")]
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": 1 + max(numbers),
        "num_attention_heads": width // _HEAD,
    }


def resized(x: Tensor, size: int) -> Tensor:
    """Return whole numbers 0 to 255 (B, 3, H, W), the middle square of each, at (B, 3, size, size)."""
    return pillow.resized(pillow.middle(x), size)


def scaled(x: Tensor) -> Tensor:
    """Return float (B, 3, side, side) of 0 to 255 with CLIP's mean and deviation taken off."""
    return pillow.standardised(x, _MEAN, _DEVIATION)


def _embedded(
    model: Any, folder: Path, device: torch.device | str, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Embed texts, cut to the length that the model takes: float32 (N, D), of length one."""
    from transformers import CLIPTokenizer

    with refusing(f"{folder}: cannot be loaded as CLIP's tokenizer: expected vocab.json and merges.txt"):
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    length = model.text_model.embeddings.position_embedding.num_embeddings
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), _TEXTS):
            part = [*texts[start : start + _TEXTS]]
            tokens = tokenizer(part, padding=True, max_length=length, truncation=True, return_tensors="pt")
            pooled = model.text_model(input_ids=tokens.input_ids.to(device)).pooler_output
            found.append(F.normalize(model.text_projection(pooled), dim=-1).float().cpu().numpy())
    return np.concatenate(found)


@at_the_end
def clip_score(setup: Setup, images: NDArray[np.float32]) -> Value:
    """The mean over samples of 100 max(cos(image, caption), 0) (Hessel et al. 2021, Eq. 1, with 100 for 2.5).

    Raises InputError when there are fewer captions than images, or the network embeds no texts.
    """
    captions: Sequence[str] = setup.given["captions"]
    network = setup.network
    if network.texts is None:
        raise InputError(f"{setup.metric.name}: the network {network.name} embeds no texts")
    if len(captions) < len(images):
        raise InputError(f"{setup.metric.name}: {len(captions):,} captions of {len(images):,} images")
    place = {text: i for i, text in enumerate(dict.fromkeys(captions[: len(images)]))}
    texts = network.texts([*place])[[place[text] for text in captions[: len(images)]]]
    scores = 100 * np.maximum(np.einsum("nd,nd->n", images.astype(np.float64), texts), 0)
    mean = float(scores.mean())
    if not setup.intervals or len(scores) < 2:
        return Value(mean)
    error = float(scores.std(ddof=1)) / np.sqrt(len(scores))
    return Value(mean, around(mean, error, "mean over samples", lowest=0.0, highest=100.0))
