"""Starts of backups: none twice, whatever happens to the task.

``cloud`` judges whether a failed start may have acted; here is what a task does then. ``operators`` may
import it. It imports ``hooks`` and what is below that.
"""
