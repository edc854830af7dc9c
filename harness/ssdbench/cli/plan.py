"""``ssdbench plan``: what would run, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssdbench.cli import options

if TYPE_CHECKING:
    from ssdbench.api.plan import Plan


def plan(
    suites: list[str],
    /,
    fresh: list[options.Kind] | None = None,
    json: bool = False,
    device_profile: str | None = None,
    *,
    places: options.Places,
    chosen: options.Chosen,
) -> None:
    """Show which stages a run would execute and why, which are cached, and what it costs. Runs nothing.

    Several suites are one plan, in which a stage that they share is there once.

    [bold]Examples[/bold]

      ssdbench plan quick
      ssdbench plan suites/table2.yaml --profile mini --only variant=issd
      ssdbench plan quick --fresh train --json
      ssdbench plan table2 table5 --device-profile h100
      ssdbench plan quick --upstream s3://team/ssdbench

    Options:
        device_profile (NAME): Also estimate the hours of one device by suite: h100 (measured), a100 or rtx-4090 (half
            of their peak), a .json that benchmarks/gpu.py wrote on yours, or the TFLOP/s that it sustains.
    """
    benchmark = places.benchmark(suites, chosen.selection)
    show_plan(benchmark.plan(fresh=fresh or ()), as_json=json, device_profile=device_profile)


def show_plan(plan: Plan, *, as_json: bool, device_profile: str | None = None) -> None:
    """Print the plan to stdout, as a table or as JSON."""
    from ssdbench.api.hours import COLUMNS
    from ssdbench.api.plan import HEADINGS
    from ssdbench.cli.common import console, emit_json, print_table, tell

    lack = plan.lacking_room()
    if lack is not None:
        tell(f"{lack}; 'ssdbench run' would refuse to start")
    hours = None if device_profile is None else plan.estimate(device_profile)
    if as_json:
        told = plan.as_dict()
        if hours is not None:
            told["cost"]["device_hours"] = hours.together.hours
            told["device"] = hours.as_dict()
        emit_json(told)
        return
    lines = plan.lines()
    styles = ["bold" if status.startswith("run") else "dim" for _, _, status, _ in lines]
    print_table(plan.title, HEADINGS, lines, styles)
    out = console(stderr=False)
    for remark in plan.remarks():
        out.print(remark, markup=False, soft_wrap="`" in remark)  # commands are copied from the terminal
    if hours is not None:
        print_table(f"hours of {hours.profile}", COLUMNS, hours.lines())
        out.print(hours.remark(), markup=False)
