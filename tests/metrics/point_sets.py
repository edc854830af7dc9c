"""Sets of points that are hard for distances in float32, (n, D)."""

import numpy as np


def far(rng, n):
    """A tiny cloud far from the origin, beside a point as far on the other side: float32 products see nothing."""
    rows = rng.normal(size=(n, 5)) * 1e-3 + 100
    rows[0] = -100
    return rows.astype(np.float32)


def grid(rng, n):
    """Whole numbers: most distances are ties, exactly."""
    return rng.integers(0, 4, (n, 3)).astype(np.float32)


def twins(rng, n):
    """Many identical points, as black images give."""
    rows = rng.normal(size=(n, 4)).astype(np.float32)
    rows[: n // 2] = rows[0]
    return rows


def heavy(rng, n):
    """Norms over ten decades."""
    return (rng.normal(size=(n, 3)) * 10.0 ** rng.uniform(-5, 5, (n, 1))).astype(np.float32)


def half(rng, n):
    """Stored references are in float16."""
    return rng.normal(size=(n, 20)).astype(np.float16)


SETS = [far, grid, twins, heavy, half]
