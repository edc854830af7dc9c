"""The shapes of the paper's tables, and of Figure 4 as one."""

from __future__ import annotations

from ssdbench.report.layouts.shape import Layout

TABLE1 = Layout(
    name="table1",
    paper="table1",
    fields=("sampler", "evaluations"),
    metrics=("is", "fid", "sfid"),
    sections="group",
    order="suite",
    compare=("sampler", "evaluations"),
    heading="Model",
)

TABLE2 = Layout(
    name="table2",
    paper="table2",
    fields=("nfe", "train"),
    sides="resolution",
    order="nfe",
)

TABLE3 = Layout(name="table3", paper="table3", fields=("nfe", "train"), sections="group", heading="Model")

TABLE4 = Layout(
    name="table4",
    paper="table4",
    fields=(),
    metrics=("fid",),
    sides="solver",
    sections="group",
    order="suite",
    compare=("named_nfe",),
    across=True,
    heading="NFE",
)

TABLE5 = Layout(name="table5", paper="table5", fields=("nfe",), order="suite", heading="Model")

TABLE6 = Layout(name="table6", paper="table6", fields=(), order="suite", heading="Model")

TABLE7 = Layout(
    name="table7",
    paper="table7",
    fields=("nfe", "train"),
    metrics=("is", "fid"),
    order="suite",
    compare=("model", "nfe"),
    heading="Model",
)

TABLE8 = Layout(name="table8", paper="table8", fields=("data",), order="suite", heading="Model")

FIGURE4 = Layout(name="figure4", fields=("nfe", "train"), sections="group", order="suite", heading="Model")
