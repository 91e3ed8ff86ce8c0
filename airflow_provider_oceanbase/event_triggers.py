"""BackupSetEventTrigger: tells Airflow 3 of each backup set that gets done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase._compat import BaseEventTrigger, TriggerEvent
from airflow_provider_oceanbase.exceptions import shown
from airflow_provider_oceanbase.statuses import SUCCESS_STATUSES, checked_statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Hashable

    from airflow_provider_oceanbase._compat import SharedStreamProducer
    from airflow_provider_oceanbase.backup_set import BackupSet
    from airflow_provider_oceanbase.polls import Poll, Polls
    from airflow_provider_oceanbase.watcher import Watcher

#: Seconds between two polls, where nothing else is said.
POKE_INTERVAL = 60.0
#: The arguments that triggers have in common which share a poll.
_SHARED = ("instance_id", "oceanbase_conn_id", "poke_interval")


# A DAG file makes the trigger whenever it is parsed: what only a run needs is imported where it is needed.
class BackupSetEventTrigger(BaseEventTrigger):
    """Watches an instance, and fires for each backup set of it that gets done; for an ``AssetWatcher``.

    Use :func:`~airflow_provider_oceanbase.assets.backup_set_asset`, which puts it into an asset. The payload
    of an event is a dict with ``instance_id`` and ``backup_sets``: the summaries of all sets that got done
    since the poll before, in the order of their end.

    - What is done at the first start is known, and fires nothing. From then on each set fires at least once:
      on Airflow 3.3 and newer also one that gets done while no triggerer runs, or while all DAGs of the asset
      are paused. A triggerer that is killed between an event and the note of it fires it once more.
    - Before Airflow 3.3 a trigger has no memory of its own: each start is a first start.
    - A set may get done up to 7 days after it began; of more than 1,000 sets in that time the oldest are
      forgotten.
    - Whatever fails, be it an outage, a refused AccessKey or a missing connection, is told once, and tried
      again at the interval.

    On Airflow 3.3 and newer, triggers with the same instance, connection and interval share one poll.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``
    :param poke_interval: seconds between two polls
    :param success_statuses: statuses of a set that is done
    :param require_valid: whether it has to be VALID
    """

    def __init__(
        self,
        instance_id: str,
        *,
        oceanbase_conn_id: str = "oceanbase_default",
        poke_interval: float = POKE_INTERVAL,
        success_statuses: Collection[str] = SUCCESS_STATUSES,
        require_valid: bool = True,
    ) -> None:
        # An exception here would stop the whole triggerer: whatever came is looked at later.
        super().__init__()  # type: ignore[no-untyped-call]
        self.instance_id = instance_id
        self.oceanbase_conn_id = oceanbase_conn_id
        self.poke_interval = poke_interval
        self.success_statuses = success_statuses
        self.require_valid = require_valid

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path, and the arguments to make the trigger again.

        :raises TypeError: ``success_statuses`` is no list of statuses
        """
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "instance_id": self.instance_id,
            "oceanbase_conn_id": self.oceanbase_conn_id,
            "poke_interval": self.poke_interval,
            # Airflow tells triggers apart by what it stores: no tuple, and one order.
            "success_statuses": sorted(checked_statuses("success_statuses", self.success_statuses)),
            "require_valid": self.require_valid,
        }

    def shared_stream_key(self) -> Hashable:
        """Return what triggers have in common which share a poll."""
        # As text, so that any argument will do.
        arguments = self.serialize()[1]
        return __name__, *(repr(arguments[name]) for name in _SHARED)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the poll that triggers share."""
        from airflow_provider_oceanbase.shared_polls import SharedPolls

        return SharedPolls(_polls(kwargs))

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Poll | None]
    ) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each shared poll that has something new."""
        watcher = self._watcher()
        async for poll in shared_stream:
            if poll is None:
                await watcher.save()
            elif new := await watcher.take(poll):
                yield self._event(new)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each poll that has something new: before Airflow 3.3, which shares no polls."""
        watcher = self._watcher()
        async with _polls(self.serialize()[1]) as polls:
            while True:
                if new := await watcher.take(await polls.next()):
                    yield self._event(new)

    def _watcher(self) -> Watcher:
        from airflow_provider_oceanbase.cursor import Criteria
        from airflow_provider_oceanbase.watcher import Watcher

        return Watcher(
            instance_id=self.instance_id,
            oceanbase_conn_id=self.oceanbase_conn_id,
            criteria=Criteria(self.success_statuses, self.require_valid),
            # Only Airflow 3.3 and newer gives one.
            store=getattr(self, "asset_state_store", None),
            log=self.log,
        )

    def _event(self, new: list[BackupSet]) -> TriggerEvent:
        from airflow_provider_oceanbase.backup_set import summary

        ids = ", ".join(shown(backup_set["backupSetId"]) for backup_set in new)
        self.log.info("New backup sets of instance %r: %s.", self.instance_id, ids)
        summaries = [dict(summary(backup_set)) for backup_set in new]
        payload = {"instance_id": self.instance_id, "backup_sets": summaries}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]


def _polls(arguments: dict[str, Any]) -> Polls:
    from airflow_provider_oceanbase.polls import Polls

    return Polls(**{name: arguments[name] for name in _SHARED})
