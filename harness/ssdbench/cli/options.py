"""Options that several verbs share, each defined once, and the groups in which verbs take them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

if TYPE_CHECKING:
    from typing import Unpack

    from ssdbench.api.benchmark import Benchmark, RunOptions
    from ssdbench.api.selection import Selection


class Kind(StrEnum):
    """Kinds of stages."""

    TRAIN = "train"
    ENCODE = "encode"
    SAMPLE = "sample"
    REFERENCE = "reference"
    SCORE = "score"


SuiteName = Annotated[
    str, typer.Argument(metavar="SUITE", help="A suite's file, or the name of one that comes with ssdbench.")
]
SuiteNames = Annotated[
    list[str],
    typer.Argument(metavar="SUITE", help="Suites' files, or names of those that come with ssdbench."),
]
Results = Annotated[
    str,
    typer.Option(
        "--results",
        metavar="DIR|URL",
        envvar="SSDBENCH_RESULTS",
        help="Where artifacts and records are: a directory, or a URL such as s3://bucket/prefix.",
    ),
]
Upstream = Annotated[
    str | None,
    typer.Option(
        "--upstream",
        metavar="DIR|URL",
        envvar="SSDBENCH_UPSTREAM",
        help="A store that finished artifacts are taken from where --results lacks them; it is only read.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Remap the suite to another scale: mini, smoke."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="FIELD=VALUE,...",
        help="Only these rows, such as 'variant=issd,nfe=10'. Repeated, all conditions hold.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Change every row, such as train.steps=50. Repeatable."
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=2, metavar="N", help="At most N samples a row.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="This seed instead of the suite's.")]
Fresh = Annotated[
    list[Kind] | None,
    typer.Option(
        "--fresh", help="Redo the stages of this kind that the rows need, cached or not. Repeatable."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Device = Annotated[
    str | None,
    typer.Option("--device", help="cpu, cuda, cuda:N or mps; by default cuda if there is one, else cpu."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, metavar="N", help="Stages at a time; by default by cores, or one for each GPU."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="CPU threads a stage; equal ones give equal bits."),
]
GpusPerStage = Annotated[
    int, typer.Option("--gpus-per-stage", min=1, metavar="N", help="GPUs that one training takes together.")
]
EngineName = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="Where stages run: this machine, or a Ray cluster."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="Head of the Ray cluster; by default RAY_ADDRESS, or the cluster that this machine is part of.",
    ),
]

Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write here instead of to stdout.")
]


TableForm = Annotated[
    Literal["markdown", "text", "latex"], typer.Option("--format", help="How to write the table.")
]

DEFAULT_RESULTS = "results"


@dataclass(frozen=True)
class Rows:
    """Which rows, and with what settings, whatever the seed."""

    profile: Profile = None
    only: Only = None
    overrides: Set = None
    limit: Limit = None

    def with_seed(self, seed: int | None) -> Selection:
        """Return the selection that the options make with a seed."""
        from ssdbench.api.selection import Selection

        return Selection.of(self.profile, self.only, self.overrides, self.limit, seed)


@dataclass(frozen=True)
class Chosen(Rows):
    """Which rows, and with what settings."""

    seed: Seed = None

    @property
    def selection(self) -> Selection:
        """The selection that the options make."""
        return self.with_seed(self.seed)


@dataclass(frozen=True)
class Places:
    """Where results are, and where finished ones may be taken from."""

    results: Results = DEFAULT_RESULTS
    upstream: Upstream = None

    def benchmark(self, suites: list[str], selection: Selection) -> Benchmark:
        """Return suites under a selection, at these places, once their notes are told."""
        from ssdbench.api.loading import of_selection
        from ssdbench.cli.common import tell

        found = of_selection(suites, selection, self.results, self.upstream)
        for note in found.notes:
            tell(note)
        return found


@dataclass(frozen=True)
class Machine:
    """Where stages run, and with how much."""

    device: Device = None
    engine: EngineName = "local"
    workers: Workers = None
    threads: Threads = None
    ray_address: RayAddress = None

    def options(self, **more: Unpack[RunOptions]) -> RunOptions:
        """Return them as arguments of ``Benchmark.run``, and others with them."""
        return {
            "device": self.device,
            "engine": self.engine,
            "workers": self.workers,
            "threads": self.threads,
            "ray_address": self.ray_address,
            **more,
        }


@functools.cache
def _hints_of(group: type) -> dict[str, Any]:
    return get_type_hints(group, include_extras=True)


def expanded(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb that takes the options themselves in the place of the groups among its parameters."""
    hints = get_type_hints(verb, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}

    def parameters() -> Iterator[inspect.Parameter]:
        for name, parameter in inspect.signature(verb).parameters.items():
            if name not in groups:
                yield parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name])
                continue
            inner = _hints_of(groups[name])
            for field in fields(groups[name]):
                kind = parameter.KEYWORD_ONLY
                yield inspect.Parameter(field.name, kind, default=field.default, annotation=inner[field.name])

    @functools.wraps(verb)
    def call(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        verb(**given)

    signature = inspect.Signature(list(parameters()))
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return call
