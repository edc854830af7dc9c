"""What runs a graph of stages, by name, and the kinds of stages that can be made anew."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from ssdbench.errors import UsageError

if TYPE_CHECKING:
    from ssdbench.runtime.outcome import Outcome

KINDS = ("train", "encode", "sample", "reference", "score")
ENGINES = ("local", "ray")


def engine_of(engine: str, ray_address: str | None, gpus_per_stage: int = 1) -> Callable[..., Outcome]:
    """Return what runs a graph on an engine.

    Raises:
        UsageError: it is unknown or not installed, or an option is another engine's.

    """
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r} (known: {', '.join(ENGINES)})")
    if engine == "local":
        from ssdbench.runtime.local import run_graph

        if ray_address is not None:
            raise UsageError("--ray-address goes with --engine ray")
        return partial(run_graph, gpus_per_stage=gpus_per_stage)
    if gpus_per_stage > 1:
        raise UsageError("--gpus-per-stage goes with --engine local; on Ray every stage has one GPU")
    try:
        from ssdbench.runtime.ray import run_graph_on_ray
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "ray":
            raise
        raise UsageError("--engine ray needs Ray: pip install 'ssdbench[ray]'") from None
    return partial(run_graph_on_ray, address=ray_address)


def kinds_of(fresh: Collection[str]) -> frozenset[str]:
    """Return the kinds of stages that are to be made anew.

    Raises:
        UsageError: there is no such kind.

    """
    kinds = frozenset([fresh] if isinstance(fresh, str) else fresh)
    if unknown := sorted(kinds - {*KINDS}):
        raise UsageError(f"fresh: unknown kind {unknown[0]!r} (known: {', '.join(KINDS)})")
    return kinds
