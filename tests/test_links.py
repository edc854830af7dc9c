"""Links of the pages lead to files and headings of the repository, and every page has its place on the site."""

import posixpath
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "harness/ssdbench/assets").rglob("README.md"),
    ]
)
LINK = re.compile(r"\]\(([^)\s#:]*)(?:#([^)\s:]*))?\)")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def slugs(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page))):
        target = page.parent / path if path else page
        assert target.exists(), f"no file {path}"
        assert not anchor or anchor in slugs(target), f"no heading {anchor} in {target.name}"


def test_every_page_has_its_place_on_the_site() -> None:
    navigation = set(re.findall(r"[\w./-]+", (ROOT / "docs/conf.py").read_text("utf-8")))
    pages = {posixpath.splitext(page.relative_to(ROOT).as_posix())[0] for page in PAGES}
    left = {
        page for page in pages if not page.endswith(".template") and not page.startswith("docs/reference/")
    }
    assert left - navigation == set()
