"""Samples of a model that takes texts, laid out as GenEval's and DPG-Bench's evaluators read them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ssdbench.api.export import appearing_whole
from ssdbench.api.pictures import captions_of, shards_of
from ssdbench.data.captions import clean
from ssdbench.errors import InputError, UsageError
from ssdbench.inputs import parse_json, refuse, text_lines
from ssdbench.store import Record, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGES = 4  # of each prompt: what both benchmarks' published figures are of

Read = Callable[[int], "NDArray[np.uint8]"]
"""From the index of a sample to its image, uint8 (H, W, C)."""


@dataclass(frozen=True)
class Prompt:
    """A benchmark's prompt: its text on one line, where it stands, and the name and the line that its files get."""

    text: str
    place: str
    name: str
    line: str = ""


def export_prompts(record: Record, store: Store, prompts: Path, target: Path) -> int:
    """Write a run's samples for a benchmark of prompts to a new directory; return how many prompts there are.

    GenEval (Ghosh et al. 2023): ``NNNNN/metadata.jsonl``, the prompt's line, and ``NNNNN/samples/NNNN.png``. DPG-Bench
    (Hu et al. 2024): ``NAME.png``, four images in two rows, named as the prompt's file.

    Args:
        record: of the run.
        store: where its samples lie.
        prompts: GenEval's ``evaluation_metadata.jsonl``, or DPG-Bench's folder of ``.txt`` files.
        target: appears whole or not at all.

    Raises:
        UsageError: the run's model takes no texts, its samples are gone, or ``target`` exists or cannot be written.
        InputError: the prompts are malformed, or four samples of each were not made.

    """
    from ssdbench.metrics.npz import open_tensors

    wanted, write = (_of_folder(prompts), _grid) if prompts.is_dir() else (_of_lines(prompts), _folder)
    shards = shards_of(record, store)
    captions = captions_of(record, store)
    if captions is None:
        raise UsageError(
            f"the samples of {record.key[:12]} are made of no texts: prompts are for models that take them"
        )
    with ExitStack() as opened:
        tensors = [opened.enter_context(open_tensors(path)) for path in shards.values()]
        labels = [one.get_tensor("labels") for one in tensors]
        places = [(i, row) for i, part in enumerate(labels) for row in range(len(part))][: record.samples]
        texts = [captions[label] if (label := int(labels[i][row])) >= 0 else "" for i, row in places]

        def read(index: int) -> NDArray[np.uint8]:
            which, row = places[index]
            found: NDArray[np.uint8] = tensors[which].get_slice("images")[row : row + 1][0]
            return found

        chosen = _chosen(wanted, texts, prompts)
        with appearing_whole(target) as new:
            new.mkdir()
            for prompt, indices in zip(wanted, chosen, strict=True):
                write(prompt, indices, read, new)
    return len(wanted)


def _of_lines(path: Path) -> list[Prompt]:
    """The prompts of a ``.jsonl``, an object with ``prompt`` a line."""
    found: list[Prompt] = []
    for number, line in enumerate(text_lines(path), 1):
        try:
            text = parse_json(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            text = None
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{path}:{number}: is {line!r:.80}, expected an object with the text 'prompt'")
        found.append(Prompt(clean(text), f"{path}:{number}", f"{len(found):05}", line))
    return found


def _of_folder(path: Path) -> list[Prompt]:
    """The prompts of a folder, a ``.txt`` each."""
    files = sorted(path.glob("*.txt"))
    if not files:
        raise InputError(f"{path}: holds no .txt file: expected DPG-Bench's prompts, one a file")
    return [Prompt(clean(" ".join(text_lines(file))), str(file), file.stem) for file in files]


def _chosen(prompts: Sequence[Prompt], texts: Sequence[str], place: Path) -> list[list[int]]:
    """Which samples each prompt gets: the first of its text; of prompts with equal texts each gets others."""
    made: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        made[text].append(index)
    alike = Counter(prompt.text for prompt in prompts)
    turn: Counter[str] = Counter()
    found, problems = [], []
    for prompt in prompts:
        own = made[prompt.text][turn[prompt.text] :: alike[prompt.text]][:IMAGES]
        turn[prompt.text] += 1
        found.append(own)
        if len(own) < IMAGES:
            problems.append(f"{prompt.place}: {len(own)} samples of {prompt.text!r:.80}")
    how = f"expected {IMAGES} samples of each prompt: eval.captions takes a .txt file with one a line,"
    refuse(problems, place, f"{how} and eval.samples is {IMAGES} x {len(prompts):,}:\n  ")
    return found


def _folder(prompt: Prompt, indices: Sequence[int], read: Read, root: Path) -> None:
    from ssdbench.data.pictures import save_grid

    (samples := root / prompt.name / "samples").mkdir(parents=True)
    (root / prompt.name / "metadata.jsonl").write_text(prompt.line + "\n", encoding="utf-8")
    for number, index in enumerate(indices):
        save_grid(read(index)[None], samples / f"{number:04}.png", 1)


def _grid(prompt: Prompt, indices: Sequence[int], read: Read, root: Path) -> None:
    import numpy as np

    from ssdbench.data.pictures import save_grid

    save_grid(np.stack([read(index) for index in indices]), root / f"{prompt.name}.png", 2)
