"""Runs a plan's graph against a store."""

from ssdbench.engine.local import run_graph
from ssdbench.engine.outcome import Failure, Outcome
from ssdbench.engine.view import PlainView, RichView, SilentView, View, make_view

__all__ = ["Failure", "Outcome", "PlainView", "RichView", "SilentView", "View", "make_view", "run_graph"]
