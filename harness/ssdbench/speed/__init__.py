"""How fast this package is beside others, on the machine at hand."""
