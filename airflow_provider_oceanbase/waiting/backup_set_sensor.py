"""What the sensors that wait for a backup set have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.waiting.arguments import final_statuses
from airflow_provider_oceanbase.waiting.sensor import WaitSensor

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.providers.openlineage.extractors import OperatorLineage


class WaitForBackupSet(WaitSensor):
    """Waits for a backup set; subclasses say for which.

    :param success_statuses: statuses of a complete backup set
    :param failure_statuses: statuses of a failed backup set
    :param require_valid: whether a complete set must be VALID
    """

    def __init__(
        self,
        *,
        success_statuses: Collection[str],
        failure_statuses: Collection[str],
        require_valid: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.success_statuses, self.failure_statuses = final_statuses(success_statuses, failure_statuses)
        self.require_valid = require_valid

    @property
    def _backup_task(self) -> str | None:
        """ID of the backup task that was waited for, None if it is not known."""
        raise NotImplementedError

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any] | None:
        """Return the backup set as an input dataset, for Airflow's openlineage provider."""
        from airflow_provider_oceanbase.compat.openlineage import backup_set_lineage

        if (name := self._backup_task) is None:
            return None
        return backup_set_lineage(self._hook.endpoint.origin, self.instance_id, name, self._summary)
