"""Whole Airflows, started and ended by one process: what the commands beside it and ``tests/ui`` share.

A module imports only those before it: command, network, processes, debian, settings, database, services,
cluster.
"""
