"""Suites and profiles as authors write them: the run's schema, everything optional, and the JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, TypeAdapter, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ssdbench.layouts import PLAIN
from ssdbench.suite.names import LayoutName
from ssdbench.suite.schema import Eval, Guidance, Run
from ssdbench.suite.training import Autoencoder, Evaluations, Frozen, Images, Pretrain, Seed, Text, Train

TUPLE_KEYS = ("model", "variant", "sampler", "nfe", "resolution", "data")
SECTIONS: dict[str, type[Frozen]] = {
    "guidance": Guidance,
    "train": Train,
    "pretrain": Pretrain,
    "autoencoder": Autoencoder,
    "eval": Eval,
}
"""The keys of a run that hold a mapping of further keys."""

NULLABLE = frozenset({"pretrain", "autoencoder"})
"""Sections that a run may be without."""


def key_of(name: str, field: FieldInfo) -> str:
    """The key of a field in YAML, such as ``lambda`` for the attribute ``lambda_``."""
    return field.alias or name


def run_keys() -> Iterator[tuple[str, str, FieldInfo]]:
    """All dotted keys of a run as (section or "", key, field): ``nfe``, ``train``, ``train.lambda``, ..."""
    for name, field in Run.model_fields.items():
        yield "", name, field
        if name in SECTIONS:
            for inner, inner_field in SECTIONS[name].model_fields.items():
                yield name, f"{name}.{key_of(inner, inner_field)}", inner_field


_PATCHES: dict[Any, type[Frozen]] = {}
"""Of a section with a key that must be given: the one in which nothing must."""


def _annotation(field: FieldInfo) -> Any:
    annotation: Any = field.annotation
    if isinstance(annotation, type):
        annotation = _PATCHES.get(annotation, annotation)
    return reduce(lambda kind, constraint: Annotated[kind, constraint], field.metadata, annotation)


def _drop_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _optional_field(field: FieldInfo) -> Any:
    common: dict[str, Any] = {"alias": field.alias, "description": field.description}
    if field.default_factory is not None or field.is_required():
        # What a row leaves out comes from the suite's defaults: no value to show to editors.
        return Field(default=None, json_schema_extra=_drop_default, **common)
    return Field(default=field.default, **common)


def _optional(model: type[Frozen], name: str) -> type[Frozen]:
    given = model.model_fields.items()
    fields: dict[str, Any] = {key: (_annotation(field), _optional_field(field)) for key, field in given}
    return create_model(name, __base__=Frozen, __doc__=model.__doc__, **fields)


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise PydanticCustomError("seeds", "a seed is repeated")
    return seeds


Seeds = Annotated[list[Seed], Field(min_length=1, max_length=10_000), AfterValidator(_distinct)]

_PATCHES[Eval] = _optional(Eval, "EvalPatch")


def _by_key(name: str, doc: str, kinds: dict[str, tuple[Any, str | None]]) -> type[Frozen]:
    """A model of dotted keys, none of which must be given: of each the kind of its values, and a description."""
    fields: dict[str, Any] = {}
    for key, (kind, text) in kinds.items():
        info = Field(default=None, alias=key, description=text, json_schema_extra=_drop_default)
        fields[key.replace(".", "__")] = (kind, info)
    return create_model(name, __base__=Frozen, __doc__=doc, **fields)


def _scalars(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(item, (list, dict)) for item in values):
        raise PydanticCustomError("condition", "must be a value or a list of values")
    return value


def _condition(field: FieldInfo) -> Any:
    """A value or a list of values; of a key that holds text, texts, so that 1.10 meets what a row says as 1.10."""
    if not holds(field.annotation, str):
        return Annotated[Any, AfterValidator(_scalars)]
    text = Annotated[str | None, Tag("text")]
    texts = Annotated[list[str | None], Field(min_length=1), Tag("texts")]
    which = Discriminator(lambda value: "texts" if isinstance(value, list) else "text")
    return Annotated[text | texts, which]


def holds(annotation: Any, kind: type) -> bool:
    """Whether values of ``kind`` are among those that a field takes."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return any(holds(one, kind) for one in get_args(annotation))
    return annotation is kind


if TYPE_CHECKING:
    _RunPatch = Frozen
    Matrix = Frozen
    Condition = Frozen
