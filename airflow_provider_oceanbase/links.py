"""The link from a task to the console of OceanBase Cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_provider_oceanbase.compat.sdk import BaseOperator


class OceanBaseCloudLink(BaseOperatorLink):
    """Opens the instance's page, or the list of instances, in the console.

    The console of the China site is known. For others, ``console_url`` of the connection's extra says where
    it is. Airflow shows no link where neither is known.
    """

    name = "OceanBase Cloud"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the URL, empty if it is not known.

        :param operator: a task with ``instance_id`` and ``oceanbase_conn_id``
        :param ti_key: not used
        """
        from airflow_provider_oceanbase.cloud.console import console_link
        from airflow_provider_oceanbase.compat.sdk import BaseHook

        task: Any = operator
        try:
            connection = BaseHook.get_connection(task.oceanbase_conn_id)
            return console_link(connection.host, connection.extra_dejson, task.instance_id)
        except Exception:
            # Airflow would log the error with a traceback. The task itself says what is wrong.
            return ""
