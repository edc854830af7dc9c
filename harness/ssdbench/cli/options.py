"""Options that several verbs share, each defined once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Kind(StrEnum):
    """Kinds of stages."""

    TRAIN = "train"
    ENCODE = "encode"
    SAMPLE = "sample"
    REFERENCE = "reference"
    SCORE = "score"


class Engine(StrEnum):
    """Where stages run."""

    LOCAL = "local"
    RAY = "ray"


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
    Engine, typer.Option("--engine", help="Where stages run: this machine, or a Ray cluster.")
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


class TableFormat(StrEnum):
    """Formats of a single table."""

    MARKDOWN = "markdown"
    TEXT = "text"
    LATEX = "latex"


TableForm = Annotated[TableFormat, typer.Option("--format", help="How to write the table.")]

DEFAULT_RESULTS = "results"
