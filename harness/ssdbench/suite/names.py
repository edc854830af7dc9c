"""Field types that hold names: known ones are offered and suggested, a user's own are checked for form."""

from __future__ import annotations

import os
import re
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ssdbench.data.labels import BALANCED, RANDOM
from ssdbench.data.labels import FILES as LABEL_FILES
from ssdbench.errors import InputError
from ssdbench.methods import METHODS
from ssdbench.metrics.catalog import METRICS, UNDER, askable
from ssdbench.metrics.reference_set import THROUGH, is_through
from ssdbench.models.described_dit import PATTERN as DESCRIBED
from ssdbench.own import PATTERN as OWN_PATTERN
from ssdbench.samplers.grids import is_listed, read_list
from ssdbench.samplers.grids import listed as listed_grid
from ssdbench.suite import catalog
from ssdbench.suite.document import INVALID, did_you_mean
from ssdbench.suite.training import Frozen
from ssdbench.suite.variant import VARIANT_PATTERN, canonical_variant, parse_variant

SYNTHETIC_PATTERN = r"^synthetic-([1-9][0-9]{0,3})$"
FILE_PATTERN = r"^.*(/.*|\.npz)$"
FOLDER_PATTERN = r"^.*/.*$"
_OWN = OWN_PATTERN.strip("^$")
_ASKED = [metric for metric in METRICS.values() if not metric.setting and metric.network is None]
METRIC_PATTERN = (
    rf"^({'|'.join(key for metric in _ASKED for key in metric.keys)}|{_OWN})"
    rf"({UNDER}({'|'.join(catalog.NETWORKS)}|{_OWN}))?$"
)


def synthetic_steps(name: str) -> int | None:
    """N of the data source ``synthetic-N``, images that the base model made in N steps; None for any other name."""
    match = re.fullmatch(SYNTHETIC_PATTERN, name)  # of four digits at most: no grid has more than 1,000 steps
    return int(match[1]) if match else None


class Known:
    """Marks a text field as a name out of a catalog, or of the form of one of ``patterns``.

    A name is looked up only when the validation's context says ``{"catalog": True}``, so that what an older
    version resolved can still be read. ``lists`` is the JSON Schema of lists that are taken too, and are texts by then.
    """

    def __init__(
        self, kind: str, names: Collection[str], *patterns: str, lists: JsonSchemaValue | None = None
    ) -> None:
        self.kind, self.names, self.patterns, self.lists = kind, names, patterns, lists

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Look the name up after it was found to be text."""
        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """List the known names for editors."""
        known: JsonSchemaValue = {"enum": list(self.names), "type": "string"}
        if not self.patterns:
            return known
        forms: list[JsonSchemaValue] = [{"type": "string", "pattern": pattern} for pattern in self.patterns]
        return {"anyOf": [known, *forms, *([self.lists] if self.lists else [])]}

    def _check(self, value: str, info: ValidationInfo) -> str:
        if not (info.context or {}).get("catalog"):
            return value
        if value in self.names or any(re.fullmatch(pattern, value) for pattern in self.patterns):
            return value
        text = f"unknown {self.kind} {value!r}{did_you_mean(value, list(self.names))}"
        raise PydanticCustomError("unknown_name", "{text}", {"text": text})


DATA_NAMES = ChainMap(cast(dict[str, Any], catalog.DATASETS), {"original": None})
"""What ``data`` may name besides patterns: ``original`` and the data sets, those of installed packages too."""


def _found(find: Callable[[str], object], spelt: Callable[[str], str] = str) -> AfterValidator:
    """Look a name up with a function that says why one of the user's own cannot be had; spell it in one way."""

    def look_up(name: str, info: ValidationInfo) -> str:
        try:
            if (info.context or {}).get("catalog"):
                find(name)
            return spelt(name)
        except (ValueError, InputError) as error:
            raise PydanticCustomError("name", "{text}", {"text": f"{error}"}) from None

    return AfterValidator(look_up)


