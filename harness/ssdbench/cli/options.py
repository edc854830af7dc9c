"""A verb's options, from its signature and its docstring; those that several verbs share, and their groups."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from annotated_types import Ge
from typer.models import ParameterInfo

from ssdbench.cli.completion import completing

if TYPE_CHECKING:
    from typing import Unpack

    from ssdbench.api.benchmark import Benchmark, RunOptions
    from ssdbench.api.selection import Selection


DEFAULT_RESULTS = "results"

Count = Annotated[int, Ge(1)]
SomeCount = Annotated[int | None, Ge(1)]
AtLeastTwo = Annotated[int | None, Ge(2)]
SeedNumber = Annotated[int | None, Ge(0)]
Kind = StrEnum("Kind", "TRAIN ENCODE SAMPLE REFERENCE SCORE")
TableForm = Literal["markdown", "text", "latex"]
Precision = Literal["float32", "float16", "bfloat16"]


class Shared:
    """What verbs take one by one.

    Options:
        suite (SUITE): A suite's file, or the name of one that comes with ssdbench.
        suites (SUITE): Suites' files, or names of those that come with ssdbench.
        results (DIR|URL): Where artifacts and records are: a directory, or a URL such as s3://bucket/prefix.
        upstream (DIR|URL): A store that finished artifacts are taken from where --results lacks them; it is only read.
        fresh: Redo the stages of this kind that the rows need, cached or not. Repeatable.
        device: cpu, cuda, cuda:N or mps; by default cuda if there is one, else cpu.
        gpus_per_stage (N): GPUs that one training takes together.
        output (FILE): Write here instead of to stdout.
        form: How to write the table; by default as the name of FILE ends, fitted to a terminal, or markdown.
        json: Print JSON to stdout.
    """


@dataclass(frozen=True)
class Rows:
    """Which rows, and with what settings, whatever the seed.

    Options:
        profile (NAME): Remap the suite to another scale: mini, smoke.
        only (FIELD=VALUE,...): Only these rows, such as 'variant=issd,nfe=10'. Repeated, all conditions hold.
        set (FIELD=VALUE): Change every row, such as train.steps=50. Repeatable.
        limit (N): At most N samples a row.
    """

    profile: str | None = None
    only: list[str] | None = None
    set: list[str] | None = None
    limit: AtLeastTwo = None

    def with_seed(self, seed: int | None) -> Selection:
        """Return the selection that the options make with a seed."""
        from ssdbench.api.selection import Selection

        return Selection.of(self.profile, self.only, self.set, self.limit, seed)


@dataclass(frozen=True)
class Chosen(Rows):
    """Which rows, and with what settings.

    Options:
        seed: This seed instead of the suite's.
    """

    seed: SeedNumber = None

    @property
    def selection(self) -> Selection:
        """The selection that the options make."""
        return self.with_seed(self.seed)


@dataclass(frozen=True)
class Places:
    """Where results are, and where finished ones may be taken from."""

    results: str = DEFAULT_RESULTS
    upstream: str | None = None

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
    """Where stages run, and with how much.

    Options:
        engine: Where stages run: this machine, or a Ray cluster.
        workers (N): Stages at a time; by default by cores, or one for each GPU.
        threads (N): CPU threads a stage; equal ones give equal bits.
        ray_address (HOST:PORT): Head of the Ray cluster, or local to start one on this machine; by default
            RAY_ADDRESS, or the cluster that this machine is part of.
    """

    device: str | None = None
    engine: Literal["local", "ray"] = "local"
    workers: SomeCount = None
    threads: SomeCount = None
    ray_address: str | None = None

    def options(self, **more: Unpack[RunOptions]) -> RunOptions:
        """Return them as arguments of ``Benchmark.run``, and others with them."""
        return {**vars(self), **more}  # type: ignore[typeddict-item]  # the names are the same


_CALLED = {"form": ["--format"], "origin": ["--from"], "output": ["-o", "--output"]}
_VARIABLES = {"results": "SSDBENCH_RESULTS", "upstream": "SSDBENCH_UPSTREAM"}
_DESCRIBED = re.compile(r"^    (\w+)(?: \((.+)\))?: ", re.MULTILINE)


def split_doc(thing: object) -> tuple[str, dict[str, tuple[str | None, str]]]:
    """A docstring without its section ``Options``, and each of these: what stands for its value, and its text."""
    text, _, listed = (inspect.getdoc(thing) or "").partition("\n\nOptions:\n")
    _, *parts = _DESCRIBED.split(listed)
    texts = [" ".join(part.split()) for part in parts[2::3]]
    return text, dict(zip(parts[::3], zip(parts[1::3], texts, strict=True), strict=True))


def _parameters(thing: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """The parameters of a verb, or of a group of options, as typer takes them.

    One that is positional only is an argument, all others are options. Its docstring describes them, or that of what
    verbs share.
    """
    hints = get_type_hints(thing, include_extras=True)
    told: dict[str, tuple[str | None, str]] = {}
    for owner in (Shared, *(reversed(thing.__mro__) if isinstance(thing, type) else [thing])):
        told |= split_doc(owner)[1]
    for name, parameter in inspect.signature(thing).parameters.items():
        kind, *extra = get_args(hints[name]) if get_origin(hints[name]) is Annotated else (hints[name],)
        if isinstance(kind, type) and is_dataclass(kind):
            yield from _parameters(kind)
            continue
        if not any(isinstance(one, ParameterInfo) for one in extra):
            metavar, text = told.get(name, (None, None))
            least: Any = next((one.ge for one in extra if isinstance(one, Ge)), None)
            on = f"--{name.replace('_', '-')}"
            flags = _CALLED.get(name) or [f"{on}/--no-{on[2:]}" if parameter.default is True else on]
            if parameter.kind is parameter.POSITIONAL_ONLY:
                extra = [typer.Argument(metavar=metavar, help=text, autocompletion=completing(name))]
            else:
                variable = _VARIABLES.get(name)
                given: dict[str, Any] = {"metavar": metavar, "envvar": variable, "help": text, "min": least}
                extra = [typer.Option(*flags, autocompletion=completing(name), **given)]
        yield parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=Annotated[kind, *extra])


def expanded(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb as typer takes it, with the options themselves in the place of the groups among its parameters."""
    hints = get_type_hints(verb)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    own = inspect.signature(verb).parameters.values()
    first = [parameter.name for parameter in own if parameter.kind is parameter.POSITIONAL_ONLY]

    @functools.wraps(verb)
    def call(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        arguments = [given.pop(name) for name in first]
        verb(*arguments, **given)

    signature = inspect.Signature(list(_parameters(verb)))
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return call
