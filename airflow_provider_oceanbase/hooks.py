"""OceanBaseHook: the OceanBase Cloud API for tasks, on requests."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.backup_sets import PAGE_SIZE, BackupSetList, BackupSetPages, utc
from airflow_provider_oceanbase.cloud.diagnosis import NAMED_INSTANCES, diagnosis, success
from airflow_provider_oceanbase.cloud.failures import naming
from airflow_provider_oceanbase.cloud.protocol import list_instances_request
from airflow_provider_oceanbase.cloud.restorable import restorable_tenants_request
from airflow_provider_oceanbase.cloud.start_backup import start_backup_request, start_unknown
from airflow_provider_oceanbase.compat import form
from airflow_provider_oceanbase.compat.assets import BACKUP_SETS, TENANTS, record
from airflow_provider_oceanbase.compat.sdk import BaseHook, stored_connection
from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, OceanBaseNotFoundError
from airflow_provider_oceanbase.transport.task_connection import TaskConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    import requests

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.cloud.endpoint import Endpoint
    from airflow_provider_oceanbase.cloud.query import Answer, Query, T
    from airflow_provider_oceanbase.cloud.restorable import RestorableTenant
    from airflow_provider_oceanbase.compat.sdk import Connection


class OceanBaseHook(BaseHook):
    """Reads and starts backups of OceanBase Cloud, with HTTP digest authentication by an AccessKey.

    The hook keeps its session and digest state, so each request after the first takes one round trip. It
    reads the connection at the first request.

    Transient failures (network, timeout, HTTP 408, 429 and 5xx, a response that is not the documented JSON)
    are retried: at most five attempts, with exponential backoff and jitter, ``Retry-After`` honored, none
    later than 30 seconds after the first. :meth:`start_backup` is different. A connection that Airflow does
    not find is looked for in the same way: its secrets backend may be down.

    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``; default ``oceanbase_default``
    """

    conn_name_attr = "oceanbase_conn_id"
    default_conn_name = "oceanbase_default"
    conn_type = "oceanbase"
    hook_name = "OceanBase Cloud"

    def __init__(self, oceanbase_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.oceanbase_conn_id = oceanbase_conn_id

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """Return a connection, in tasks and in scripts alike.

        :raises AirflowNotFoundException: there is none
        """
        return stored_connection(conn_id)

    @property
    def endpoint(self) -> Endpoint:
        """Where requests go: the connection, checked.

        :raises OceanBaseInputError: there is no connection, or a field is missing or unusable
        :raises OceanBaseUnavailableError: the connection cannot be read now
        """
        return self._connection.endpoint

    @cached_property
    def _connection(self) -> TaskConnection:
        # Looked up at each reading: a subclass or a test may have its own.
        return TaskConnection(self.oceanbase_conn_id, lambda name: self.get_connection(name), self.log)

    def get_conn(self) -> requests.Session:
        """Return the session: digest authentication, headers, proxy and TLS settings of the connection.

        It authenticates at the connection's host only, and keeps no cookies. It neither retries nor limits
        anything: give each request a ``timeout`` and ``allow_redirects=False``.

        :return: the hook's own session; :meth:`close` closes it
        :raises OceanBaseInputError: there is no connection, or a field of it is missing or unusable
        :raises OceanBaseUnavailableError: the connection cannot be read now
        """
        return self._connection.session

    def close(self) -> None:
        """Close the session and forget the connection; the next request reads it again."""
        if connection := vars(self).pop("_connection", None):
            connection.close()

    def __getstate__(self) -> dict[str, Any]:
        # A pickled hook holds no AccessKey: it reads the connection where it is used.
        return {key: value for key, value in vars(self).items() if key != "_connection"}

    def get_backup_set(
        self, instance_id: str, backup_task_id: str, *, check_backup_set_download_enable: bool = False
    ) -> BackupSet:
        """Return a backup set, whatever its status.

        :param instance_id: ID of the OceanBase cluster
        :param backup_task_id: ID of the backup task, such as ``bak-********``
        :param check_backup_set_download_enable: have the API check whether the set can be downloaded;
            default False
        :return: the ``data`` of the response, tenants under ``tenantBackupSetList``
        :raises OceanBaseNotFoundError: there is no such backup set, or none yet
        :raises OceanBaseCloudError: any other failure, by its subclass
        """
        request = backup_set_request(
            instance_id, backup_task_id, check_backup_set_download_enable=check_backup_set_download_enable
        )
        backup_set, request_id = self.fetch(request)
        if backup_set is None:
            what = "No such backup, or not registered yet"
            with naming(self.endpoint):
                raise request.error(OceanBaseNotFoundError, what, status_code=200, request_id=request_id)
        self._record("input", instance_id, BACKUP_SETS, backup_task_id)
        return backup_set

    def find_backup_set(
        self, instance_id: str, backup_task_id: str, *, check_backup_set_download_enable: bool = False
    ) -> BackupSet | None:
        """Return a backup set as :meth:`get_backup_set` does, but None if the response has no data.

        As far as is known, that is the response for a backup that is not registered yet.

        :param instance_id: ID of the OceanBase cluster
        :param backup_task_id: ID of the backup task, such as ``bak-********``
        :param check_backup_set_download_enable: have the API check whether the set can be downloaded;
            default False
        :return: the ``data`` of the response, or None
        :raises OceanBaseNotFoundError: HTTP 404
        :raises OceanBaseCloudError: any other failure, by its subclass
        """
        request = backup_set_request(
            instance_id, backup_task_id, check_backup_set_download_enable=check_backup_set_download_enable
        )
        backup_set = self.fetch(request).data
        if backup_set is not None:
            self._record("input", instance_id, BACKUP_SETS, backup_task_id)
        return backup_set

    def list_backup_sets(
        self,
        instance_id: str,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        check_backup_set_download_enable: bool = False,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[BackupSet]:
        """Return the backup sets of an instance, in the API's order, as their pages arrive.

        Sets that appear or disappear meanwhile cause neither duplicates nor gaps: a list of several pages is
        read again, all but its last page, and up to four times if it keeps changing.

        :param instance_id: ID of the OceanBase cluster
        :param start_time: earliest time to list, with a time zone; default: no limit
        :param end_time: latest time to list, likewise
        :param check_backup_set_download_enable: have the API check whether the sets can be downloaded
        :param page_size: sets to request at once, up to 1,000; default 20. The API may return fewer
        :raises OceanBaseInputError: an argument is unusable
        :raises OceanBaseCloudError: a page could not be read; by its subclass
        """
        backup_sets = BackupSetList(
            instance_id,
            start_time=None if start_time is None else utc("start_time", start_time),
            end_time=None if end_time is None else utc("end_time", end_time),
            check_backup_set_download_enable=check_backup_set_download_enable,
            page_size=page_size,
        )
        return self._pages(BackupSetPages(backup_sets))

    def _pages(self, pages: BackupSetPages) -> Iterator[BackupSet]:
        while (request := pages.request) is not None:
            with naming(self._connection.find()):
                backup_sets = pages.take(*self.fetch(request))
            self._record("input", pages.instance_id, BACKUP_SETS)
            yield from backup_sets

    def get_restorable_tenants(
        self,
        instance_id: str,
        *,
        tenant_id: str | None = None,
        backup_set_id: str | None = None,
        restore_object_type: str | None = None,
        from_remote: bool | None = None,
        query_parameters: Mapping[str, str] | None = None,
    ) -> list[RestorableTenant]:
        """Return the tenants that can be restored, each with the intervals of time to which it can be.

        The vendor documents two versions of this request. The arguments are those of the newer one, all
        optional. For the older one, give ``query_parameters={"restoreType": …, "openRequest": …}``, and set
        the connection's Project ID, which it requires.

        :param instance_id: ID of the OceanBase cluster
        :param tenant_id: ID of the only tenant to return; default: all
        :param backup_set_id: ID of the backup set to restore from
        :param restore_object_type: object of the restore
        :param from_remote: ``fromRemote`` of the API
        :param query_parameters: further parameters of the request, by the API's names
        :return: the ``data`` of the response, intervals under ``timeIntervalList``; empty without any
        :raises OceanBaseInputError: an argument is unusable
        :raises OceanBaseCloudError: any other failure, by its subclass
        """
        request = restorable_tenants_request(
            instance_id,
            tenant_id=tenant_id,
            backup_set_id=backup_set_id,
            restore_object_type=restore_object_type,
            from_remote=from_remote,
            query_parameters=query_parameters,
        )
        tenants = self.fetch(request).data
        self._record("input", instance_id, TENANTS)
        return tenants

    def start_backup(
        self,
        instance_id: str,
        *,
        backup_object_type: str,
        tenant_id: str | None = None,
        database_tables: Sequence[Mapping[str, Any]] | None = None,
        backup_policy: str = "manual",
        need_pre_check: bool = True,
    ) -> str:
        """Start a backup; return the ID of its backup task, such as ``bak-********``.

        It is retried only when it has certainly started nothing: without a connection, after HTTP 429, and if
        the request had no credentials yet, which goes out without its body, as ``curl --digest`` sends it.

        :param instance_id: ID of the OceanBase cluster
        :param backup_object_type: ``tenant`` for a physical backup, ``database`` or ``table`` for a logical
        :param tenant_id: ID of the tenant; the API does not require it
        :param database_tables: for logical backups: dicts, one a database, as the API takes them. A backup of
            tables has one, and its ``tables`` lists up to 200
        :param backup_policy: ``manual``, which is all that is documented
        :param need_pre_check: have the API check first whether a backup is possible
        :raises OceanBaseInputError: an argument is unusable
        :raises BackupStartUnknownError: a backup may have been started, or not
        :raises OceanBaseCloudError: none was started; by its subclass
        """
        request = start_backup_request(
            instance_id,
            backup_object_type=backup_object_type,
            tenant_id=tenant_id,
            database_tables=database_tables,
            backup_policy=backup_policy,
            need_pre_check=need_pre_check,
        )
        try:
            backup_task_id = self.fetch(request).data
        except OceanBaseCloudError as error:
            if not error.may_have_acted:
                raise
            raise start_unknown(error, instance_id) from error
        self._record("output", instance_id, BACKUP_SETS, backup_task_id)
        return backup_task_id

    def _record(self, kind: Literal["input", "output"], instance_id: str, *path: str) -> None:
        """Record what was read or made, for lineage."""
        record(self, self.oceanbase_conn_id, kind, str(instance_id), *map(str, path))

    def fetch(self, query: Query[T], *, retry: bool = True) -> Answer[T]:
        """Send a query, and return the answer.

        :param retry: whether transient failures are retried, and the reading of the connection
        :raises OceanBaseCloudError: the last failure
        """
        from airflow_provider_oceanbase.transport.requests_client import RequestsClient

        endpoint = self._connection.find() if retry else self._connection.endpoint
        # By get_conn(), which a subclass may override.
        return RequestsClient(self.get_conn(), endpoint, self.log).fetch(query, retry=retry)

    def poll(
        self, query: Query[T], *, first: bool, is_final: Callable[[OceanBaseCloudError], bool]
    ) -> Answer[T]:
        """Send a query for a wait, and return the answer; if that fails, look at the connection again.

        :param first: whether it is the first poll of its task, and transient failures are retried
        :param is_final: whether an error would end the wait
        :raises OceanBaseCloudError: the failure
        """
        return self._connection.poll(lambda _: self.fetch(query, retry=first), first=first, is_final=is_final)

    def test_connection(self) -> tuple[bool, str]:
        """Request some instances of the account.

        :return: whether that worked, and which instances the AccessKey sees, or what to fix
        """
        try:
            instances = self.fetch(list_instances_request(page_size=NAMED_INSTANCES), retry=False).data
            return True, success(instances, self.endpoint)
        except OceanBaseCloudError as error:
            known = self._connection.known
            return False, str(error) if known.may_be_away else diagnosis(error, known.endpoint)
        finally:
            self.close()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and placeholders of the connection form, for Airflow before 3.3."""
        return form.field_behaviour()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form, for Airflow before 3.3."""
        return form.widgets()
