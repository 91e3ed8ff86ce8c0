"""Names of Airflow that only tests use, from the modules of this version."""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
except ImportError:  # before Airflow 3.2
    from airflow.exceptions import AirflowSkipException, TaskDeferred

try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:  # before Airflow 3.2
    from airflow.serialization.serde import deserialize, serialize

__all__ = ["AirflowSkipException", "TaskDeferred", "deserialize", "serialize"]
