from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from conftest import ROOT, SECRET
from dag_runs import DagRunner

from airflow_provider_oceanbase.compat import sdk
from airflow_provider_oceanbase.compat.sdk import BaseOperator
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseInputError,
    OceanBaseMalformedResponseError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
    OceanBaseThrottledError,
    OceanBaseUnavailableError,
    unexpected,
)
from airflow_provider_oceanbase.testing import CloudEmulator


def has_retry_policies() -> bool:
    try:
        return bool(sdk.RetryPolicy)
    except ImportError:
        return False


airflow_3_3 = pytest.mark.skipif(not has_retry_policies(), reason="Airflow has retry policies from 3.3 on")


def decision(error: BaseException, context: Any = None) -> Any:
    from airflow_provider_oceanbase.retries import OceanBaseRetryPolicy

    return OceanBaseRetryPolicy().evaluate(error, 1, 3, context)


@airflow_3_3
@pytest.mark.parametrize(
    "error_class",
    [
        OceanBaseAuthenticationError,
        OceanBaseInputError,
        OceanBaseNotFoundError,
        OceanBaseRefusedError,
    ],
)
def test_what_will_not_change_is_not_retried(error_class: type[OceanBaseCloudError]) -> None:
    # Not even if the server names a time: it is about the rate, not about the answer.
    made = decision(error_class("it failed", retry_after=5.0))
    assert (made.action.value, made.retry_delay) == ("fail", None)
    assert made.reason == f"No retry: {error_class.__name__} will not change by itself"


TRANSIENT = [OceanBaseMalformedResponseError, OceanBaseThrottledError, OceanBaseUnavailableError]


@airflow_3_3
@pytest.mark.parametrize("error_class", TRANSIENT)
def test_retry_after_is_honoured(error_class: type[OceanBaseCloudError]) -> None:
    made = decision(error_class("it failed", retry_after=90.0))
    assert (made.action.value, made.retry_delay) == ("retry", timedelta(seconds=90))
    assert made.reason == f"Retry in 90 s, as OceanBase Cloud demands: {error_class.__name__}"


@airflow_3_3
@pytest.mark.parametrize(
    ("delay", "retry_after", "waits"), [(300, 5, None), (300, 300, None), (300, 301, 301), (0, 5, 5)]
)
def test_a_short_retry_after_does_not_use_up_the_retries(
    delay: float, retry_after: float, waits: float | None
) -> None:
    task = BaseOperator(task_id="task", retry_delay=timedelta(seconds=delay))
    made = decision(OceanBaseUnavailableError("it failed", retry_after=retry_after), {"task": task})
    assert made.action.value == ("retry" if waits else "default")
    assert made.retry_delay == (timedelta(seconds=waits) if waits else None)


@airflow_3_3
@pytest.mark.parametrize(
    "error",
    # A bug may pass: the text of its error says that a retry begins anew.
    [*(one("it failed") for one in TRANSIENT), ValueError("other"), unexpected("Wait", KeyError())],
)
def test_the_rule_of_the_task_counts_otherwise(error: Exception) -> None:
    made = decision(error)
    assert (made.action.value, made.retry_delay, made.reason) == ("default", None, None)


@airflow_3_3
def test_it_survives_json() -> None:
    from airflow_provider_oceanbase.retries import OceanBaseRetryPolicy

    data = json.loads(json.dumps(OceanBaseRetryPolicy().serialize()))
    assert isinstance(OceanBaseRetryPolicy.deserialize(data), OceanBaseRetryPolicy)


@pytest.mark.skipif(has_retry_policies(), reason="this Airflow has retry policies")
def test_an_older_airflow_says_so() -> None:
    with pytest.raises(ImportError, match="this version of Airflow has no RetryDecision"):
        import airflow_provider_oceanbase.retries  # noqa: F401


@airflow_3_3
def test_on_airflow(dag_runner: DagRunner) -> None:
    file = ROOT / "tests" / "dags" / "retries.py"
    with CloudEmulator(access_key_secret=SECRET) as cloud:
        environ = {"AIRFLOW_CONN_OCEANBASE_DEFAULT": cloud.connection_uri}
        results = {
            dag_id: dag_runner.test(file, dag_id, **environ) for dag_id in ("with_policy", "without_policy")
        }
    assert [result.tasks["get"]["tries"] for result in results.values()] == [1, 3]
    assert {result.states["get"] for result in results.values()} == {"failed"}
    printed = results["with_policy"].printed
    assert "OceanBaseNotFoundError will not change by itself" in printed
