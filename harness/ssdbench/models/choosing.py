"""Which tensors of a checkpoint are the model's: those under one name, or before which something stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ssdbench.errors import InputError

_T = TypeVar("_T")

BARE = "bare"
"""What a set of weights is called before whose names nothing stands, where a file has others too."""

AVERAGE = "ema"
"""The set that is taken by default; it needs no naming in a key."""

# Beside a parameter's name: what an optimiser keeps for it.
_OPTIMISER = frozenset(
    {"opt", "optim", "optimizer", "optimizers", "optimizer_state_dict", "exp_avg", "exp_avg_sq"}
)
_WRAPPERS = frozenset({"module", "_orig_mod"})  # of DataParallel, and of a compiled model: no names of sets
SETTING = "weights: NAME in the suite (--set weights=NAME), or ssdbench convert --weights NAME"


@dataclass(frozen=True)
class Chosen:
    """Which set of weights is taken.

    ``names`` are the model's names, each with the name of its tensor in the file. ``part`` is what the set is called
    in a key: nothing where it is the only one, or the moving average ``ema`` of several. ``note`` says to the user
    what was taken; nothing where there was nothing to choose and nothing to take off.
    """

    names: dict[str, str]
    part: str = ""
    note: str = ""

    def of(self, tensors: Mapping[str, _T]) -> dict[str, _T]:
        """The chosen ones among what a file holds, under the model's names."""
        return {own: tensors[stored] for own, stored in self.names.items()}


def choose(present: Iterable[str], anchors: Iterable[str], path: Path, part: str = "") -> Chosen:
    """Find the model's tensors among the names in a file.

    A set of weights is where names end in one of ``anchors``; what stands before these is what it is called. Of
    several, ``part`` is taken, or else the one that is a moving average.

    Args:
        present: all names in the file.
        anchors: names that only this kind of model has.
        path: for messages.
        part: which set; a prefix of the names is enough.

    Raises:
        InputError: there are several and it is not clear which is meant, or none is called ``part``.
    """
    names = list(present)
    prefixes = find_sets(names, anchors)
    chosen = pick(prefixes, path, part)
    if chosen is None:
        return Chosen({name: name for name in names})
    others = [prefix for prefix in prefixes if prefix != chosen]
    start = f"{chosen}." if chosen else ""
    taken = {
        name.removeprefix(start): name
        for name in names
        if name.startswith(start)
        and not any(name.startswith(f"{other}.") for other in others if len(other) > len(chosen))
    }
    return Chosen(taken, keyed(chosen, prefixes), noted(chosen, prefixes, path))


def find_sets(names: Iterable[str], anchors: Iterable[str]) -> list[str]:
    """What stands before the anchors, in the file's order: the sets of weights; not an optimiser's."""
    ends = tuple(anchors)
    found: dict[str, None] = {}
    for name in names:
        for anchor in ends:
            if name == anchor:
                found[""] = None
            elif name.endswith(f".{anchor}"):
                found[name.removesuffix(f".{anchor}")] = None
    return [prefix for prefix in found if not _OPTIMISER & set(prefix.split("."))]


def pick(prefixes: list[str], path: Path, part: str) -> str | None:
    """The set that is meant; None where there is none to choose from.

    Raises:
        InputError: as :func:`choose`.
    """
    if part:
        fitting = [p for p in prefixes if part in (p, title(p)) or p.startswith(f"{part}.")]
        if len(fitting) != 1:
            has = (
                f"those called {listed(prefixes)}" if prefixes else "none that can be told from other tensors"
            )
            raise InputError(
                f"{path}: has no one set of weights called {part!r} (the setting 'weights'): it has {has}"
            )
        return fitting[0]
    if len(prefixes) < 2:
        return prefixes[0] if prefixes else None
    averages = [prefix for prefix in prefixes if is_average(prefix)]
    if len(averages) != 1:
        raise InputError(
            f"{path}: holds {len(prefixes)} sets of weights: {listed(prefixes)}: say which is meant by {SETTING}"
        )
    return averages[0]


def keyed(chosen: str, prefixes: list[str]) -> str:
    """What a key says of a choice; see :class:`Chosen`."""
    name = title(chosen)
    return "" if len(prefixes) < 2 or name == AVERAGE else name


def noted(chosen: str, prefixes: list[str], path: Path) -> str:
    """What a user is told of a choice."""
    others = [prefix for prefix in prefixes if prefix != chosen]
    if others:
        return f"{path}: the weights under {title(chosen)!r} are taken, not those under {listed(others)}"
    return f"{path}: the weights are taken without the {chosen + '.'!r} before each name" if chosen else ""


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
