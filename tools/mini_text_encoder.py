"""Make the embedded text encoder: ``python tools/mini_text_encoder.py`` writes assets/weights/text-mini anew."""

import shutil

from ssdbench.data.described import WORDS
from ssdbench.data.places import ASSETS
from ssdbench.models.word_text import write_text_encoder

folder = ASSETS / "weights/text-mini"
shutil.rmtree(folder, ignore_errors=True)
write_text_encoder(folder, WORDS, length=12, width=64)
print(folder)
