"""Groups of options: a verb that takes them has the options themselves, each once, with the same help everywhere."""

from __future__ import annotations

import inspect
from typing import Annotated

import pytest
import typer

from ssdbench.cli import options
from ssdbench.cli.app import app
from ssdbench.cli.options import expanded


def test_a_group_becomes_its_options_and_comes_back_as_itself() -> None:
    seen: list[object] = []

    def verb(
        name: Annotated[str, typer.Argument()],
        loud: bool = False,
        *,
        chosen: options.Chosen,
        machine: options.Machine,
    ) -> None:
        """Say it."""
        seen.append((name, loud, chosen, machine))

    made = expanded(verb)
    parameters = inspect.signature(made).parameters
    assert list(parameters)[:4] == ["name", "loud", "profile", "only"]
    assert parameters["engine"].default == "local"
    assert made.__doc__ == "Say it."
    given = {name: one.default for name, one in parameters.items() if name != "name"}
    made(**given | {"name": "x", "seed": 3, "threads": 2})
    assert seen == [("x", False, options.Chosen(seed=3), options.Machine(threads=2))]


@pytest.mark.parametrize("option", ["--profile", "--only", "--set", "--device", "--threads", "--upstream"])
def test_an_option_says_the_same_of_itself_in_every_verb(option: str) -> None:
    group = typer.main.get_command(app)
    told = {
        parameter.help  # type: ignore[attr-defined]
        for verb in group.commands.values()  # type: ignore[attr-defined]
        for parameter in verb.params
        if option in parameter.opts
    }
    assert len(told) == 1
