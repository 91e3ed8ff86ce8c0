"""Benchmarks of the provider: ``make bench``."""
