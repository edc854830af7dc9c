"""Fusion points, objectives, the optimisation loop."""
