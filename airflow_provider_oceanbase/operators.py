"""Operators: GetBackupSetOperator reads a backup set into XCom, StartBackupOperator starts a backup."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase._compat import BaseOperator
from airflow_provider_oceanbase.start_operator import StartBackupOperator
from airflow_provider_oceanbase.statuses import SUCCESS_STATUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_oceanbase._compat import Context
    from airflow_provider_oceanbase.backup_set import BackupSetSummary, TenantBackupSet

__all__ = ["GetBackupSetOperator", "StartBackupOperator"]


class GetBackupSetOperator(BaseOperator):
    """Reads a backup set and pushes its tenants' backup sets to XCom.

    XCom ``return_value`` is ``tenantBackupSetList``, a list of dicts as the API gave them (empty where it
    gave null), ready for ``.expand()``. XCom ``backup_set`` is the summary of the set
    (:class:`~airflow_provider_oceanbase.backup_set.BackupSetSummary`): every scalar field plus
    ``tenantCount``. A set that is not DONE is read all the same, with a warning: its list may be
    partial.

    The task fails with :class:`~airflow_provider_oceanbase.exceptions.OceanBaseNotFoundError` where there
    is no such backup set, and with another
    :class:`~airflow_provider_oceanbase.exceptions.OceanBaseCloudError` where asking failed; transient
    failures are tried again for 30 seconds first.

    :param instance_id: ID of the OceanBase cluster (templated)
    :param backup_task_id: ID of the backup task, such as ``bak-********`` (templated)
    :param check_backup_set_download_enable: have the API check whether the set can be downloaded, so that
        ``downloadEnabled`` says so; default False
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase`` (templated); default
        ``oceanbase_default``
    """

    template_fields: Sequence[str] = ("instance_id", "backup_task_id", "oceanbase_conn_id")
    ui_color = "#e6f1f2"
    _summary: BackupSetSummary | None = None

    def __init__(
        self,
        *,
        instance_id: str,
        backup_task_id: str,
        check_backup_set_download_enable: bool = False,
        oceanbase_conn_id: str = "oceanbase_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.backup_task_id = backup_task_id
        self.check_backup_set_download_enable = check_backup_set_download_enable
        self.oceanbase_conn_id = oceanbase_conn_id

    def execute(self, context: Context) -> list[TenantBackupSet]:
        """Read the backup set, push its summary, and return its tenants."""
        from airflow_provider_oceanbase.backup_set import summary, tenants_of
        from airflow_provider_oceanbase.hooks import OceanBaseHook

        hook = OceanBaseHook(self.oceanbase_conn_id)
        try:
            backup_set = hook.get_backup_set(
                self.instance_id,
                self.backup_task_id,
                check_backup_set_download_enable=self.check_backup_set_download_enable,
            )
        finally:
            hook.close()
        tenants = tenants_of(backup_set)
        self.log.info(
            "Backup task %r of instance %r: %d tenants, %.1f MB for XCom.",
            self.backup_task_id,
            self.instance_id,
            len(tenants),
            len(json.dumps(tenants)) / 1e6,
        )
        if backup_set["status"] not in SUCCESS_STATUSES:
            self.log.warning(
                "The backup set is %r, not DONE: the list of tenants may be partial. Put a BackupSetSensor "
                "before this task.",
                backup_set["status"],
            )
        self._summary = summary(backup_set)
        context["ti"].xcom_push(key="backup_set", value=dict(self._summary))
        return tenants

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any]:
        """Return the backup set as an input dataset, for Airflow's openlineage provider."""
        from airflow_provider_oceanbase.lineage import backup_set_lineage

        return backup_set_lineage(
            self.oceanbase_conn_id, self.instance_id, self.backup_task_id, self._summary
        )
