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


SuiteName = Annotated[
    str, typer.Argument(metavar="SUITE", help="A suite's file, or the name of one that comes with ssdbench.")
]
SuiteNames = Annotated[
    list[str],
    typer.Argument(metavar="SUITE", help="Suites' files, or names of those that come with ssdbench."),
]
Results = Annotated[
    Path,
    typer.Option("--results", envvar="SSDBENCH_RESULTS", help="Directory of artifacts and records."),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Remap the suite to another scale: mini, smoke."),
]
Only = Annotated[
    str | None,
    typer.Option("--only", metavar="FIELD=VALUE,...", help="Only these rows, such as 'variant=issd,nfe=10'."),
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
    int | None, typer.Option("--workers", min=1, metavar="N", help="Stages at a time; by default by cores.")
]
GpusPerStage = Annotated[
    int, typer.Option("--gpus-per-stage", min=1, metavar="N", help="GPUs that one training takes together.")
]
EngineName = Annotated[Engine, typer.Option("--engine", help="Where stages run.")]

DEFAULT_RESULTS = Path("results")
