"""The modules of the package import each other without circles, inside functions too."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest
from grimp import build_graph


def test_no_module_imports_itself_through_others() -> None:
    graph = build_graph("ssdbench", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert "ssdbench.runtime.worker" in imports
    # An import inside a function is an edge as any other: the worker imports the stages' bodies when it runs.
    assert "ssdbench.stages" in imports["ssdbench.runtime.worker"]
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " <- ".join(error.args[1]))
