"""``train.settings``: what methods have of settings of their own, checked by the classes that they declare."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from ssdbench.methods.method import SETTINGS
from ssdbench.suite.layers import Values
from ssdbench.suite.problems import INVALID, describe, did_you_mean
from ssdbench.suite.variant import Variant


def problems_of_settings(variant: Variant, values: Values) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings that a row gives its methods: the key and the text.

    A row whose methods have none heeds none, as a base row heeds no ``train.lambda``.
    """
    methods = {method.name: method for method in variant.methods if method.settings is not None}
    prefix = f"{SETTINGS}."
    given = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    if not methods or INVALID in (values.get(SETTINGS), *given.values()):
        return
    known = [name for method in methods.values() if method.settings for name in method.settings.model_fields]
    for name in given:
        if name not in known:
            yield prefix + name, f"unknown setting of {str(variant)!r}{did_you_mean(name, known)}"
    for method in methods.values():
        try:
            method.read_settings(given)
        except ValidationError as failure:
            for error in failure.errors(include_url=False):
                place = ".".join(map(str, error["loc"]))
                yield prefix + place if place else SETTINGS, describe(error)
