"""CLIP with random weights of the published layout, small; the score by its formula."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ssdbench.errors import InputError
from ssdbench.metrics import clip
from ssdbench.metrics.accumulator import Setup, Value
from ssdbench.metrics.builtin import CLIP_SCORE
from ssdbench.metrics.builtin_networks import CLIP, CLIP_336
from ssdbench.metrics.taps import Dims
from ssdbench.models.compat import prepare_torchvision

SMALL = replace(CLIP, tensors={}, dims=Dims(8))
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``hf download`` leaves of a CLIP: weights, and a tokenizer of single letters."""
    prepare_torchvision()
    from transformers import CLIPConfig, CLIPModel

    found = tmp_path_factory.mktemp("clip")
    sizes = {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(
            vision_config={**sizes, "projection_dim": 8, "image_size": 28, "patch_size": 14},
            text_config={
                **sizes, "projection_dim": 8, "vocab_size": len(words), "max_position_embeddings": 9,
                "eos_token_id": len(words) - 1, "bos_token_id": len(words) - 2,
            },
            projection_dim=8,
        )
    ).eval()  # fmt: skip
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(
        state | {"text_model.embeddings.position_ids": torch.arange(9)[None]}, found / "model.safetensors"
    )
    (found / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (found / "merges.txt").write_text("#version: 0.2\n")
    model.save_pretrained(found / "whole")
    return found


def test_images_and_texts_are_transformers_own(folder: Path) -> None:
    from transformers import CLIPModel

    network = clip.load(SMALL, folder / "model.safetensors")
    theirs = CLIPModel.from_pretrained(folder / "whole").eval()
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 28, 28), dtype=np.uint8))
    expected = theirs.visual_projection(theirs.vision_model(clip.scaled(images.float())).pooler_output)
    expected = expected / expected.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(network(images).pooled, expected.detach(), rtol=1e-4, atol=1e-5)
    wide = torch.cat([torch.zeros(3, 3, 28, 4, dtype=torch.uint8), images, images[..., :4]], -1)
    torch.testing.assert_close(network(wide).pooled, network(images).pooled)

    assert network.texts is not None
    found = network.texts(
        ["ab", "b", "abcabcabcabcabc"]
    )  # each letter is a token; the last text is cut to nine
    ids = torch.tensor([[52, 0, 27, 53]])  # the start, a, b</w>, the end
    own = theirs.text_projection(theirs.text_model(ids).pooler_output)[0].detach()
    np.testing.assert_allclose(found[0], (own / own.norm()).numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_weights_of_another_network_and_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError, match=r"no vision_model\.embeddings\.position_embedding\.weight \(577, 1024\)"
    ):
        clip.load_clip_336(folder / "model.safetensors")
    save_file({"fc.weight": torch.ones(2, 2)}, folder / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors does not hold the weights of a CLIP"):
        clip.load(SMALL, folder / "other.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "none"))
    for declared, repository in ((CLIP, "patch14"), (CLIP_336, "patch14-336")):
        with pytest.raises(InputError, match=f"run `hf download openai/clip-vit-large-{repository}`"):
            clip.load(declared)


def score(images: np.ndarray, captions: list[str], texts: dict[str, list[float]]) -> Value:
    network = SimpleNamespace(name="toy", texts=lambda found: np.array([texts[text] for text in found]))
    rows = SimpleNamespace(all=lambda: images)
    setup = Setup(CLIP_SCORE, network, None, True, {"captions": captions}, lambda tap: rows)  # type: ignore[arg-type]
    return clip.clip_score(setup).compute()  # type: ignore[return-value]


def test_the_score_is_a_hundred_cosines_and_none_below_zero() -> None:
    images = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)
    texts = {"right": [1.0, 0.0], "up": [0.0, 1.0]}
    found = score(images, ["right", "right", "up", "right"], texts)
    assert found.value == pytest.approx((100 + 60 + 100 + 0) / 4)
    assert found.interval is not None
    half = 1.959964 * np.std([100, 60, 100, 0], ddof=1) / 2
    assert found.interval[:2] == pytest.approx((max(0, 65 - half), min(100, 65 + half)))
    with pytest.raises(InputError, match="clip_score: 3 captions of 4 images"):
        score(images, ["right"] * 3, texts)
