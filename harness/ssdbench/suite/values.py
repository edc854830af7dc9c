"""The kinds of values that settings take, and what all objects of a suite have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ssdbench.suite.document import show


def _unwrap(schema: dict[str, Any]) -> None:
    """Put the descriptions of a model's fields on one line each: docstrings are wrapped."""
    for field in schema.get("properties", {}).values():
        if "description" in field:
            field["description"] = " ".join(field["description"].split())


class Frozen(BaseModel):
    """Base of all suite objects: immutable, no unknown keys, no silent conversions.

    The docstring below a field is its description in the JSON Schema.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
        json_schema_extra=_unwrap,
    )


class ListOr:
    """Marks a field that takes one of the words of its annotation, or a list ``of`` what ``fits``.

    Anything else is refused in one sentence, not a union's two.
    """

    def __init__(self, of: str, fits: Callable[[Sequence[Any]], bool]) -> None:
        self.of, self.fits = of, fits

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Look at the value before it is taken for one of the union's members."""
        words = [word for kind in get_args(source) if get_origin(kind) is Literal for word in get_args(kind)]

        def check(value: Any) -> Any:
            is_list = isinstance(value, (list, tuple))
            if (isinstance(value, str) and value in words) or (is_list and value and self.fits(value)):
                return listed(value)
            got = f"[{', '.join(map(show, value))}]" if is_list else show(value)
            text = f"must be {', '.join(map(repr, words))} or a list of {self.of}, not {got}"
            raise PydanticCustomError("indices", "{text}", {"text": text})

        return core_schema.no_info_before_validator_function(check, handler(source))


def _distinct(value: Sequence[Any], *kinds: type) -> bool:
    return all(type(i) in kinds and i >= 0 for i in value) and len(set(value)) == len(value)


INDICES = ListOr("distinct whole numbers", lambda value: _distinct(value, int))
TIMES = ListOr("distinct timesteps or times of the grid", lambda value: _distinct(value, int, float))
WEIGHTS = ListOr("positive numbers", lambda value: all(type(w) in (int, float) and w > 0 for w in value))


def listed(value: Any) -> Any:
    """A list as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def distinct(value: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse what is listed twice."""
    if len(set(value)) < len(value):
        raise PydanticCustomError("distinct", "must be distinct, and there are two of one")
    return value


Positive = Annotated[int, Field(ge=1, le=10**12)]
Evaluations = Annotated[int, Field(ge=0, le=10_000)]
Side = Annotated[int, Field(ge=1, le=16_384)]
Images = Annotated[int, Field(ge=1, le=10_000_000)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
RateSchedule = Literal["constant", "cosine", "linear"]
Rate = Annotated[float, Field(gt=0, le=1e30)]
Index = Annotated[int, Field(ge=0, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[
    str,
    Field(max_length=500),
    # A number or a truth value is taken as it is written: see ssdbench.suite.validate.
    WithJsonSchema({"type": ["string", "number", "boolean"], "maxLength": 500}),
]

SettingName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


def _setting(value: Any) -> Any:
    """What a method's own settings may be: a scalar or a list of scalars; lists become tuples."""
    items = value if isinstance(value, (list, tuple)) else [value]
    for item in items:
        if not isinstance(item, (bool, int, float, str)) and item is not None:
            text = f"must be a number, text, true, false, null or a list of these, not {show(item)}"
            raise PydanticCustomError("setting", "{text}", {"text": text})
        if isinstance(item, float) and not math.isfinite(item):
            raise PydanticCustomError("setting", "must be a finite number")
    return listed(value)


_SCALAR = {"type": ["number", "string", "boolean", "null"]}
SettingValue = Annotated[
    Any,
    AfterValidator(_setting),
    WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}),
]
