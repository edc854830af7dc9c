"""A new suite, written for somebody's own images or after one that is there, with comments that say what to change."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ssdbench.data.captions import files_beside
from ssdbench.data.folders import list_images
from ssdbench.errors import UsageError
from ssdbench.suite.find import find_suite

_TEXT = """\
# Written by `ssdbench new`. Every setting: `ssdbench schema`, and docs/suites.md.
suite: {name}
title: Self step-distillation on {name}
layout: plain
seeds: [0]  # more seeds, such as [1, 2, 3, 4, 5], give every figure a spread
defaults:
  # A latent DiT of this size, trained here. Larger ones: width (a multiple of 32), depth, patch.
  model: dit(classes={classes}, width=128, depth=6)
  resolution: {resolution}  # pixels a side: images are cropped to a square and resized
  data: {data}  # {told}
  sampler: ddim
  nfe: 10  # evaluations of the denoiser for one image
  guidance: {{scale: 1.5}}
  # The autoencoder and the base model are trained once, whatever rows and seeds stand on them. So few steps end within
  # a quarter of an hour at 32 pixels on two CPU cores; a model worth keeping takes ten times as many.
  autoencoder: {{steps: 400, batch_size: 16}}
  pretrain: {{steps: 1000, batch_size: 64, lr: 3.0e-4, seed: 0}}
  # What is distilled from the base model; it sees the same images.
  train: {{steps: 200, batch_size: 64, lr: 1.0e-4}}
  eval:
    samples: 500  # a distance of few samples is too large; papers take 50,000
    reference: {reference}{remark}
    network: effnet-lite0  # comes with the installation; inception is FID's, and is downloaded
runs:
  - {{variant: pretrain, nfe: 50}}  # the base model at many evaluations: what few are to reach
  - {{variant: pretrain}}
  - {{variant: pretrain, sampler: ab2}}  # a better solver, which costs nothing
  - {{variant: pretrain + continual}}  # the same steps of ordinary training
  - {{variant: pretrain + ssd}}  # explicit self step-distillation
  - {{variant: pretrain + issd}}  # implicit self step-distillation
"""


def of_images(name: str, data: str, resolution: int = 32, reference: str | None = None) -> str:
    """Return a suite called ``name`` that trains, distils and compares on a folder of images.

    Args:
        name: what it is called.
        data: the folder; its folders are the classes.
        resolution: pixels a side.
        reference: images, or their statistics, that samples are measured against; the same images by default.

    Raises:
        InputError: there are no images.
        UsageError: they have captions, which this model does not take.

    """
    root = Path(data).expanduser()
    if not root.is_dir():
        raise UsageError(f"{data}: expected a folder of images")
    found = list_images(root)
    if not found.classes and files_beside(found.paths) is not None:
        raise UsageError(f"{data}: its images have captions: --like table4 is a suite of text to image")
    classes = f"{len(found.classes)} classes" if found.classes else "no class folders"
    remark = "" if reference else "  # better other images than those that are trained on"
    return _TEXT.format(
        name=name,
        classes=max(1, len(found.classes)),
        resolution=resolution,
        data=_path(data),
        told=f"{len(found.paths):,} images, {classes}",
        reference=_path(reference or data),
        remark=remark,
    )


def like(name: str, suite: str) -> str:
    """Return the text of a suite that is there, called ``name``.

    Raises:
        UsageError: there is none.

    """
    text = find_suite(suite).read_text(encoding="utf-8")
    return re.sub(r"^suite:.*$", f"suite: {name}", text, count=1, flags=re.MULTILINE)


def _path(text: str) -> str:
    """A path as YAML, one of a folder with its ``/``."""
    folder = Path(text).expanduser().is_dir() and not text.endswith("/")
    written = f"{text}/" if folder else text
    return written if re.fullmatch(r"[\w./~-]+", written) else json.dumps(written, ensure_ascii=False)
