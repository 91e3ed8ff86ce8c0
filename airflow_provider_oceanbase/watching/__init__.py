"""Backups as events: an instance is listed again and again, and each set that completes is reported once.

``triggers`` may import it; it imports ``waiting``, ``transport`` and ``cloud``.
"""
