"""Text encoders in the layout of a Stable Diffusion pipeline: ``tokenizer`` and ``text_encoder`` in one folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssdbench.diffusion.finite import check_finite
from ssdbench.errors import refusing
from ssdbench.inputs import refuse
from ssdbench.models.compat import prepare_torchvision
from ssdbench.models.files import TEXT_WEIGHTS, in_folder, refuse_stored
from ssdbench.models.inspection import text_config
from ssdbench.models.parts import ENCODER, TOKENIZER

_SHOWN = 5  # unknown words that a note names


class TextEncoder:
    """Texts to the hidden states that a UNet attends to, as StableDiffusionPipeline makes them.

    Texts are padded and cut to the tokenizer's length; the states are the last layer's, after the final norm.

    Args:
        folder: holds :data:`TOKENIZER` and :data:`ENCODER`, a CLIPTextModel, as ``save_pretrained`` wrote them.
        device: where it runs.

    Raises:
        InputError: a part is missing, cannot be loaded, or is of another kind.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        text_config(folder)
        prepare_torchvision()
        from transformers import AutoTokenizer, CLIPTextModel
        from transformers.utils import logging

        logging.disable_progress_bar()

        with refusing(f"{folder}: cannot be loaded as a text encoder"):
            self.tokenizer = AutoTokenizer.from_pretrained(
                folder / TOKENIZER, local_files_only=True, trust_remote_code=False
            )
            self.model, found = CLIPTextModel.from_pretrained(
                folder / ENCODER, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
        refuse(list(_unloaded(found)), folder / ENCODER)
        refuse_stored(in_folder(folder / ENCODER, TEXT_WEIGHTS))
        self.model.eval().requires_grad_(False).to(device)
        self.device = device

    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Say how many of the texts are cut to the tokenizer's length, and which words it does not know.

        Tokenizers of pieces, as CLIP's, know every word. An unknown word is named as the tokenizer takes words apart.
        """
        length, unknown = self.tokenizer.model_max_length, self.tokenizer.unk_token_id
        if unknown in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id):
            unknown = None  # CLIP's stands at every text's end
        long, strange, words = 0, 0, Counter[str]()
        for text in texts:
            found = self.tokenizer(text, verbose=False, return_offsets_mapping=self.tokenizer.is_fast)
            long += len(found.input_ids) > length
            places = [i for i, token in enumerate(found.input_ids) if token == unknown]
            strange += bool(places)
            if places and self.tokenizer.is_fast:
                words.update(text[slice(*found.offset_mapping[i])] for i in places)
        notes = []
        if long:
            notes.append(
                f"{long:,} of {len(texts):,} captions have more than the {length} tokens that the text model takes, and"
                " are cut"
            )
        if strange:
            shown = ", ".join(repr(word) for word, _ in words.most_common(_SHOWN))
            which = f" ({len(words):,} words: {shown}{', ...' * (len(words) > _SHOWN)})" if words else ""
            notes.append(
                f"{strange:,} of {len(texts):,} captions hold words that the text model does not know{which}"
            )
        return tuple(notes)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Hidden states, float32 (B, L, D) on the CPU.

        Raises:
            NotFinite: some are NaN or infinite.
        """
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        masked = getattr(self.model.config, "use_attention_mask", False)
        mask = tokens.attention_mask.to(self.device) if masked else None
        states: Tensor = self.model(tokens.input_ids.to(self.device), attention_mask=mask)[0]
        found = states.float().cpu()
        check_finite(found, range(len(found)), f"the hidden states of captions {texts[0]!r}, ...: numbers")
        return found


def _unloaded(found: Mapping[str, Any]) -> Iterator[str]:
    """What transformers say that did not fit while they loaded, a line each."""
    for word, what in (("missing", "missing"), ("unknown", "unexpected"), ("misshapen", "mismatched")):
        for name in sorted(map(str, found.get(f"{what}_keys") or ())):
            # Published encoders store the positions' numbers too, which later versions make anew.
            if (word, name.endswith("position_ids")) != ("unknown", True):
                yield f"{word} {name}"
