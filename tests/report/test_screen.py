"""Tables on a terminal: whatever its width nothing is cut, and every value stands beside its row's name."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ssdbench.layouts import LAYOUTS
from ssdbench.report.build import build
from ssdbench.report.rows import Reason, Result, gather
from ssdbench.report.screen import to_screen
from ssdbench.report.table import Table
from tests.report.make import make_record, make_run

METRICS = {"fd": 90.0, "sfd": 30.0, "is": 4.0, "precision": 0.7, "recall": 0.4}


def measured(variant: str, seeds: int = 2, **more: object) -> list[Result]:
    runs = [make_run(variant, seed=seed, **more) for seed in range(seeds)]  # type: ignore[arg-type]
    return [Result(run, make_record(run, **METRICS | {"fd": 90.0 + run.seed})) for run in runs]


def sided() -> Table:
    results = [
        one
        for side in (256, 512)
        for nfe in (20, 10)
        for variant in ("base", "ssd", "issd")
        for one in measured(variant, nfe=nfe, named={"resolution": side, "nfe": 2 * nfe})
    ]
    results.append(Result(make_run("continual"), reason=Reason("failed", "the loss is not finite")))
    return build(gather(results), LAYOUTS["table2"], name="small", title="A small table of two sides")


def lines(table: Table, width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(to_screen(table, width))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200, 400])
def test_nothing_is_cut_and_nothing_is_wider_than_the_terminal(width: int) -> None:
    table = sided()
    shown = lines(table, width)
    assert max(map(len, shown)) <= width
    text = "\n".join(shown)
    assert "…" not in text
    for section in table.sections:
        for line in section.lines:
            for cell in line[1:]:
                assert all(word in text for word in cell.text.replace(" ± ", "±").split())
    words = " ".join(shown).split()
    for note in (*table.notes, *table.footnotes):
        assert all(word in words for word in note.split())


def test_one_table_a_side_where_both_do_not_fit_and_one_where_they_do() -> None:
    narrow, wide = lines(sided(), 100), lines(sided(), 300)
    assert [line for line in narrow if line.startswith(("256x256", "512x512"))] == [
        "256x256 (mini: 32)",
        "512x512 (mini: 32)",
        # "32x32" has a row without a result
    ]
    assert sum("Method" in line for line in wide) == 1


def test_headers_are_short_and_a_note_names_the_network() -> None:
    shown = lines(build(gather(measured("base")), LAYOUTS["plain"], name="a", title="A"), 120)
    assert any(line.split()[-10:-4] == ["IS", "↑", "FD", "↓", "sFD", "↓"] for line in shown)
    assert any(line.split() == ["-", "IS,", "FD,", "sFD:", "of", "effnet-lite0."] for line in shown)


def test_two_networks_keep_their_names() -> None:
    run = make_run("issd", eval={"network": "inception"})
    record = make_record(run, fid=5.0, sfid=6.0, **{"is": 9.0}, precision=0.1, recall=0.2)
    table = build(gather([*measured("base"), Result(run, record)]), LAYOUTS["plain"], name="a", title="A")
    text = "\n".join(lines(table, 300))
    assert "IS(effnet-lite0) ↑" in text
    assert "IS(inception) ↑" in text


def test_a_grid_that_goes_on_names_what_tells_its_rows_apart() -> None:
    several = [one for nfe in (20, 10) for one in measured("base", nfe=nfe)]
    shown = lines(build(gather(several), LAYOUTS["table2"], name="a", title="A"), 50)
    heads = [line for line in shown if line.startswith("Method")]
    assert len(heads) > 1
    assert all("NFE" in head for head in heads)


def test_a_grid_that_goes_on_repeats_no_column_that_tells_nothing() -> None:
    several = [
        one
        for nfe in (20, 10)
        for sampler in ("ddim", "ab2")
        for one in measured("base", nfe=nfe, sampler=sampler)
    ]
    shown = lines(build(gather(several), LAYOUTS["rivals"], name="a", title="A"), 60)
    first, *others = [line for line in shown if "NFE" in line]
    assert "Sampler" in first
    assert {"Passes", "Training"} <= set(" ".join(shown).split())  # words of headers are not broken
    assert [line.split()[:2] for line in others] == 2 * [
        ["Method", "NFE"]
    ]  # the method's name tells the sampler


def test_marks_stand_at_the_name_in_order() -> None:
    for line in lines(sided(), 90):
        name = line.split("  ")[0]
        if "[" in line and line.startswith(("+", "DiT")):
            assert name.endswith("]")
            numbers = [int(number) for number in name[name.index("[") + 1 : -1].split(",")]
            assert numbers == sorted(numbers)
