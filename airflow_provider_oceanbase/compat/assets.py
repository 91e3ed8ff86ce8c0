"""The URIs of what OceanBase Cloud holds, and which of it a task reads and makes by its own code.

``oceanbase-cloud://CONNECTION/INSTANCE/backup-sets/ID``: a URI names a connection, which a DAG file knows,
and not its host.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from airflow_provider_oceanbase.compat.sdk import BaseHook

SCHEME = "oceanbase-cloud"
BACKUP_SETS = "backup-sets"
TENANTS = "tenants"
#: A template that nothing has rendered: it names nothing.
_TEMPLATE = re.compile(r"\{[{%]")

log = logging.getLogger(__name__)


def asset_uri(conn_id: str, instance_id: str, *path: str) -> str:
    """Return a URI in Airflow's normal form."""
    segments = "/".join(quote(segment, safe="") for segment in (conn_id, instance_id, *path))
    return f"{SCHEME}://{segments}"


def segments_of(uri: str) -> list[str]:
    """Return the connection ID, the instance ID and what follows in a URI; too few if it is another.

    None if it has user info or a port, or an unrendered template: they may be secret, and are no part of an
    ID. :func:`asset_uri` encodes what looks like them.
    """
    parts = urlsplit(uri)
    segments = [unquote(segment) for segment in (parts.netloc, *parts.path.split("/")[1:])]
    is_another = re.search("[@:]", parts.netloc) or any(map(_TEMPLATE.search, segments))
    return [] if is_another else segments


def record(hook: BaseHook, conn_id: str, kind: Literal["input", "output"], *path: str) -> None:
    """Record what a task has read, or made, by its hook; Airflow's openlineage provider reports it.

    Outside tasks, as on the command line, nothing collects it.

    :param path: of the URI, from the instance ID on
    """
    if not _runs_task():
        return
    from airflow_provider_oceanbase.compat.sdk import get_hook_lineage_collector

    try:
        collector = get_hook_lineage_collector()
        # Airflow 2 calls assets datasets.
        add = getattr(collector, f"add_{kind}_asset", None) or getattr(collector, f"add_{kind}_dataset")
        add(context=hook, uri=asset_uri(conn_id, *path))
    except Exception as error:
        # What was read is read, whatever a plugin does.
        log.debug("Lineage is not recorded (%s)", type(error).__name__)


def _runs_task() -> bool:
    # As in compat.sdk: only what runs a task has SUPERVISOR_COMMS, and Airflow 2 keeps its context.
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    former = sys.modules.get("airflow.models.taskinstance")
    return bool(getattr(runner, "SUPERVISOR_COMMS", None) or getattr(former, "_CURRENT_CONTEXT", None))
