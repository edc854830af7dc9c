"""Stand-ins for everything that the paper's scale needs; see :mod:`tools.rehearsal.__main__`."""
