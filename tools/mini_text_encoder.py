"""The embedded text encoder: ``python tools/mini_text_encoder.py`` writes assets/weights/text-mini anew.

It is a small CLIP text model over whole words, made without a download: what mini scale has for Stable Diffusion's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from ssdbench.data.fashion_mnist import WORDS
from ssdbench.data.places import ASSETS
from ssdbench.diffusion.noise import seed_torch
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.parts import ENCODER, TOKENIZER

START, END, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|unknown|>"


def write_text_encoder(
    folder: Path,
    words: Sequence[str],
    *,
    length: int,
    width: int,
    layers: int = 2,
    heads: int = 4,
    seed: int = 0,
) -> None:
    """Write a tokenizer of ``words`` and a CLIPTextModel with random weights below ``folder``.

    It is never trained: it tells words and their places apart, which is all that a denoiser trained on it needs, and
    knows nothing of what they mean. Word embeddings are made large, so that the random layers do not drown them.

    Args:
        folder: see :class:`ssdbench.models.text.TextEncoder`.
        words: the vocabulary, in lower case; texts are split at spaces.
        length: tokens of a text, its start and end included.
        width: of the hidden states.
        layers: of the transformer.
        heads: of its attention.
        seed: of the weights.
    """
    prepare_torchvision()
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate((START, END, UNKNOWN, *words))}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokens.normalizer = normalizers.Lowercase()
    tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, 0), (END, 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        pad_token=END,
        model_max_length=length,
    ).save_pretrained(folder / TOKENIZER)
    config = folder / TOKENIZER / "tokenizer_config.json"
    content = json.loads(config.read_text())
    # Later versions write a name that earlier ones do not know; all know this one.
    content["tokenizer_class"] = "PreTrainedTokenizerFast"
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")

    seed_torch(seed)
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=length,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    for name, weight in model.named_parameters():
        if "embedding" in name:
            torch.nn.init.normal_(weight)
    model.save_pretrained(folder / ENCODER, safe_serialization=True)


if __name__ == "__main__":
    place = ASSETS / "weights/text-mini"
    shutil.rmtree(place, ignore_errors=True)
    write_text_encoder(place, WORDS, length=12, width=64)
    print(place)
