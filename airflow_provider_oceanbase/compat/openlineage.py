"""Backups and tenants as OpenLineage datasets. Only Airflow's openlineage provider leads here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset, InputDataset, OutputDataset
from openlineage.client.facet_v2 import DatasetFacet, InputDatasetFacet, OutputDatasetFacet
from openlineage.client.facet_v2 import data_quality_metrics_input_dataset as metrics
from openlineage.client.facet_v2 import dataset_version_dataset as version
from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

_BYTES_PER_GB = 10**9
_MAX_GB = 10**9


def backup_set_lineage(
    origin: str, instance_id: str, backup_task_id: str, summary: Mapping[str, Any] | None
) -> OperatorLineage[Any, Any]:
    """Return the lineage of a task that has read a backup set: the set is its input.

    The dataset is ``instance_id/backup_task_id`` in the namespace ``oceanbase-cloud://`` and the host. Its
    version is the checkpoint, its size is ``dataBackupSize``.

    :param origin: URL of the API host
    :param summary: summary of the set, None if the task has read none
    """
    input_facets: dict[str, InputDatasetFacet] = {}
    if (size := _bytes(summary)) is not None:
        input_facets["dataQualityMetrics"] = metrics.DataQualityMetricsInputDatasetFacet(
            columnMetrics={}, bytes=size
        )
    dataset = InputDataset(
        namespace=_namespace(origin),
        name=f"{instance_id}/{backup_task_id}",
        facets=_checkpoint(summary),
        inputFacets=input_facets,
    )
    return OperatorLineage(inputs=[dataset])


def started_backup_lineage(
    origin: str, instance_id: str, backup_task_id: str, summary: Mapping[str, Any] | None
) -> OperatorLineage[Any, Any]:
    """Return the lineage of a task that has started a backup: the set is its output, named as an input is.

    :param origin: URL of the API host
    :param summary: summary of the set, None if the task has not waited for it
    """
    output_facets: dict[str, OutputDatasetFacet] = {}
    if (size := _bytes(summary)) is not None:
        output_facets["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(size=size)
    dataset = OutputDataset(
        namespace=_namespace(origin),
        name=f"{instance_id}/{backup_task_id}",
        facets=_checkpoint(summary),
        outputFacets=output_facets,
    )
    return OperatorLineage(outputs=[dataset])


def dataset(origin: str, name: str) -> Dataset:
    """Return a dataset by its name.

    :param origin: URL of the API host
    """
    return Dataset(namespace=_namespace(origin), name=name)


def restore_point_lineage(origin: str, point: Mapping[str, Any]) -> OperatorLineage[Any, Any]:
    """Return the lineage of a task that has waited until tenants could be restored: they are its inputs.

    The dataset of a tenant is ``instance_id/tenants/tenant_id``. Its version is the time to which it can be
    restored.

    :param origin: URL of the API host
    :param point: what the task has pushed to XCom
    """
    restorable = version.DatasetVersionDatasetFacet(point["restoreTime"])
    return OperatorLineage(
        inputs=[
            InputDataset(
                namespace=_namespace(origin),
                name=f"{point['instanceId']}/tenants/{tenant['tenantId']}",
                facets={"version": restorable},
            )
            for tenant in point["tenants"]
        ]
    )


def _namespace(origin: str) -> str:
    return f"oceanbase-cloud://{urlsplit(origin).netloc}"


def _checkpoint(summary: Mapping[str, Any] | None) -> dict[str, DatasetFacet]:
    """Return the checkpoint of a backup set as its version."""
    checkpoint = summary and summary["checkpoint"]
    return {"version": version.DatasetVersionDatasetFacet(checkpoint)} if checkpoint else {}


def _bytes(summary: Mapping[str, Any] | None) -> int | None:
    """Return the size of a backup set, None without one; an API may write a number as text."""
    size = summary and summary["dataBackupSize"]
    try:
        gigabytes = float(size) if isinstance(size, int | float | str) else -1.0
    except ValueError:
        return None
    return round(gigabytes * _BYTES_PER_GB) if 0 <= gigabytes < _MAX_GB else None
