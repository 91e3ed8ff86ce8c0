"""Names of Airflow that only the tests use, from where this version has them."""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import AirflowSkipException, TaskDeferred

__all__ = ["AirflowSkipException", "TaskDeferred"]
