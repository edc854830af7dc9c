"""What specifications are made of: frozen settings, and files from outside that a digest stands for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

JSON = Any  # a value that json.dumps takes
WITH_PATHS = {"paths": True}
"""The context in which sources are serialised with their paths."""


class Setting(BaseModel):
    """A part of a specification: frozen, and strict about unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Setting):
    """Something from outside the graph: files whose content the digest names. Where they lie is not identity.

    ``part`` is which set of weights is taken of a file that holds several; nothing for the only one, or for ``ema``.
    """

    digest: str
    part: str = ""
    path: str

    @model_serializer(mode="wrap")
    def _without_path(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, JSON]:
        found: dict[str, JSON] = serialize(self)
        if info.context != WITH_PATHS:
            found.pop("path", None)
        return found
