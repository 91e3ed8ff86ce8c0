"""What the test of a connection says, in the words of Airflow's form: it knows no instance and no backup."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseMalformedResponseError,
    OceanBaseNotFoundError,
    OceanBaseRefusedError,
    OceanBaseThrottledError,
    OceanBaseUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_oceanbase.cloud.endpoint import Endpoint

#: So many instances are named at most, by so many characters each.
NAMED_INSTANCES = 5
_ID_CHARACTERS = 40


def success(instances: object, endpoint: Endpoint) -> str:
    """Return a sentence that names what the AccessKey sees.

    :param instances: ``data`` of the response
    """
    project = _project(endpoint)
    where = f"in {project}" if project else "in the project that the account used last"
    fields: dict[Any, Any] = instances if isinstance(instances, dict) else {}
    if not isinstance(fields.get("dataList"), list):
        return f"AccessKey accepted {where}."
    ids = list(islice(_ids(fields["dataList"]), NAMED_INSTANCES))
    total = fields.get("total")
    count = max(total, len(ids)) if type(total) is int else len(ids)
    if not count:
        return f"AccessKey accepted, but it sees no instance {where}. Check Project ID."
    more = ["…"] if count > len(ids) else []
    some = f"{count:,} instance{'s' if count > 1 else ''}"
    return f"AccessKey accepted. It sees {some} {where}: {', '.join(ids + more)}."


def _ids(items: list[Any]) -> Iterator[str]:
    for item in items:
        if isinstance(item, dict) and isinstance(name := item.get("instanceId"), str):
            yield shown(name if len(name) <= _ID_CHARACTERS else name[:_ID_CHARACTERS] + "…")


def diagnosis(error: OceanBaseCloudError, endpoint: Endpoint | None) -> str:
    """Return what to fix, for an error that the test met.

    :param endpoint: None: the connection is unusable
    """
    hint = (endpoint and _hint(error, endpoint)) or error.hint
    # The form tests a connection under a name that it makes up, and support knows no request without answer.
    request_id = None if error.status_code is None else error.request_id
    return str(replace(error, subject=None, conn_id=None, request_id=request_id, hint=hint))


def _hint(error: OceanBaseCloudError, endpoint: Endpoint) -> str | None:
    """Return what to do, None if the error's own hint says it."""
    project, status = _project(endpoint), error.status_code
    own = error.hint != error.default_hint
    match error:
        case OceanBaseAuthenticationError() if status == 401 and not own:
            return "Check AccessKey ID and AccessKey secret, that the key is enabled, and Host."
        case OceanBaseUnavailableError() | OceanBaseMalformedResponseError() if _may_want_tls(
            error, endpoint
        ):
            return "Check Schema, Host and Port: this port may want https."
        case OceanBaseNotFoundError():
            return "Check Host and Port: this does not answer as OceanBase Cloud does."
        case OceanBaseThrottledError():
            return "Try again in a while."
        case OceanBaseUnavailableError() if status is not None and not own:
            return "Try again later: OceanBase Cloud, or what stands before it, has a problem."
        case OceanBaseAuthenticationError() | OceanBaseRefusedError() if not own:
            which = f": {project} may not exist, or not for this AccessKey" if project else ""
            return f"Check Project ID, and what the AccessKey may do{which}."
    return None


def _may_want_tls(error: OceanBaseCloudError, endpoint: Endpoint) -> bool:
    # Through a proxy, it is the proxy's answer that is missing.
    is_plain = endpoint.origin.startswith("http:") and not endpoint.proxy
    return is_plain and error.status_code is None and "complete" in error.what


def _project(endpoint: Endpoint) -> str | None:
    return endpoint.project_id and f"project {shown(endpoint.project_id)!r}"
