"""Noise schedules, timestep grids, samplers, guidance."""
