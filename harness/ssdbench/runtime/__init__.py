"""Runs a plan's graph of stages against a store: on this machine or on a Ray cluster, a process or several a stage.

A worker imports this package, so that nothing is imported here. ``local`` and ``ray`` have the engines; both use the
``scheduler``, which starts a ``stage`` where a ``pool`` has a slot and tells a listener of ``events``.
"""
