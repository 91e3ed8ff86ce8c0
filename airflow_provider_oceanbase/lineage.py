"""A backup set as OpenLineage sees it. Only the listener of Airflow's openlineage provider comes here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import InputDataset
from openlineage.client.facet_v2 import DatasetFacet, InputDatasetFacet
from openlineage.client.facet_v2 import data_quality_metrics_input_dataset as metrics
from openlineage.client.facet_v2 import dataset_version_dataset as version

from airflow_provider_oceanbase.hooks import OceanBaseHook

if TYPE_CHECKING:
    from airflow_provider_oceanbase.backup_set import BackupSetSummary

_BYTES_PER_GB = 10**9


def backup_set_lineage(
    oceanbase_conn_id: str, instance_id: str, backup_task_id: str, summary: BackupSetSummary | None
) -> OperatorLineage[Any, Any]:
    """Return the lineage of a task that has read a backup set: the set is its input.

    The dataset is ``instance_id/backup_task_id`` in the namespace ``oceanbase-cloud://`` and the host; its
    version is the checkpoint, its size is ``dataBackupSize``.

    :param summary: what the task has read, None where it has read nothing
    """
    facets: dict[str, DatasetFacet] = {}
    input_facets: dict[str, InputDatasetFacet] = {}
    if summary and (checkpoint := summary["checkpoint"]):
        facets["version"] = version.DatasetVersionDatasetFacet(checkpoint)
    if summary and (size := summary["dataBackupSize"]) is not None:
        input_facets["dataQualityMetrics"] = metrics.DataQualityMetricsInputDatasetFacet(
            columnMetrics={}, bytes=round(size * _BYTES_PER_GB)
        )
    dataset = InputDataset(
        namespace=f"oceanbase-cloud://{urlsplit(OceanBaseHook(oceanbase_conn_id).endpoint.origin).netloc}",
        name=f"{instance_id}/{backup_task_id}",
        facets=facets,
        inputFacets=input_facets,
    )
    return OperatorLineage(inputs=[dataset])
