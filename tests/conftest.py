"""What tests of several packages use."""

from __future__ import annotations

import pwd

import pytest


def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container under a user id that the system does not know."""
    monkeypatch.delenv("HOME", raising=False)

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
