"""A headless Chromium for pages: playwright with the browser that the machine has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")


def why_not() -> str | None:
    """Why there is no browser here, or None."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed (pip install playwright)"
    if not any(shutil.which(name) for name in _NAMES):
        return "no Chromium is installed (apt-get install chromium)"
    return None


@contextmanager
def opened(path: Path, **how: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
    """The page of a file, with lists that fill with what its console complains of and what it asks hosts for."""
    from playwright.sync_api import sync_playwright

    binary = next(found for name in _NAMES if (found := shutil.which(name)))
    arguments = [*_QUIET, "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=arguments)
        page = browser.new_page(**how)
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        yield page, complaints, requests
        browser.close()
