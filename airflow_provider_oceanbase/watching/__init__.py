"""Backups as events: an instance is listed again and again, and each set that completes is reported once.

``watcher`` decides what to report and when to save that, ``cursor`` is what it remembers, ``names`` what the
log calls a watch. ``triggers`` may import it. It imports ``waiting``, ``transport`` and what is below that.
"""
