"""The commands that show instances and backups."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_oceanbase._inferred import STATUSES
from airflow_provider_oceanbase._texts import shown
from airflow_provider_oceanbase.cli.output import show
from airflow_provider_oceanbase.cli.rows import backup_record, backup_row, instance_row, problem, tenant_row
from airflow_provider_oceanbase.cli.run import Exit, command, needs, opened
from airflow_provider_oceanbase.cli.terminal import LOG, progress, say
from airflow_provider_oceanbase.cloud.backup_set import tenants_of, time_of
from airflow_provider_oceanbase.cloud.backup_sets import BackupSetList, utc
from airflow_provider_oceanbase.cloud.instances import InstanceList
from airflow_provider_oceanbase.compat.sdk import AirflowSensorTimeout
from airflow_provider_oceanbase.exceptions import BackupSetFailedError, OceanBaseCloudError
from airflow_provider_oceanbase.waiting.arguments import POKE_INTERVAL
from airflow_provider_oceanbase.waiting.conditions import BackupSetCondition
from airflow_provider_oceanbase.waiting.progress import span
from airflow_provider_oceanbase.waiting.schedule import PollSchedule
from airflow_provider_oceanbase.waiting.tasks import wait_in_worker
from airflow_provider_oceanbase.waiting.wait import Wait, passed

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from airflow_provider_oceanbase.cloud.backup_set import BackupSet
    from airflow_provider_oceanbase.hooks import OceanBaseHook

#: How long "not found" means "not registered yet", as for BackupSetSensor.
_REGISTRATION_SECONDS = 120.0


@command
def instances(arguments: Namespace) -> Exit:
    """List the instances."""
    with opened(arguments) as hook, progress(lambda: "Reading the list of instances"):
        found = hook.fetch(InstanceList()).data
    show(arguments.output, found, [instance_row(instance) for instance in found])
    return Exit.DONE


@command
def backups(arguments: Namespace) -> Exit:
    """List the backup sets of an instance, once or again and again."""
    needs(arguments, "watch", "interval")
    interval = POKE_INTERVAL if arguments.interval is None else arguments.interval
    _note_unknown(arguments.status or ())
    with opened(arguments) as hook:
        _show_list(arguments, _list(hook, arguments, first=True), interval)
        while arguments.watch:
            # A person watches, and ends it with Ctrl-C.
            time.sleep(interval)
            try:
                backup_sets = _list(hook, arguments, first=False)
            except OceanBaseCloudError as error:
                if not error.transient:
                    raise
                say(str(error))
            else:
                _show_list(arguments, backup_sets, interval)
    return Exit.DONE


def _list(hook: OceanBaseHook, arguments: Namespace, *, first: bool) -> list[BackupSet]:
    since = datetime.now(UTC) - timedelta(days=arguments.days)
    query = BackupSetList(arguments.instance_id, start_time=utc("--days", since))
    with progress(lambda: f"Reading the backup sets of {arguments.instance_id}"):
        # As for a wait: a connection that has changed meanwhile is read again.
        found = hook.poll(query, first=first, is_final=lambda error: first or not error.transient).data
    earliest = datetime.min.replace(tzinfo=UTC)
    return sorted(found, key=lambda one: time_of(one, "startTime") or earliest, reverse=True)


def _note_unknown(statuses: Iterable[str]) -> None:
    if unknown := [shown(status) for status in statuses if status.upper() not in STATUSES]:
        say(f"Unknown status: {', '.join(unknown)}. This provider knows {', '.join(sorted(STATUSES))}.")


def _filtered(arguments: Namespace, backup_sets: list[BackupSet]) -> list[BackupSet]:
    """Return the sets with a wanted status; say what statuses there are instead, if there is no such set."""
    if not arguments.status:
        return backup_sets
    wanted = {status.upper() for status in arguments.status}
    found = [one for one in backup_sets if one["status"].upper() in wanted]
    if not found:
        counts = Counter(shown(one["status"]) for one in backup_sets)
        others = ", ".join(f"{count} {status}" for status, count in counts.most_common()) or "no backup set"
        named = " or ".join(map(shown, arguments.status))
        say(f"No backup set of the last {arguments.days} days is {named}. The list has {others}.")
    return found


def _show_list(arguments: Namespace, backup_sets: list[BackupSet], interval: float) -> None:
    now = datetime.now(UTC)
    if arguments.watch and arguments.output in ("table", "plain"):
        print(f"\n{now:%Y-%m-%d %H:%M:%S} UTC, every {span(interval)} until Ctrl-C")  # noqa: T201
    backup_sets = _filtered(arguments, backup_sets)
    bad = {index for index, one in enumerate(backup_sets) if problem(one)}
    rows = [backup_row(one, now) for one in backup_sets]
    show(arguments.output, [backup_record(one, now) for one in backup_sets], rows, bad=bad)
    if bad:
        say(f"{len(bad)} of {len(backup_sets)} backup sets failed or are not valid.")


@command
def backup(arguments: Namespace) -> Exit:
    """Show one backup set, or wait for it."""
    needs(arguments, "wait", "timeout", "interval")
    with opened(arguments) as hook:
        if arguments.wait:
            return _wait(hook, arguments)
        _show_set(arguments, hook.get_backup_set(arguments.instance_id, arguments.backup_task_id))
    return Exit.DONE


def _wait(hook: OceanBaseHook, arguments: Namespace) -> Exit:
    began = time.time()
    registered_by = began + _REGISTRATION_SECONDS
    condition = BackupSetCondition(
        arguments.instance_id, arguments.backup_task_id, registered_by=registered_by
    )
    wait = Wait(condition, LOG)
    given = {"poke_interval": arguments.interval, "timeout": arguments.timeout}
    schedule = PollSchedule(**{name: value for name, value in given.items() if value is not None})
    try:
        with progress(lambda: f"{wait.status or 'no answer yet'}; waiting for {span(round(passed(began)))}"):
            backup_set = wait_in_worker(hook, wait, schedule, began)
    except BackupSetFailedError as error:
        say(str(error))
        with suppress(OceanBaseCloudError):
            # Which tenants failed is worth a request.
            _show_set(arguments, hook.get_backup_set(arguments.instance_id, arguments.backup_task_id))
        return Exit.BACKUP_FAILED
    except AirflowSensorTimeout as error:
        say(str(error))
        return Exit.TIMED_OUT
    _show_set(arguments, backup_set)
    return Exit.DONE


def _show_set(arguments: Namespace, backup_set: BackupSet) -> None:
    now = datetime.now(UTC)
    tenants = tenants_of(backup_set)
    bad = {0} if problem(backup_set) else set()
    show(arguments.output, backup_set, [backup_row(backup_set, now)], bad=bad)
    if tenants and arguments.output in ("table", "plain"):
        bad = {index for index, tenant in enumerate(tenants) if problem(tenant)}
        show(arguments.output, tenants, [tenant_row(tenant, now) for tenant in tenants], bad=bad)
