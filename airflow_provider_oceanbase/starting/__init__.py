"""Starts of backups: none twice, and none for another's, whatever happens to the task.

``cloud`` judges whether a failed start may have acted; here is what a task does then: what it keeps of a
start (``kept``), the table that decides what a later try makes of it (``decision``), and the task (``job``).
``operators`` may import it. It imports ``hooks`` and what is below that.
"""
