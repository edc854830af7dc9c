"""docs/metrics.md has the tables that the declarations give."""

import importlib.util
from pathlib import Path

import pytest

from ssdbench.metrics.builtin import BUILTIN
from ssdbench.metrics.metric import Metric

TOOL = Path(__file__).parents[2] / "tools/metrics_page.py"


def test_the_page_is_the_declarations() -> None:
    spec = importlib.util.spec_from_file_location("metrics_page", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tool.PAGE.read_text(encoding="utf-8")
    assert tool.written(page) == page, "run: python tools/metrics_page.py"


@pytest.mark.parametrize("metric", BUILTIN, ids=lambda one: one.name)
def test_every_metric_says_what_it_is(metric: Metric) -> None:
    """Direction and range are typed; of a metric that is better neither way, the page says so."""
    for said in ("definition", "unit", "interval", "cite", "help", "title"):
        assert getattr(metric, said), f"{metric.name} says no {said}"
