"""What specifications are made of: frozen settings, and files from outside that a digest stands for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

JSON = Any  # a value that json.dumps takes


class Setting(BaseModel):
    """A part of a specification: frozen, and strict about unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Setting):
    """Something from outside the graph: files whose content the digest names. Where they lie is not identity.

    ``part`` is which set of weights is taken of a file that holds several; nothing for the only one, or for ``ema``.
    """

    digest: str
    part: str = ""
    path: str = Field(exclude=True)
