"""Starts of backups: none twice, whatever happens to the task.

``operators`` may import it; it imports ``triggers``, ``waiting``, ``hooks`` and ``cloud``.
"""
