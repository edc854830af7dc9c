"""Which tensors of a checkpoint are the model's, where there are several sets of weights or prefixes before names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ssdbench.errors import InputError

BARE = "bare"
"""The set of weights whose names have no prefix, in a file that has others too."""

AVERAGE = "ema"
"""The set that is taken by default; it needs no naming in a key."""

# Beside a parameter's name: what an optimiser keeps for it.
_OPTIMISER = frozenset(
    {"opt", "optim", "optimizer", "optimizers", "optimizer_state_dict", "exp_avg", "exp_avg_sq"}
)
_WRAPPERS = frozenset({"module", "_orig_mod"})  # of DataParallel, and of a compiled model: no names of sets
SETTING = "weights: NAME in the suite (--set weights=NAME), or ssdbench convert --weights NAME"


@dataclass(frozen=True)
class Choice:
    """Which set of weights is taken, by what stands before its names; None: there is nothing to choose from.

    ``sets`` are all that the file at ``path`` has.
    """

    path: Path
    sets: list[str]
    taken: str | None

    def names(self, present: Iterable[str]) -> dict[str, str]:
        """The model's names, each with the name of its tensor in the file, where all names are ``present``."""
        start = f"{self.taken}." if self.taken else ""
        inner = tuple(f"{other}." for other in self.sets if len(other) > len(start))
        return {
            name.removeprefix(start): name
            for name in present
            if name.startswith(start) and not name.startswith(inner)
        }

    @property
    def part(self) -> str:
        """What the set is called in a key: nothing where it is the only one, or the moving average ``ema``."""
        name = title(self.taken or "")
        return "" if len(self.sets) < 2 or name == AVERAGE else name

    @property
    def note(self) -> str:
        """What the user is told; nothing where there was nothing to choose and nothing to take off."""
        if others := [prefix for prefix in self.sets if prefix != self.taken]:
            taken = f"the weights under {title(self.taken or '')!r} are taken"
            return f"{self.path}: {taken}, not those under {listed(others)}"
        if not self.taken:
            return ""
        return f"{self.path}: the weights are taken without the {self.taken + '.'!r} before each name"


def choose(present: Iterable[str], anchors: Iterable[str], path: Path, part: str = "") -> Choice:
    """Find the model's tensors among the names in a file.

    Names that end in one of ``anchors`` tell that there is a set of weights; what stands before the anchor is what the
    set is called. Of several sets, ``part`` is taken, or else the one that is a moving average.

    Args:
        present: all names in the file.
        anchors: names that only this kind of model has.
        path: for messages.
        part: which set; a prefix of the names is enough.

    Raises:
        InputError: there are several and it is not clear which is meant, or none is called ``part``.
    """
    sets = find_sets(present, anchors)
    if part:
        fitting = [p for p in sets if part in (p, title(p)) or p.startswith(f"{part}.")]
        if len(fitting) != 1:
            has = f"those called {listed(sets)}" if sets else "none that can be told from other tensors"
            raise InputError(
                f"{path}: has no one set of weights called {part!r} (the setting 'weights'): it has {has}"
            )
    else:
        fitting = sets if len(sets) < 2 else [prefix for prefix in sets if is_average(prefix)]
        if len(fitting) != 1 and sets:
            raise InputError(
                f"{path}: holds {len(sets)} sets of weights: {listed(sets)}: say which is meant by {SETTING}"
            )
    return Choice(path, sets, fitting[0] if fitting else None)


def find_sets(names: Iterable[str], anchors: Iterable[str]) -> list[str]:
    """What stands before the anchors, in the file's order: the sets of weights; not an optimiser's."""
    ends = tuple(f".{anchor}" for anchor in anchors)
    found = dict.fromkeys(
        f".{name}".removesuffix(end)[1:] for name in names for end in ends if f".{name}".endswith(end)
    )
    return [prefix for prefix in found if not _OPTIMISER & set(prefix.split("."))]


def title(prefix: str) -> str:
    """What a set of weights is called: its prefix, without what only wraps a model."""
    parts = prefix.split(".")
    while parts and parts[-1] in _WRAPPERS:
        parts.pop()
    return ".".join(parts) or BARE


def listed(prefixes: Iterable[str]) -> str:
    """Sets of weights by name."""
    return ", ".join(f"{title(prefix)!r}" for prefix in prefixes)


def is_average(prefix: str) -> bool:
    """Whether a set of weights says of itself that it is a moving average."""
    return bool({"ema", "average", "averaged", "shadow"} & set(re.split(r"[^a-z]+", prefix.lower())))
