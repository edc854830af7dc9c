"""What docstrings and the page on architecture refer to exists."""

import re
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "harness" / "ssdbench"
REFERENCE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?(ssdbench[\w.]+)`")
FOUND = sorted(
    {name for path in PACKAGE.rglob("*.py") for name in REFERENCE.findall(path.read_text("utf-8"))}
)


@pytest.mark.parametrize("name", FOUND)
def test_a_docstring_refers_to_what_is_there(name: str) -> None:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            # A field of a dataclass without a default is no attribute of its class.
            found = getattr(found, part, None) or getattr(found, "__annotations__", {})[part]
        return
    pytest.fail(f"no module of {name}")


def test_the_architecture_names_files_that_there_are() -> None:
    root = PACKAGE.parents[1]
    text = (root / "docs/architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", text))
    assert named
    assert [name for name in sorted(named) if not ((PACKAGE / name).exists() or (root / name).exists())] == []