else:
    _RunPatch = _optional(Run, "RunPatch")
    Matrix = _by_key(
        "Matrix",
        "Lists of values: one run for every combination of them, the first key slowest.",
        {
            key: (
                Annotated[list[_annotation(field)], Field(min_length=1)],
                f"Values of {key}. {field.description or ''}".strip(),
            )
            for _, key, field in run_keys()
        },
    )
    Condition = _by_key(
        "Condition",
        "Settings that a run must have; a list is any of its values, * and ? match as in file names.",
        {key: (_condition(field), field.description) for _, key, field in run_keys() if key not in SECTIONS},
    )


class Patch(_RunPatch):
    """Any part of a run: what defaults, rows, profiles and overrides give."""

    seeds: Seeds | None = None
    """Seeds to repeat the run with; instead of the suite's."""


class Row(Patch):
    """One run, or with `matrix` many."""

    matrix: Matrix | None = None
    """Lists of values: one run for every combination of them, the first key slowest."""


def _row_form(value: Any) -> str | None:
    if isinstance(value, (dict, BaseModel)):
        return "mapping"
    return "tuple" if isinstance(value, (list, tuple)) and len(value) == len(TUPLE_KEYS) else None


if TYPE_CHECKING:
    AnyRow = Row | tuple[str, str, str, int, int, str]
else:
    AnyRow = Annotated[
        Annotated[Row, Tag("mapping")]
        | Annotated[
            tuple[tuple(_annotation(Run.model_fields[key]) for key in TUPLE_KEYS)],
            Field(strict=False, description="[model, variant, sampler, nfe, resolution, data]"),
            Tag("tuple"),
        ],
        Discriminator(
            _row_form,
            custom_error_type="row",
            custom_error_message=f"a run must be a mapping or [{', '.join(TUPLE_KEYS)}]",
        ),
    ]


class SuiteFile(Frozen):
    """A suite: which runs make up a table."""

    suite: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """Short name of the suite: letters, digits, '.', '_' and '-'."""
    title: Text | None = None
    """Heading of its table."""
    description: Annotated[str, Field(max_length=4000)] | None = None
    """What it is for."""
    layout: LayoutName = PLAIN.name
    """Shape of its table: a known name or package.module:NAME."""
    profile: str | None = None
    """Profile to use where the command line names none."""
    defaults: Patch | None = None
    """Settings that all runs share unless they say otherwise."""
    seeds: Seeds = Field(default=[0])
    """Seeds to repeat every run with."""
    runs: Annotated[list[AnyRow], Field(min_length=1)]
    """The runs, in the table's order."""


class Limits(Frozen):
    """Upper bounds that hold whatever a suite asks for."""

    samples: Annotated[int, Field(ge=2)] | None = None
    """Largest number of samples of a run."""
    images: Annotated[Images, Field(ge=2)] | None = None
    """Largest number of images that a run takes of a data set."""


class Rule(Frozen):
    """Settings for some of the runs; the conditions are matched on names as the profile has mapped them."""

    when: Condition
    """Which runs, by their names after mapping."""
    set: Patch | None = None
    """Settings for them."""
    limits: Limits | None = None
    """Upper bounds for them."""


class ProfileFile(Frozen):
    """A profile: how names and settings of one scale read at another."""

    profile: str
    """Name of the profile: that of its file."""
    description: str = ""
    """What it is for."""
    extends: str | None = None
    """A profile that this one adds to."""
    models: dict[str, str] = Field(default_factory=dict)
    """Model names and what they become."""
    resolutions: dict[int, int] = Field(default_factory=dict)
    """Resolutions and what they become."""
    data: dict[str, str] = Field(default_factory=dict)
    """Data names and what they become."""
    references: dict[str, str] = Field(default_factory=dict)
    """Reference names and what they become."""
    networks: dict[str, str] = Field(default_factory=dict)
    """Feature networks and what they become."""
    samplers: dict[str, str] = Field(default_factory=dict)
    """Samplers and what they become."""
    nfe: dict[Evaluations, Evaluations] = Field(default_factory=dict)
    """Numbers of evaluations and what stands for them, for runs whose model stands for another."""
    override: Patch | None = None
    """Settings of every run, over the suite's own."""
    rules: Annotated[list[Rule], Field(max_length=1000)] = Field(default_factory=list)
    """Settings of some runs, in order, over `override`."""
    limits: Limits | None = None
    """Upper bounds for every run."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a suite file as it is written, for editors."""
    schema = TypeAdapter(SuiteFile).json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "ssdbench suite"}
