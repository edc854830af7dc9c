"""The suite of rivals: its rows cost what its headings say, by the plan."""

from __future__ import annotations

from collections import defaultdict

import pytest

from ssdbench.plan import Graph, RunCost, build, run_cost
from ssdbench.plan.device import device
from ssdbench.plan.graph import PlannedRun
from ssdbench.suite import load_suite

UNITS = {"No training": 0, "One unit of training": 1, "Four units of training": 4}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return build(load_suite("rivals"))


def costs(graph: Graph) -> list[tuple[PlannedRun, RunCost]]:
    found = []
    for planned in graph.runs:
        assert planned.target is not None, planned.reason
        cost = run_cost(graph, planned.target)
        assert cost is not None
        found.append((planned, cost))
    return found


def test_training_costs_as_much_in_all_rows_of_a_heading_within_a_tenth(graph: Graph) -> None:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for planned, cost in costs(graph):
        assert planned.run.group is not None
        found[planned.run.group][f"{planned.run.variant} {planned.run.nfe}"] = cost.training_flops
    assert set(found) == set(UNITS)
    [unit] = {one for name, one in found["One unit of training"].items() if name == "ssd 8"}
    for group, rows in found.items():
        wanted = UNITS[group] * unit
        off = {name: one / wanted if wanted else one for name, one in rows.items()}
        assert all(0.95 <= share <= 1.05 for share in off.values()) if wanted else not any(off.values()), off


def test_it_is_a_matter_of_four_hours_on_two_cores(graph: Graph) -> None:
    """At 0.05 TFLOP/s, which a core of ours sustains in training and sampling."""
    assert device("0.05").hours(node.spec for node in graph.nodes.values()) <= 4 * 2


def test_both_blocks_have_the_same_methods_and_evaluations(graph: Graph) -> None:
    found: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for planned in graph.runs:
        found[planned.run.group or ""].add((planned.run.variant, planned.run.nfe))
    assert found["One unit of training"] == found["Four units of training"]
    assert {nfe for _, nfe in found["No training"]} == {1, 2, 4, 8}


def test_every_row_has_three_seeds_and_what_is_trained_settings_that_were_searched(graph: Graph) -> None:
    seeds: dict[str, set[int]] = defaultdict(set)
    for planned in graph.runs:
        trained = planned.run.variant != "base"
        assert (planned.run.searched is not None) == trained
        seeds[planned.run.model_dump_json(exclude={"seed"})].add(planned.run.seed)
    assert all(one == {1, 2, 3} for one in seeds.values())


def test_the_profile_of_its_scale_changes_nothing() -> None:
    def told(profile: str | None) -> list[object]:
        runs = load_suite("rivals", profile=profile).runs
        return [run.model_dump(exclude={"mark", "profile", "named", "scale"}) for run in runs]

    assert told("mini") == told(None)
