"""Names of Airflow that only tests use, from the modules of this version."""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import AirflowSkipException, TaskDeferred

__all__ = ["AirflowSkipException", "TaskDeferred"]
