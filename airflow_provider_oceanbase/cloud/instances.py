"""The instances of an account, page by page.

Source: "Query the list of clusters" of the OceanBase Cloud API reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, cast

from airflow_provider_oceanbase.cloud.backup_set import is_word
from airflow_provider_oceanbase.cloud.backup_sets import read_page
from airflow_provider_oceanbase.cloud.query import Answer, Request
from airflow_provider_oceanbase.exceptions import OceanBaseMalformedResponseError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from airflow_provider_oceanbase.cloud.query import Exchange

_PAGE_SIZE = 100
#: A list with more pages counts as endless.
_MAX_PAGES = 1000


class Instance(TypedDict, total=False):
    """An instance (OceanBase cluster), as the API gives it; fields unknown here pass through."""

    instanceId: str
    """ID of the instance: the only field that is checked."""
    instanceName: str
    """Name of the instance."""
    status: str
    """Status, such as ``ONLINE``."""
    version: str
    """Version of OceanBase Database, such as ``4.2.3``."""
    cloudProvider: str
    """Cloud service provider, such as ``QCLOUD``."""
    instanceClass: str
    """Specification, such as ``4C16G``."""
    deployMode: str
    """Distribution of the replicas, such as ``1-1-1``."""
    createTime: str
    """When the instance was created: UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class InstanceList:
    """The query for all instances that the AccessKey, and the project, can see."""

    page_size: int = _PAGE_SIZE

    @property
    def key(self) -> Hashable:
        """Tells queries apart."""
        return self.page(1).key

    def page(self, number: int) -> Request[tuple[list[Instance], int | None, bool | None]]:
        """Return the request for one page, counted from 1."""
        return Request(
            path="/api/v2/instances",
            query=f"pageNumber={number}&pageSize={self.page_size}",
            subject="the list of instances",
            read=lambda data: read_page(data, _read_instance),
        )

    def exchange(self) -> Exchange[list[Instance]]:
        """Return the requests to send, for the whole list."""
        found: dict[str, Instance] = {}
        for number in range(1, _MAX_PAGES + 1):
            (instances, total, has_more), request_id = yield self.page(number)
            before = len(found)
            found |= {instance["instanceId"]: instance for instance in instances}
            complete = total is not None and len(found) >= total
            # A page that brings nothing new ends the list, whatever the counts say.
            if len(found) == before or has_more is False or (has_more is None and complete):
                return Answer(list(found.values()), request_id)
        what = f"List does not end: after {_MAX_PAGES} pages the API says that there are more"
        raise self.page(_MAX_PAGES).error(OceanBaseMalformedResponseError, what, request_id=request_id)


def _read_instance(item: object) -> Instance:
    if not isinstance(item, dict) or not is_word(item.get("instanceId")):
        raise ValueError("dataList has an entry without instanceId")
    return cast("Instance", item)
