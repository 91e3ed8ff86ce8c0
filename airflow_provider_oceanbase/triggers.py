"""Triggers: waits that hold no worker slot, and BackupSetEventTrigger, which reports backup sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.compat.sdk import BaseEventTrigger, TriggerEvent
from airflow_provider_oceanbase.waiting.arguments import POKE_INTERVAL, SUCCESS_STATUSES, checked_statuses
from airflow_provider_oceanbase.waiting.trigger import WaitTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Hashable, Iterator

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.compat.sdk import SharedStreamProducer
    from airflow_provider_oceanbase.waiting.checkpoint import CheckpointCondition
    from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition
    from airflow_provider_oceanbase.waiting.restorable import RestorableCondition
    from airflow_provider_oceanbase.watching.listings import BackupSetLister
    from airflow_provider_oceanbase.watching.stream import StreamItem
    from airflow_provider_oceanbase.watching.watcher import Watcher

#: An event is a row of Airflow's database, and goes to each DAG run that it triggers.
_SETS_PER_EVENT = 100
#: The arguments that event triggers with one shared stream have in common.
_SHARED = ("instance_id", "oceanbase_conn_id", "poke_interval")


# Imports inside functions: DAG files with assets import this module when parsed.
class BackupSetTrigger(WaitTrigger):
    """Waits until a backup set is complete or has failed, or the wait times out.

    :class:`~airflow_provider_oceanbase.sensors.BackupSetSensor` defers to it. Its condition is a
    :class:`~airflow_provider_oceanbase.waiting.conditions.BackupSetCondition`; for the rest see
    :class:`~airflow_provider_oceanbase.waiting.trigger.WaitTrigger`.
    """

    @property
    def condition_class(self) -> type[BackupSetCondition]:
        """The class of the condition."""
        from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition

        return BackupSetCondition


class BackupCheckpointTrigger(WaitTrigger):
    """Waits until an instance has a backup that is recent enough, or the wait times out.

    :class:`~airflow_provider_oceanbase.sensors.BackupCheckpointSensor` defers to it. Its condition is a
    :class:`~airflow_provider_oceanbase.waiting.checkpoint.CheckpointCondition`; for the rest see
    :class:`~airflow_provider_oceanbase.waiting.trigger.WaitTrigger`.
    """

    @property
    def condition_class(self) -> type[CheckpointCondition]:
        """The class of the condition."""
        from airflow_provider_oceanbase.waiting.checkpoint import CheckpointCondition

        return CheckpointCondition


class RestorablePointTrigger(WaitTrigger):
    """Waits until tenants can be restored to a point in time, or never can, or the wait times out.

    :class:`~airflow_provider_oceanbase.sensors.RestorablePointSensor` defers to it. Its condition is a
    :class:`~airflow_provider_oceanbase.waiting.restorable.RestorableCondition`; for the rest see
    :class:`~airflow_provider_oceanbase.waiting.trigger.WaitTrigger`.
    """

    @property
    def condition_class(self) -> type[RestorableCondition]:
        """The class of the condition."""
        from airflow_provider_oceanbase.waiting.restorable import RestorableCondition

        return RestorableCondition


class BackupSetEventTrigger(BaseEventTrigger):
    """Watches an instance, and fires for each of its backup sets that completes; for an ``AssetWatcher``.

    Use :func:`~airflow_provider_oceanbase.assets.backup_set_asset`, which puts it into an asset, and
    :func:`~airflow_provider_oceanbase.assets.backup_sets_of`, which reads its events. The payload of an
    event is a dict with ``instance_id`` and ``backup_sets``: the summaries of all sets that completed since
    the poll before, in the order of their end.

    - Sets that are complete at the first successful poll fire nothing. Each set that completes later fires at
      least once: on Airflow 3.3 and newer even if it completes while no triggerer runs, or while all DAGs of
      the asset are paused. If a triggerer is killed before it has saved that an event was reported, the event
      fires again.
    - Before Airflow 3.3 a trigger has no memory of its own: each start is a first start.
    - A set may complete up to 7 days after it began. If more than 1,000 have been reported in that time, the
      trigger remembers up to 4,000 others that are still running. The log names the sets that go beyond.
    - Any failure, such as an outage, a refused AccessKey, a missing connection or a state store that fails,
      is logged, again at growing intervals while it lasts, and once when it is over. The trigger polls again
      at the interval. No set counts as reported meanwhile.

    On Airflow 3.3 and newer, triggers with the same instance, connection and interval share their polls.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of a connection of type ``oceanbase``; default ``oceanbase_default``
    :param poke_interval: seconds between two polls; default 60
    :param success_statuses: statuses of a complete set; default DONE
    :param require_valid: whether its ``validity`` must be VALID; default True
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
        # An exception here would stop the whole triggerer: the arguments are checked later.
        super().__init__()  # type: ignore[no-untyped-call]
        self.instance_id = instance_id
        self.oceanbase_conn_id = oceanbase_conn_id
        self.poke_interval = poke_interval
        self.success_statuses = success_statuses
        self.require_valid = require_valid

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class, and the arguments to make the trigger again.

        :raises TypeError: ``success_statuses`` is no list of statuses
        """
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "instance_id": self.instance_id,
            "oceanbase_conn_id": self.oceanbase_conn_id,
            "poke_interval": self.poke_interval,
            # Airflow distinguishes triggers by what it stores: no tuple, and one order.
            "success_statuses": sorted(checked_statuses("success_statuses", self.success_statuses)),
            "require_valid": self.require_valid,
        }

    def shared_stream_key(self) -> Hashable:
        """Return what triggers with one shared stream have in common."""
        # As text, so that any argument will do.
        arguments = self.serialize()[1]
        return __name__, *(repr(arguments[name]) for name in _SHARED)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the stream of listings that triggers share."""
        from airflow_provider_oceanbase.watching.stream import ListingStream

        return ListingStream(_lister(kwargs))

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[StreamItem]
    ) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each listing of the stream that has new sets, several if they are many."""
        watcher = self._watcher()
        with watcher.named():
            async for item in shared_stream:
                if isinstance(item, int):
                    await watcher.save(item)
                else:
                    for event in self._events(await watcher.take(item)):
                        yield event

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each listing that has new sets: before Airflow 3.3, which has shared streams."""
        watcher = self._watcher()
        async with _lister(self.serialize()[1]) as lister:
            while True:
                for event in self._events(await watcher.take(await lister.next())):
                    yield event

    def _watcher(self) -> Watcher:
        from airflow_provider_oceanbase.watching.cursor import Criteria
        from airflow_provider_oceanbase.watching.watcher import Watcher

        return Watcher(
            instance_id=self.instance_id,
            oceanbase_conn_id=self.oceanbase_conn_id,
            criteria=Criteria(self.success_statuses, self.require_valid),
            # Only Airflow 3.3 and newer has one.
            store=getattr(self, "asset_state_store", None),
            log=self.log,
        )

    def _events(self, new: list[BackupSet]) -> Iterator[TriggerEvent]:
        from airflow_provider_oceanbase.cloud.backup_set import summary
        from airflow_provider_oceanbase.watching.watcher import some_ids

        if new:
            text = "New backup sets of instance %r: %d (%s)."
            self.log.info(text, self.instance_id, len(new), some_ids(new))
        for begin in range(0, len(new), _SETS_PER_EVENT):
            summaries = [dict(summary(one)) for one in new[begin : begin + _SETS_PER_EVENT]]
            payload = {"instance_id": self.instance_id, "backup_sets": summaries}
            yield TriggerEvent(payload)  # type: ignore[no-untyped-call]


def _lister(arguments: dict[str, Any]) -> BackupSetLister:
    from airflow_provider_oceanbase.watching.listings import BackupSetLister

    return BackupSetLister(**{name: arguments[name] for name in _SHARED})
