"""The page, in a real browser, and what it is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import ssdbench.report.page as page_module
from ssdbench.report.document import Show, SuiteReport, render
from ssdbench.report.rows import Reason, Result
from ssdbench.store import Store
from tests.report.browser import opened, why_not
from tests.report.make import make_record, make_run

WITH_BROWSER = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000 1f15c4890000000d49444154789c6360000002000001"
    "e221bc330000000049454e44ae426082".replace(" ", "")
)


def paper(variant: str, nfe: int, fid: float, seed: int = 0, **more: Any) -> Result:
    run = make_run(
        variant,
        model="DiT-XL/2",
        resolution=256,
        nfe=nfe,
        scale="paper",
        seed=seed,
        eval={"network": "inception", "samples": 50_000},
        **more,
    )
    return Result(run, make_record(run, fid=fid, sfid=float("nan"), **{"is": 100.0}))


@pytest.fixture
def report() -> SuiteReport:
    results = [paper(v, n, f) for v, n, f in (("base", 10, 12.5), ("issd", 10, 5.25), ("base", 20, 3.5))]
    results += [paper("issd", 20, 2.75), paper("issd", 20, 2.25, seed=1)]
    results.append(Result(make_run("ssd", label="</script><b>x</b>"), reason=Reason("not run")))
    return SuiteReport("table2", "Two & <three>", "table2", tuple(results))


@pytest.fixture
def page(report: SuiteReport, tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(render([report], "html"), encoding="utf-8")
    return path


def data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found.group(1))
    return content


def test_it_names_no_host_and_a_name_cannot_end_its_script(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert text.count("</script>") == 2
    assert data(text)["suites"][0]["title"].startswith("Two & <three>")


def test_every_number_has_its_records_and_a_curve_its_published_points(report: SuiteReport) -> None:
    content = data(render([report], "html"))
    suite = content["suites"][0]
    cells = [cell for section in suite["table"]["sections"] for line in section["lines"] for cell in line]
    keys = {key for cell in cells for key in cell.get("keys", [])}
    assert keys == content["records"].keys()
    assert sum(len(cell.get("keys", [])) == 2 for cell in cells) > 3  # the row of two seeds
    (fid,) = (metric for metric in suite["charts"][0]["metrics"] if metric["name"] == "fid")
    curves = {curve["name"]: curve for curve in fid["series"]}
    assert curves["iSSD"]["points"] == [[10, 5.25, None], [20, 2.5, pytest.approx(0.5**0.5 / 2)]]
    assert curves["iSSD (paper)"]["points"] == [[10, 4.92, None], [20, 2.67, None]]
    assert curves["iSSD (paper)"]["published"]
    assert "paper" not in json.dumps(data(render([report], "html", Show(paper=False)))["suites"][0]["charts"])


def test_pictures_and_losses_come_from_the_results(tmp_path: Path) -> None:
    run = make_run("issd")
    store = Store(tmp_path)
    record = make_record(run, fd=1.0, thumbnail="x.png")
    store.records_dir.mkdir(parents=True)
    (store.records_dir / "x.png").write_bytes(PNG)
    report = SuiteReport("quick", "Quick", "plain", (Result(run, record),))
    (sample,) = data(render([report], "html", results=tmp_path))["suites"][0]["samples"]
    assert sample["source"].startswith("data:image/png;base64,iVBOR")
    assert data(render([report], "html"))["suites"][0]["samples"] == []


def test_a_chart_says_fid_of_the_fid_network_alone(report: SuiteReport) -> None:
    runs = [make_run(variant, nfe=nfe) for variant in ("base", "issd") for nfe in (5, 10)]
    results = tuple(Result(run, make_record(run, fd=5.0 + run.nfe, precision=0.5)) for run in runs)
    other = SuiteReport("mine", "Mine", "plain", results)
    content = data(render([report, other], "html"))
    names = [[metric["name"] for metric in suite["charts"][0]["metrics"]] for suite in content["suites"]]
    assert "fid" in names[0]
    assert names[1] == ["fd", "precision"]
    switch = {tuple(one["names"]): one["headers"] for one in content["drawn"]}
    assert switch["fid", "fd"] == ["FID ↓", "FD(effnet-lite0) ↓"]  # one choice, whatever the network
    assert '"fid"' not in json.dumps(data(render([other], "html"))["drawn"])


def test_claims_whose_rows_are_there_have_a_section(
    report: SuiteReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "claims.yaml"
    file.write_text(
        "claims:\n"
        "  - {claim: a, text: iSSD is better, family: f, expect: lower, run: x,\n"
        "     tests: [{at: 10 NFE, left: {variant: issd, nfe: 10}, right: {variant: base, nfe: 10}}]}\n"
        "  - {claim: b, text: PD is better, family: f, expect: lower, run: x,\n"
        "     tests: [{left: {variant: pd 20-10}, right: {variant: base, nfe: 10}}]}\n"
    )
    monkeypatch.setattr(page_module, "find_claims", lambda: file)
    claims = data(render([report], "html"))["claims"]
    assert [section["title"] for section in claims["sections"]] == ["iSSD is better: open. FID ↓"]
    assert [cell.get("text") for cell in claims["sections"][0]["lines"][0]][:5] == [
        "10 NFE",
        "1",
        "5.2",
        "12.5",
        "-7.2",
    ]
    assert data(render([SuiteReport("x", "X", "plain", ())], "html"))["claims"] is None


def test_settings_of_training_are_told_of_rows_that_train_alone(report: SuiteReport) -> None:
    shown = [one["yaml"] for one in data(render([report], "html"))["records"].values()]
    assert {"variant: base" in text: "train:" in text for text in shown} == {True: False, False: True}


@WITH_BROWSER
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_cell_opens_its_provenance(page: Path, width: int, scheme: str) -> None:
    with opened(page, viewport={"width": width, "height": 800}, color_scheme=scheme) as (
        tab,
        complaints,
        asked,
    ):
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        cell = tab.get_by_role("button", name=re.compile(r"^2\.50 ± 0\.35"))
        cell.click()
        dialog = tab.get_by_role("dialog")
        assert "variant: issd" in dialog.locator("pre").inner_text()
        assert "2.75" in dialog.inner_text()
        tab.get_by_label("Seed").select_option(index=1)
        assert "2.25" in dialog.inner_text()
        tab.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert cell.evaluate("node => node === document.activeElement")
        cell.press("ArrowUp")  # the cell above, by the keyboard alone
        tab.keyboard.press("Enter")
        assert "variant: base" in dialog.locator("pre").inner_text()
        assert complaints == []
        assert asked == [page.as_uri()]


@WITH_BROWSER
@pytest.mark.slow
def test_headings_sort_and_the_filter_filters(page: Path) -> None:
    with opened(page) as (tab, complaints, _):
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "To the tables"
        table = tab.get_by_role("table").first
        headings = table.locator("thead tr:last-child th").all_inner_texts()
        column = next(i for i, text in enumerate(headings) if text.startswith("FID"))

        def figures() -> list[str]:
            cells = table.locator(f"tbody tr:not([hidden]) td:nth-child({column + 1})").all_inner_texts()
            return [found.group() for text in cells if (found := re.match(r"[\d.]+", text))]

        first = figures()
        heading = table.get_by_role("button", name=re.compile("^FID")).first
        heading.click()
        assert figures() == ["2.50", "3.50", "5.25", "12.50"]  # as numbers, not as words
        heading.press("Enter")
        assert figures() == ["12.50", "5.25", "3.50", "2.50"]
        heading.click()
        assert figures() == first
        tab.get_by_role("searchbox").fill("issd 5.25")
        assert figures() == ["5.25"]
        assert re.fullmatch(r"\d+ of \d+ rows", tab.get_by_role("status").inner_text())
        tab.get_by_role("searchbox").fill("nothing is called so")
        assert tab.get_by_role("status").inner_text() == "no row matches"
        assert tab.get_by_text("No row of this table matches the filter.").first.is_visible()
        tab.get_by_role("searchbox").fill("")
        assert figures() == first
        assert not tab.get_by_text("No row of this table matches the filter.").first.is_visible()
        assert complaints == []


@WITH_BROWSER
@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_a_jump_leaves_the_heading_below_the_bar(report: SuiteReport, tmp_path: Path, width: int) -> None:
    path = tmp_path / "page.html"
    many = [SuiteReport(f"suite{i}", f"Title {i}", report.layout, report.results) for i in range(4)]
    path.write_text(render(many, "html"), encoding="utf-8")
    with opened(path, viewport={"width": width, "height": 500}) as (tab, complaints, _):
        tab.get_by_role("link", name="suite2").click()
        tab.wait_for_timeout(200)
        bar = tab.locator(".bar").bounding_box()
        heading = tab.get_by_role("heading", name="Title 2").bounding_box()
        assert bar["y"] + bar["height"] <= heading["y"] < 500
        assert complaints == []


def test_a_seed_that_no_double_holds_is_shown_as_it_is() -> None:
    seeds = [2**53, 2**53 + 1, 2**63 - 1]
    results = tuple(paper("base", 10, 12.5, seed=seed) for seed in seeds)
    text = render([SuiteReport("table2", "t", "table2", results)], "html")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    records = json.loads(found.group(1), parse_int=float)["records"]  # as JavaScript reads whole numbers
    assert sorted(str(record["seed"]) for record in records.values()) == sorted(map(str, seeds))
