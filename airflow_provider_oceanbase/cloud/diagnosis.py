"""What to fix when the test of a connection fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_oceanbase.exceptions import (
    OceanBaseAuthenticationError,
    OceanBaseCloudError,
    OceanBaseMalformedResponseError,
    OceanBaseNotFoundError,
    OceanBaseUnavailableError,
)

if TYPE_CHECKING:
    from airflow_provider_oceanbase.cloud.endpoint import Endpoint


def diagnosis(error: OceanBaseCloudError, endpoint: Endpoint) -> str:
    """Return a sentence that says what to fix, for an error that the test met."""
    if isinstance(error, OceanBaseAuthenticationError) and error.status_code == 401:
        return "The AccessKey is wrong or disabled: check login and password."
    if isinstance(error, OceanBaseUnavailableError) and error.status_code is None:
        return f"Nothing answers as {endpoint.origin}: check host, port, verify and proxy."
    if isinstance(error, OceanBaseMalformedResponseError | OceanBaseNotFoundError):
        return f"{endpoint.origin} does not answer as OceanBase Cloud does: check host."
    if endpoint.project_id is not None and not error.transient:
        return f"Project {endpoint.project_id!r} may not exist, or not for this AccessKey: check project_id."
    if isinstance(error, OceanBaseAuthenticationError):
        return "The AccessKey may not list instances: check its project and permissions."
    return "OceanBase Cloud did not serve the request."
