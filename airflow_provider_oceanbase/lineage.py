"""What Airflow calls for URIs ``oceanbase-cloud://``: the provider's metadata name these functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.compat.assets import BACKUP_SETS, asset_uri, segments_of

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset

    from airflow_provider_oceanbase.compat.sdk import Asset


def create_asset(
    *,
    instance_id: str,
    backup_task_id: str | None = None,
    oceanbase_conn_id: str = "oceanbase_default",
    extra: dict[str, Any] | None = None,
) -> Asset:
    """Return the asset of an instance's backup sets, or of one of them; without a watcher.

    To run a DAG on each backup, use :func:`~airflow_provider_oceanbase.assets.backup_set_asset`.

    :param instance_id: ID of the OceanBase cluster
    :param backup_task_id: ID of the backup task; default: none, all backup sets of the instance
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``; default ``oceanbase_default``
    :param extra: what else the asset holds
    :raises OceanBaseInputError: an ID is unusable
    """
    from airflow_provider_oceanbase.cloud.arguments import checked_text
    from airflow_provider_oceanbase.compat.sdk import Asset

    conn_id = checked_text("oceanbase_conn_id", oceanbase_conn_id)
    path = [checked_text("instance_id", instance_id), BACKUP_SETS]
    if backup_task_id is not None:
        path.append(checked_text("backup_task_id", backup_task_id))
    return Asset(uri=asset_uri(conn_id, *path), extra=extra)


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Dataset | None:
    """Return an asset as the OpenLineage dataset that sensors and operators report for the same thing.

    Its namespace has the connection's host: the connection is read, unless ``lineage_context`` is its hook.

    :param lineage_context: the hook that has read it, or the task that names it
    :return: None if the URI is none of this package's
    :raises OceanBaseCloudError: the connection is unusable
    """
    from airflow_provider_oceanbase.compat.openlineage import dataset
    from airflow_provider_oceanbase.hooks import OceanBaseHook

    match segments_of(asset.uri):
        case [str(conn_id), str(instance_id), kind, *rest] if conn_id and instance_id and kind:
            hook = lineage_context if isinstance(lineage_context, OceanBaseHook) else None
            if hook is None or hook.oceanbase_conn_id != conn_id:
                hook = OceanBaseHook(conn_id)
            # A backup set is named as by the tasks: by its IDs alone.
            path = rest if kind == BACKUP_SETS and rest else [kind, *rest]
            return dataset(hook.endpoint.origin, "/".join([instance_id, *path]))
    return None