def folder_text(value: Any) -> Any:
    """The name of a folder that is there as a path, with a ``/``; what else has a meaning goes before."""
    if not isinstance(value, str) or not value or re.search(r"[/:\0]", value) or synthetic_steps(value):
        return value
    known = value in DATA_NAMES or value in catalog.REFERENCES
    # os.path's say no of a name that is too long or of an unknown user's home, where Path's raise.
    there = os.path.isdir(os.path.expanduser(value))  # noqa: PTH111, PTH112
    return f"{value}/" if there and not known else value


_Name = Annotated[str, Field(max_length=500)]

ModelName = Annotated[
    _Name,
    Known("model", catalog.MODELS, OWN_PATTERN, DESCRIBED),
    _found(lambda name: re.match(DESCRIBED, name) and catalog.MODELS.find(name)),
]
SamplerName = Annotated[_Name, Known("sampler", catalog.SAMPLERS, OWN_PATTERN)]
DataName = Annotated[
    _Name,
    Known("data", DATA_NAMES, SYNTHETIC_PATTERN, OWN_PATTERN, FOLDER_PATTERN),
    BeforeValidator(folder_text),
]


def grid_text(value: Any) -> Any:
    """The one text by which a run knows listed timesteps; anything else, and what is INVALID in it, as it is."""
    if isinstance(value, str) and is_listed(value):
        value = read_list(value)
    if not isinstance(value, list | tuple):
        return value
    return INVALID if any(item is INVALID for item in value) else listed_grid(value)


def _grid_text(value: Any) -> Any:
    try:
        return grid_text(value)
    except InputError as error:
        raise PydanticCustomError("name", "{text}", {"text": f"{error}"}) from None


_NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 1}
GridName = Annotated[
    str,
    Field(max_length=10_000),
    Known("grid", catalog.GRIDS, OWN_PATTERN, r"^[0-9][0-9., e-]*$", lists=_NUMBERS),
    BeforeValidator(_grid_text),
]
_OF_LABELS = rf"^.*({'|'.join(map(re.escape, LABEL_FILES))})$"
LabelsName = Annotated[_Name, Known("labels", (RANDOM, BALANCED), _OF_LABELS)]
NetworkName = Annotated[_Name, Known("network", catalog.NETWORKS, OWN_PATTERN)]
MetricName = Annotated[_Name, Known("metric", askable(), METRIC_PATTERN)]

_PlainReference = Annotated[
    _Name,
    Known("reference", catalog.REFERENCES, OWN_PATTERN, FILE_PATTERN),
    BeforeValidator(folder_text),
]


class ReferenceThrough(Frozen):
    """A reference whose images are passed through the model's autoencoder once: encoded to the mean, and decoded."""

    of: _PlainReference
    """The reference: a known name, an .npz file or a folder."""
    through: Literal["autoencoder"]
    """The run's model's autoencoder."""


def reference_text(value: Any) -> Any:
    """The one text by which a run knows its reference; anything else, and what is INVALID in it, as it is."""
    if not isinstance(value, Mapping):
        return folder_text(value)
    of = folder_text(value.get("of", INVALID))
    return INVALID if INVALID in (of, value.get("through")) else f"{of}{THROUGH}"


def _of_text(value: Any) -> Any:
    """What a run knows as a text, as a suite writes it."""
    if isinstance(value, str) and is_through(value):
        return {"of": value.removesuffix(THROUGH), "through": "autoencoder"}
    return value


if TYPE_CHECKING:
    ReferenceName = str
else:
    ReferenceName = Annotated[
        Annotated[_PlainReference, Tag("name")] | Annotated[ReferenceThrough, Tag("mapping")],
        Discriminator(lambda value: "mapping" if isinstance(value, (dict, BaseModel)) else "name"),
        BeforeValidator(_of_text),
        AfterValidator(lambda found: found if isinstance(found, str) else f"{found.of}{THROUGH}"),
    ]
LayoutName = Annotated[_Name, Known("layout", catalog.LAYOUTS, OWN_PATTERN), _found(catalog.LAYOUTS.find)]
_WHOLE = [name for name, method in METHODS.builtin.items() if not method.halves]
VariantText = Annotated[
    _Name,
    _found(lambda text: [METHODS.find(step.kind) for step in parse_variant(text)], canonical_variant),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "enum": _WHOLE}, {"type": "string", "pattern": VARIANT_PATTERN}]}
    ),
]
