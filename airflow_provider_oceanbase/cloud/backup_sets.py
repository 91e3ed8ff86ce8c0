"""The backup sets of an instance, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cloud.arguments import PLAIN_HINT, checked_text, unusable
from airflow_provider_oceanbase.cloud.backup_set import parsed_time, problem_of_word, read_backup_set
from airflow_provider_oceanbase.cloud.query import Answer, Request, T, path_segment
from airflow_provider_oceanbase.exceptions import OceanBaseMalformedResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.cloud.query import Exchange

#: How long before its checkpoint, or its end, a backup may have started.
LOOKBACK = timedelta(days=7)
#: Enough for weeks of backups, and small enough for sets of 5,000 tenants, which take 3 MB each.
PAGE_SIZE = 20
MAX_PAGE_SIZE = 1000
#: A list with more pages counts as endless.
MAX_PAGES = 10_000
#: A list with more sets and tenants takes too much memory: a hundred sets of 5,000 tenants have so many.
MAX_ENTRIES = 500_000
#: A page may hold nothing new although more follow, but no more than so many pages in a row.
_MAX_FRUITLESS_PAGES = 20
#: A list that changes while it is read is read so many times at most.
_PASSES = 4


class BackupSetPage(NamedTuple):
    """One page of the list; a field that the API left out is None."""

    backup_sets: list[BackupSet]
    total: int | None
    has_more: bool | None


@dataclass(frozen=True, slots=True)
class BackupSetList:
    """The query for all backup sets of an instance.

    Source: "Query backup sets" of the OceanBase Cloud API reference.

    :param instance_id: ID of the OceanBase cluster
    :param start_time: earliest time to list, UTC, as :func:`utc` writes it; None for no limit
    :param end_time: latest time to list, likewise
    :param check_backup_set_download_enable: have the API check whether the sets can be downloaded
    :param page_size: sets to request at once; the server may return fewer
    :raises OceanBaseInputError: ``instance_id`` or ``page_size`` is unusable
    """

    instance_id: str
    start_time: str | None = None
    end_time: str | None = None
    check_backup_set_download_enable: bool = False
    page_size: int = PAGE_SIZE

    def __post_init__(self) -> None:
        object.__setattr__(self, "instance_id", checked_text("instance_id", self.instance_id))
        if not 1 <= self.page_size <= MAX_PAGE_SIZE:
            problem = f"; it must be from 1 to {MAX_PAGE_SIZE}"
            raise unusable("page_size", self.page_size, problem, hint=PLAIN_HINT)

    @property
    def key(self) -> Hashable:
        """Tells queries apart."""
        return self.page(1).key

    def page(self, number: int) -> Request[BackupSetPage]:
        """Return the request for one page, counted from 1."""
        query = {
            "pageNumber": number,
            "pageSize": self.page_size,
            "startTime": self.start_time,
            "endTime": self.end_time,
            "checkBackupSetDownloadEnable": str(self.check_backup_set_download_enable).lower(),
        }
        return Request(
            path=f"/api/v2/instances/{path_segment('instance_id', self.instance_id)}/backup/data/sets",
            query=urlencode({name: value for name, value in query.items() if value is not None}, safe=":"),
            subject=f"the backup sets of instance {shown(self.instance_id)!r}",
            read=read_backup_set_page,
        )

    def exchange(self) -> Exchange[list[BackupSet]]:
        """Return the requests to send, for the whole list."""
        pages = BackupSetPages(self)
        backup_sets: list[BackupSet] = []
        request_id = ""
        while (request := pages.request) is not None:
            page, request_id = yield request
            backup_sets += pages.take(page, request_id)
        return Answer(backup_sets, request_id)


class BackupSetPages:
    """Reads the pages of a list that may change meanwhile, with neither duplicates nor gaps.

    Sets that appear or disappear while the pages are read move the others to other pages, and no count shows
    it if one goes while another comes. So a list of several pages is read until two passes agree: what a pass
    missed had moved to a page that was read before, and the next pass finds that page changed.
    """

    def __init__(self, backup_sets: BackupSetList) -> None:
        self._list = backup_sets
        self.instance_id = backup_sets.instance_id
        self._number, self._passes, self._fruitless, self._entries = 1, 1, 0, 0
        self._returned: set[str] = set()
        #: The sets listed in this pass, by page, and in all.
        self._pages: list[set[str]] = []
        self._listed: set[str] = set()
        #: The pages of the pass before that a pass must list again to confirm it.
        self._former: list[set[str]] = []
        #: The request for the next page, None after the last.
        self.request: Request[BackupSetPage] | None = backup_sets.page(1)

    def take(self, page: BackupSetPage, request_id: str) -> list[BackupSet]:
        """Take the answer to ``request``; return its new sets.

        :raises OceanBaseMalformedResponseError: the list does not end, or is too long
        """
        by_id = {backup_set["backupSetId"]: backup_set for backup_set in page.backup_sets}
        self._entries += sum(1 + len(one.get("tenantBackupSetList") or ()) for one in page.backup_sets)
        if self._entries > MAX_ENTRIES * self._passes:
            what = f"List has more than {MAX_ENTRIES:,} sets and tenants"
            hint = "Give a later start_time."
            request = self._list.page(self._number)
            raise request.error(OceanBaseMalformedResponseError, what, hint=hint, request_id=request_id)
        self._pages.append(set(by_id))
        self._fruitless = 0 if by_id.keys() - self._listed else self._fruitless + 1
        self._listed |= by_id.keys()
        self._advance(page, request_id)
        new = [backup_set for name, backup_set in by_id.items() if name not in self._returned]
        self._returned |= by_id.keys()
        return new

    def _advance(self, page: BackupSetPage, request_id: str) -> None:
        missing = page.total is not None and len(self._listed) < page.total
        count = len(self._pages)
        if self._pages == self._former:
            # In two passes: sets that appear meanwhile may move a whole page.
            if count > 1 and self._repeats_the_first(page, missing=missing):
                what = f"List is incomplete: page {self._number} is page 1 again"
                request = self._list.page(self._number)
                raise request.error(OceanBaseMalformedResponseError, what, request_id=request_id)
            self.request = None
        elif not self._is_last(page, missing=missing):
            if self._fruitless > _MAX_FRUITLESS_PAGES or count >= MAX_PAGES:
                request = self._list.page(self._number)
                what = f"List does not end: after {count} pages the API says that there are more"
                raise request.error(OceanBaseMalformedResponseError, what, request_id=request_id)
            self._number += 1
            self.request = self._list.page(self._number)
        elif count == 1 or self._passes == _PASSES:
            self.request = None
        else:
            # From the last page, no set moves to one that was read before. A page that only repeats sets may
            # not be the last.
            repeats = self._fruitless and page.backup_sets and page.has_more is None
            self._former = self._pages if repeats else self._pages[:-1]
            self._pages, self._listed = [], set()
            self._number, self._fruitless, self._passes = 1, 0, self._passes + 1
            self.request = self._list.page(1)

    def _is_last(self, page: BackupSetPage, *, missing: bool) -> bool:
        # A server may return smaller pages than requested, so their size says nothing.
        if page.has_more:
            return False
        # One count alone may be about the page instead of the list.
        is_full = len(page.backup_sets) >= self._list.page_size
        is_certain = page.has_more is not None and page.total is not None
        is_open = missing or (is_full and not is_certain) or (page.has_more is None and page.total is None)
        return bool(self._fruitless) or not is_open

    def _repeats_the_first(self, page: BackupSetPage, *, missing: bool) -> bool:
        """Return whether the server ignores the page's number, and there are more sets than it gives."""
        is_full = len(page.backup_sets) >= self._list.page_size
        may_miss = missing or (page.total is None and is_full)
        return may_miss and bool(page.backup_sets) and self._pages[-1] == self._pages[0]


