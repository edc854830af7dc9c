from __future__ import annotations

import pytest

from ssdbench.layouts import FIGURES
from ssdbench.report.published import PaperRow, paper_tables, sampler_family
from ssdbench.suite.schema import Named

NAMES = {
    "variant": "base",
    "sampler": "ddim",
    "resolution": 256,
    "data": "original",
    "reference": "imagenet-256",
}


def find(table: str, **names: str | int) -> PaperRow | None:
    return paper_tables()[table].find(Named.model_validate({**NAMES, **names}))


def test_all_eight_tables_are_there() -> None:
    assert list(paper_tables()) == [f"table{number}" for number in range(1, 9)]


@pytest.mark.parametrize(
    ("table", "rows", "figures"),
    # Rows, and figures printed in them; table 4 has samplers for columns, each a row, and three cells unread.
    [
        ("table1", 10, 30),
        ("table2", 22, 110),
        ("table3", 21, 105),
        ("table4", 16, 13),
        ("table5", 9, 45),
        ("table6", 4, 16),
        ("table7", 6, 12),
        ("table8", 4, 20),
    ],
)
def test_no_figure_is_lost(table: str, rows: int, figures: int) -> None:
    found = paper_tables()[table].rows
    assert len(found) == rows
    assert sum(len(row.figures) for row in found) == figures


def test_figures_keep_the_digits_that_were_printed() -> None:
    row = find("table2", model="DiT-XL/2", variant="base", sampler="ddim", nfe=50, resolution=256)
    assert row is not None
    assert [row.figures[name] for name in FIGURES] == ["238.6", "2.26", "4.29", "0.80", "0.60"]


def test_what_is_not_printed_is_absent() -> None:
    row = find("table6", model="SiT-XL/2", variant="shortcut", sampler="flow-map", nfe=4, resolution=256)
    assert row is not None
    assert dict(row.figures) == {"fid": "7.8"}


def test_ddim_is_the_ode_sampler_and_250_steps_differ_by_resolution() -> None:
    at: dict[str, str | int] = {"model": "DiT-XL/2", "variant": "base", "nfe": 250}
    ode = find("table2", **at, sampler="ddim", resolution=256)
    sde = find("table2", **at, sampler="sde", resolution=512)
    assert ode is not None
    assert sde is not None
    assert (ode.figures["fid"], sde.figures["fid"]) == ("2.14", "3.04")
    assert find("table2", **at, sampler="sde", resolution=256) is None
    assert find("table2", **at, sampler="ddim", resolution=512) is None
    assert sampler_family("DDIM") == sampler_family("ODE") != sampler_family("plms")


def test_variants_match_however_they_are_spaced() -> None:
    row = find("table5", model="DiT-XL/2", variant="pd 20-10-5+issd", sampler="ddim", nfe=5, resolution=256)
    assert row is not None
    assert row.figures["fid"] == "5.41"


def test_synthetic_data_has_its_own_rows() -> None:
    at: dict[str, str | int] = {
        "model": "DiT-XL/2",
        "variant": "issd",
        "sampler": "ddim",
        "nfe": 10,
        "resolution": 256,
    }
    figures = [
        row.figures["fid"]
        for data in ("original", "synthetic-10", "synthetic-20")
        if (row := find("table8", **at, data=data)) is not None
    ]
    assert figures == ["4.92", "5.07", "5.02"]


def test_contradictions_of_the_paper_are_kept_as_notes() -> None:
    noted = {name for name, table in paper_tables().items() if table.notes}
    assert noted == {"table1", "table2", "table4", "table6", "table7"}
