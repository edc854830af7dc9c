"""The documentation as a site: python -m sphinx -c docs . build/site (pip install -e '.[docs]').

The source is the whole repository, so that links between pages, the README and files are the same here and on GitHub.
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "harness"), str(ROOT / "tools")]

import reference_pages  # noqa: E402

import ssdbench  # noqa: E402

project = "ssdbench"
copyright = "The ssdbench authors"
version = release = ssdbench.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/**.md",
    "harness/ssdbench/assets/**README.md",
]
exclude_patterns = ["**/*.template.md", "results", ".git", "build", "**/.*"]

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
add_module_names = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"ssdbench {version}"
html_copy_source = False

NAVIGATION = {
    "Tutorial": ["docs/first-hour"],
    "How to": [
        *("docs/suites", "docs/search", "docs/metrics", "docs/ci", "docs/cluster", "docs/store"),
        *("docs/convert", "docs/extending", "docs/api"),
    ],
    "Results": [
        *("docs/results", "docs/rivals", "docs/solvers", "docs/claims", "docs/statistics"),
        *("harness/ssdbench/assets/weights/README", "harness/ssdbench/assets/README"),
    ],
    "Reference": [f"docs/reference/{name}" for name in reference_pages.PAGES],
    "Background": ["docs/architecture", "docs/performance", "docs/reliability", "CONTRIBUTING", "CHANGELOG"],
    "Questions": ["docs/faq"],
}
"""The pages in the order of the site's sidebar."""


def toctrees() -> str:
    """Return what the first page says of the others, which GitHub does not understand."""
    trees = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])
        for caption, pages in NAVIGATION.items()
    ]
    return "\n\n" + "\n\n".join(trees) + "\n"


def read(app: Any, name: str, source: list[str]) -> None:
    """Complete a page: the first by the navigation, those of the reference by what the package declares."""
    if name == root_doc:
        source[0] += toctrees()
    made = reference_pages.PAGES.get(name.removeprefix("docs/reference/"))
    if made is not None:
        source[0] += "\n" + made()


def finish(app: Any, error: Exception | None) -> None:
    """Let the first page be the site's index."""
    if error is None and app.builder.format == "html":
        (app.outdir / "index.html").write_bytes((app.outdir / "README.html").read_bytes())


def setup(app: Any) -> None:
    """Take part in the reading of pages, and in the end."""
    app.connect("source-read", read)
    app.connect("build-finished", finish)
