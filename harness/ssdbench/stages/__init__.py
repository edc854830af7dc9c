"""The five kinds of stage, each a torch-free specification and a body that is imported only when it runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ssdbench.stages.encode import EncodeSpec as EncodeSpec
from ssdbench.stages.reference import ReferenceSpec as ReferenceSpec
from ssdbench.stages.sample import SampleSpec as SampleSpec
from ssdbench.stages.score import ScoreSpec as ScoreSpec
from ssdbench.stages.spec import JSON
from ssdbench.stages.spec import Runtime as Runtime
from ssdbench.stages.spec import Source as Source
from ssdbench.stages.spec import StageSpec as StageSpec
from ssdbench.stages.train import TrainSpec as TrainSpec

SPECS: dict[str, type[StageSpec]] = {
    spec.KIND: spec for spec in (TrainSpec, EncodeSpec, SampleSpec, ReferenceSpec, ScoreSpec)
}

Body = Callable[[Any, dict[str, Path], Path, Runtime], dict[str, JSON]]


def load_spec(kind: str, data: dict[str, JSON]) -> StageSpec:
    """The specification that ``StageSpec.dump`` wrote."""
    return SPECS[kind].model_validate(data)


def body(kind: str) -> Body:
    """The function that runs a stage: from spec, input directories, output directory and runtime to facts."""
    found: Body = import_module(f"ssdbench.stages.{kind}").body
    return found
