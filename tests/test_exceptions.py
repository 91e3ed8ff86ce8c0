from __future__ import annotations

import json
import pickle

import pytest
from airflow.exceptions import AirflowException

from airflow_provider_oceanbase import exceptions
from airflow_provider_oceanbase.compat.sdk import AirflowFailException
from airflow_provider_oceanbase.exceptions import (
    BackupSetFailedError,
    BackupStartUnknownError,
    OceanBaseCloudError,
)

CLOUD_ERRORS = [OceanBaseCloudError, *OceanBaseCloudError.__subclasses__()]


@pytest.mark.parametrize("error_class", CLOUD_ERRORS)
def test_error_survives_serialization(error_class: type[OceanBaseCloudError]) -> None:
    error = error_class(
        "it broke",
        subject="backup task 'b'",
        status_code=500,
        error_code="E1",
        error_message="m",
        request_id="r",
        retry_after=3.0,
        may_have_acted=True,
    )
    error.add_note("noted")
    by_event = OceanBaseCloudError.from_dict(json.loads(json.dumps(error.to_dict())))
    by_pickle = pickle.loads(pickle.dumps(error))
    for copy in (by_event, by_pickle):
        assert type(copy) is error_class
        assert str(copy) == str(error)
        assert copy.to_dict() == error.to_dict()


def test_text() -> None:
    error = exceptions.OceanBaseRefusedError(
        "Request refused",
        subject="the list",
        status_code=400,
        conn_id="ob",
        host="https://a",
        error_code="E1",
        request_id="r",
        hint="Do this. And that.",
    )
    assert str(error) == (
        "Request refused (HTTP 400): the list, connection 'ob', host https://a; errorCode E1, requestId r. "
        "Do this. And that."
    )
    assert (error.verdict, error.advice) == ("Request refused (HTTP 400)", "Do this.")
    assert str(OceanBaseCloudError("It broke")) == "It broke."


@pytest.mark.parametrize("error_class", CLOUD_ERRORS)
def test_no_airflow_exception(error_class: type[OceanBaseCloudError]) -> None:
    assert not issubclass(error_class, AirflowException)


def test_transient() -> None:
    assert {error_class.__name__ for error_class in CLOUD_ERRORS if error_class.transient} == {
        "OceanBaseThrottledError",
        "OceanBaseUnavailableError",
        "OceanBaseMalformedResponseError",
    }


@pytest.mark.parametrize("error_class", CLOUD_ERRORS)
def test_only_a_request_without_effect_is_repeatable(error_class: type[OceanBaseCloudError]) -> None:
    assert error_class("it broke").repeatable is error_class.transient
    assert not error_class("it broke", may_have_acted=True).repeatable


def test_unknown_class_in_an_event_is_still_an_error() -> None:
    assert type(OceanBaseCloudError.from_dict({"class": "Newer", "what": "it broke"})) is OceanBaseCloudError


def test_failed_backup_survives_serialization() -> None:
    error = BackupSetFailedError(
        "ended with status FAILED",
        instance_id="ob-1",
        backup_task_id="bak-1",
        status="FAILED",
        validity="VALID",
        request_id="r",
    )
    assert isinstance(error, AirflowFailException)
    for copy in (
        BackupSetFailedError.from_dict(json.loads(json.dumps(error.to_dict()))),
        pickle.loads(pickle.dumps(error)),
    ):
        assert type(copy) is BackupSetFailedError
        assert str(copy) == str(error)
        assert copy.to_dict() == error.to_dict()


def test_unknown_start_survives_serialization() -> None:
    error = BackupStartUnknownError(
        "It broke", instance_id="ob-1", conn_id="ob", http_status=502, error_code="E1", request_id="r"
    )
    assert isinstance(error, AirflowFailException)
    assert str(error).startswith(
        "A backup may be running: instance 'ob-1', connection 'ob'; It broke (HTTP 502, errorCode E1, "
        "requestId r). Look for it in the console"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is BackupStartUnknownError
    assert (str(copy), vars(copy)) == (str(error), vars(error))
    assert "; It broke. Look for" in str(BackupStartUnknownError("It broke", instance_id="ob-1"))


def test_subclass_of_a_user_is_unpickled_as_its_base() -> None:
    class CustomError(OceanBaseCloudError):
        def __init__(self) -> None:
            super().__init__("custom", hint="Do this.")

    copy = pickle.loads(pickle.dumps(CustomError()))
    assert (type(copy), str(copy)) == (OceanBaseCloudError, "custom. Do this.")
