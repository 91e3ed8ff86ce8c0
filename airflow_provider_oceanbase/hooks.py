"""OceanBaseHook: the OceanBase Cloud API for tasks, on requests."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import requests
import tenacity
import urllib3
from airflow.providers.common.compat.sdk import BaseHook
from requests.auth import HTTPDigestAuth

from airflow_provider_oceanbase import api, get_provider_info
from airflow_provider_oceanbase.backup_set import backup_set_request
from airflow_provider_oceanbase.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseInputError,
    OceanBaseMalformedAnswerError,
    OceanBaseNotFoundError,
    OceanBaseUnavailableError,
)

if TYPE_CHECKING:
    from airflow_provider_oceanbase.api import Answer, Request, T
    from airflow_provider_oceanbase.backup_set import BackupSet

RETRY_ATTEMPTS = 5
RETRY_SECONDS = 30.0
_CHUNK_BYTES = 64 * 1024


class OceanBaseHook(BaseHook):
    """Reads backup sets from OceanBase Cloud, with HTTP digest authentication by an AccessKey.

    The session and its digest state are kept for the life of the hook, so that each request after the first
    takes one round trip. The connection is read when the first request is made.

    Transient failures (network, timeout, HTTP 408, 429 and 5xx, an answer that is not the documented JSON)
    are tried again: five attempts at most, exponentially spaced with jitter, ``Retry-After`` heeded, none
    begun later than 30 seconds after the first.

    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``; default ``oceanbase_default``
    """

    conn_name_attr = "oceanbase_conn_id"
    default_conn_name = "oceanbase_default"
    conn_type = "oceanbase"
    hook_name = "OceanBase Cloud"

    def __init__(self, oceanbase_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.oceanbase_conn_id = oceanbase_conn_id

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where requests go: the connection, checked.

        :raises OceanBaseInputError: a field of the connection is missing or unusable
        """
        connection = self.get_connection(self.oceanbase_conn_id)
        endpoint = Endpoint.from_connection(connection, connection.extra_dejson)
        if endpoint.exposes_traffic:
            self.log.warning(
                "Connection %r uses http: answers can be changed on the way from %s. Use https.",
                self.oceanbase_conn_id,
                endpoint.origin,
            )
        return endpoint

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        # netrc, proxy and CA bundle of the environment: Endpoint has settled what counts.
        session.trust_env = False
        session.auth = _Digest(self.endpoint.access_key_id, self.endpoint.access_key_secret)
        session.headers.update(api.request_headers(self.endpoint, f"requests/{requests.__version__}"))
        if self.endpoint.proxy:
            session.proxies = {"http": self.endpoint.proxy, "https": self.endpoint.proxy}
        session.verify = self.endpoint.verify
        return session

    def get_conn(self) -> requests.Session:
        """Return the session: digest authentication, headers, proxy and TLS settings of the connection.

        It neither retries nor bounds anything: give each request a ``timeout`` and ``allow_redirects=False``.

        :return: the hook's own session; :meth:`close` closes it
        :raises OceanBaseInputError: a field of the connection is missing or unusable
        """
        return self._session

    def close(self) -> None:
        """Close the session and forget the connection; the next request reads it afresh."""
        if session := self.__dict__.pop("_session", None):
            session.close()
        self.__dict__.pop("endpoint", None)

    def __getstate__(self) -> dict[str, Any]:
        # A pickled hook holds no AccessKey: it reads the connection where it is used.
        return {key: value for key, value in vars(self).items() if key not in ("_session", "endpoint")}

    def get_backup_set(
        self, instance_id: str, backup_task_id: str, *, check_backup_set_download_enable: bool = False
    ) -> BackupSet:
        """Return a backup set, whatever its status.

        :param instance_id: ID of the OceanBase cluster
        :param backup_task_id: ID of the backup task, such as ``bak-********``
        :param check_backup_set_download_enable: have the API check whether the set can be downloaded;
            default False
        :return: the ``data`` of the answer, tenants under ``tenantBackupSetList``
        :raises OceanBaseNotFoundError: there is no such backup set, or none yet
        :raises OceanBaseCloudError: any other failure, by its subclass
        """
        request = backup_set_request(
            instance_id, backup_task_id, check_backup_set_download_enable=check_backup_set_download_enable
        )
        backup_set, request_id = self.ask(request)
        if backup_set is None:
            what = "the answer has no data, so that the backup is not registered, or not yet"
            raise request.error(OceanBaseNotFoundError, what, status_code=200, request_id=request_id)
        return backup_set

    def find_backup_set(
        self, instance_id: str, backup_task_id: str, *, check_backup_set_download_enable: bool = False
    ) -> BackupSet | None:
        """Return a backup set as :meth:`get_backup_set` does, but None where the answer has no data.

        That is how a backup answers that is not registered yet, as far as is known.

        :param instance_id: ID of the OceanBase cluster
        :param backup_task_id: ID of the backup task, such as ``bak-********``
        :param check_backup_set_download_enable: have the API check whether the set can be downloaded;
            default False
        :return: the ``data`` of the answer, or None
        :raises OceanBaseNotFoundError: HTTP 404
        :raises OceanBaseCloudError: any other failure, by its subclass
        """
        request = backup_set_request(
            instance_id, backup_task_id, check_backup_set_download_enable=check_backup_set_download_enable
        )
        return self.ask(request).data

    def ask(self, request: Request[T], *, retry: bool = True) -> Answer[T]:
        """Send a request and return the answer.

        :param retry: whether transient failures are tried again
        :raises OceanBaseCloudError: the last failure
        """
        if not retry:
            return self._send(request)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_transient),
            stop=tenacity.stop_after_attempt(RETRY_ATTEMPTS) | tenacity.stop_before_delay(RETRY_SECONDS),
            wait=_retry_pause,
            before_sleep=self._log_retry,
            reraise=True,
        )
        return retrying(self._send, request)

    def test_connection(self) -> tuple[bool, str]:
        """Ask for one instance of the account.

        :return: whether that worked, and what to fix
        """
        try:
            answer = self.ask(api.list_instances_request(page_size=1), retry=False)
        except OceanBaseInputError as error:
            return False, str(error)
        except OceanBaseCloudError as error:
            return False, f"{_diagnosis(error, self.endpoint)} {error}"
        finally:
            self.close()
        return True, f"OceanBase Cloud accepts the AccessKey (requestId {answer.request_id})."

    def _send(self, request: Request[T]) -> Answer[T]:
        request_id = api.new_request_id()
        session = self.get_conn()
        deadline = time.monotonic() + api.BODY_TIMEOUTS * self.endpoint.timeout
        try:
            with session.get(
                request.url(self.endpoint, request_id),
                allow_redirects=False,
                stream=True,
                timeout=self.endpoint.timeout,
            ) as response:
                body = self._read_body(response, request, request_id, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise api.unreachable(request, request_id, self.endpoint, error) from None
        return api.read_answer(request, request_id, response.status_code, response.headers, body)

    def _read_body(
        self, response: requests.Response, request: Request[Any], request_id: str, deadline: float
    ) -> bytes:
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > api.MAX_BODY_BYTES:
                raise api.too_large(request, request_id)
            if time.monotonic() > deadline:
                raise TimeoutError
        return bytes(body)

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        self.log.warning(
            "Attempt %d of %d failed, the next comes in %.1f s. %s",
            state.attempt_number,
            RETRY_ATTEMPTS,
            state.upcoming_sleep,
            error,
        )

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and placeholders of the connection form, for Airflow before 3.3."""
        behaviour = _connection_type()["ui-field-behaviour"]
        return {key.replace("-", "_"): value for key, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form, for Airflow before 3.3."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import PasswordField, StringField

        def widget(field: dict[str, Any]) -> Any:
            secret = field["schema"].get("format") == "password"
            field_class, look = (
                (PasswordField, BS3PasswordFieldWidget) if secret else (StringField, BS3TextFieldWidget)
            )
            return field_class(field["label"], description=field["description"], widget=look())

        return {name: widget(field) for name, field in _connection_type()["conn-fields"].items()}


class _Digest(HTTPDigestAuth):
    """requests' digest authentication, for every challenge that HTTP allows and this client can answer."""

    def handle_401(self, r: requests.Response, **kwargs: Any) -> requests.Response:
        challenge = api.digest_challenge(r.headers.get("WWW-Authenticate") or "")
        if r.status_code != 401 or challenge is None:
            return r
        offered = r.headers["WWW-Authenticate"]
        r.headers["WWW-Authenticate"] = challenge
        # The base class reads the body whatever its size; what is left of it now decides.
        if len(r.raw.read(api.MAX_CHALLENGE_BODY_BYTES)) == api.MAX_CHALLENGE_BODY_BYTES:
            r.close()
        answered: requests.Response = super().handle_401(r, **kwargs)  # type: ignore[no-untyped-call]
        r.headers["WWW-Authenticate"] = offered
        return answered


def _connection_type() -> dict[str, Any]:
    connection_types: Any = get_provider_info()["connection-types"]
    return connection_types[0]  # type: ignore[no-any-return]


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, OceanBaseCloudError) and error.transient


def _retry_pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    asked = getattr(error, "retry_after", None) or 0.0
    return max(tenacity.wait_exponential_jitter(initial=1, max=10, jitter=1)(state), asked)


def _diagnosis(error: OceanBaseCloudError, endpoint: Endpoint) -> str:
    """Say in a sentence what of the connection is wrong."""
    if isinstance(error, OceanBaseAuthenticationError) and error.status_code == 401:
        return "The AccessKey is wrong or disabled: check login and password."
    if isinstance(error, OceanBaseUnavailableError) and error.status_code is None:
        return f"Nothing answers as {endpoint.origin}: check host, port, verify and proxy."
    if isinstance(error, OceanBaseMalformedAnswerError | OceanBaseNotFoundError):
        return f"{endpoint.origin} does not answer as OceanBase Cloud does: check host."
    if endpoint.project_id is not None and not error.transient:
        return f"Project {endpoint.project_id!r} may not exist, or not for this AccessKey: check project_id."
    if isinstance(error, OceanBaseAuthenticationError):
        return "The AccessKey may not list instances: check its project and permissions."
    return "OceanBase Cloud did not serve the request."
