"""From (run, record or reason) to tables. Imports nothing heavier than tabulate until a format needs it."""
