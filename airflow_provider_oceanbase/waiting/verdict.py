"""What a wait takes from an answer, and what it asks of the condition that it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from airflow_provider_oceanbase.cloud.query import T

if TYPE_CHECKING:
    from collections.abc import Sequence
    from dataclasses import Field

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.cloud.query import Query
    from airflow_provider_oceanbase.exceptions import OceanBaseCloudError, WaitFailedError


class Notice(NamedTuple):
    """A warning, to be logged once for all of its kind.

    :param kind: tells those of one kind from those of another
    """

    kind: str
    text: str


class Verdict(NamedTuple):
    """What an answer means for a wait.

    :param status: what is known now, in words; logged when it changes
    :param found: what satisfies the condition, such as a backup set; None to keep waiting
    :param notices: what else to log
    :param failure: why waiting would not help
    :param underway: the set that is being made, None if none is
    :param progress: how far it is, in words that may change with each poll
    :param advice: what to do if the wait times out now; empty: the condition says it
    """

    status: str
    found: Any = None
    notices: Sequence[Notice] = ()
    failure: WaitFailedError | OceanBaseCloudError | None = None
    underway: BackupSet | None = None
    progress: str = ""
    advice: str = ""


class Condition(Protocol[T]):
    """What is waited for: a dataclass that can be made again from its fields."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    #: What the wait is still without, a phrase; empty: the status alone says it.
    missing: ClassVar[str]
    #: What to do when the wait has timed out although polls were answered.
    stuck: ClassVar[str]

    @property
    def name(self) -> str:
        """What the lines of the log begin with."""

    @property
    def details(self) -> str:
        """What else is given of what is waited for, in words."""

    @property
    def query(self) -> Query[T]:
        """What to request at each poll.

        :raises OceanBaseInputError: a field is unusable
        """

    def judge(self, data: T, request_id: str) -> Verdict:
        """Judge an answer."""

    def summary(self, found: Any) -> dict[str, Any]:
        """Return what a task pushes to XCom of what was waited for."""

    def described(self, found: Any) -> str:
        """Return what is known of it, for the log: each part after a semicolon."""

    def judge_error(self, error: OceanBaseCloudError, status: str | None) -> Verdict | None:
        """Judge a poll that failed; None if the error says nothing about the condition.

        :param status: the last known status
        """