def read_backup_set_page(data: object) -> BackupSetPage:
    """Return ``data`` of the response as a page of the list.

    :raises ValueError: the data are not of the documented shape
    """
    return BackupSetPage(*read_page(data, _read_listed))


def read_page(data: object, read_item: Callable[[object], T]) -> tuple[list[T], int | None, bool | None]:
    """Return the items of a page, of any list of the API, its ``total`` and its ``hasMore``.

    :param read_item: makes an item of its data; a ``ValueError`` says what is wrong with them
    :raises ValueError: the data are not of the documented shape
    """
    if data is None or data == {}:
        return [], None, None
    if not isinstance(data, dict):
        raise ValueError("data are no object")
    if "dataList" not in data:
        raise ValueError("data have no dataList")
    items = data["dataList"]
    if not isinstance(items, list | None):
        raise ValueError("dataList is no list")
    return [read_item(item) for item in items or ()], *counts_of(data)


def counts_of(fields: Mapping[str, object]) -> tuple[int | None, bool | None]:
    """Return how many items a list has in all, and whether more follow: what its fields say, else None."""
    counts = [fields.get(name) for name in ("total", "totalCount")]
    known = [count for count in counts if isinstance(count, int) and not isinstance(count, bool)]
    has_more = fields.get("hasMore")
    return max(known, default=None), has_more if isinstance(has_more, bool) else None


def _read_listed(item: object) -> BackupSet:
    backup_set = read_backup_set(item)
    if backup_set is None or not backup_set.get("backupSetId"):
        raise ValueError("dataList has an entry without backupSetId")
    if problem := problem_of_word(backup_set, "backupSetId"):
        raise ValueError(problem)
    return backup_set


def utc(name: str, time: datetime) -> str:
    """Return a time in the format of the API, such as ``2026-01-19T10:32:28Z``.

    :raises OceanBaseInputError: it is no datetime, or has no time zone
    """
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise unusable(name, time, "; it must be a datetime with a time zone", hint=PLAIN_HINT)
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def checked_time(name: str, value: object) -> datetime:
    """Return a time that a DAG gives.

    :raises OceanBaseInputError: it is neither a datetime nor ISO 8601, has no time zone, or is before 1970
    """
    time = value if isinstance(value, datetime) else parsed_time(value, zone=None)
    if time is None or time.tzinfo is None or time.year < 1970:
        raise unusable(name, value, ", which is no time in ISO 8601 with a time zone")
    return time


def day_of(time: datetime) -> str:
    """Return the start of a time's UTC day in the format of the API, so that queries of one day are equal."""
    return f"{time.astimezone(UTC).date()}T00:00:00Z"
