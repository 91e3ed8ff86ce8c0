"""Where a wait begins: in the triggerer, or in a worker if the triggerer could not begin it.

What the triggerer of Airflow 3.3 does with a task that starts there was read in its sources, and tried. It
renders templates without the settings of the DAG. An error while it prepares a task, or a request that it
does not answer, ends or blocks it with all its triggers. So a wait begins there only if all that matters is
known to work.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.compat.sdk import conf, starts_in_triggerer
from airflow_provider_oceanbase.waiting.beginning import Start
from airflow_provider_oceanbase.waiting.tasks import TIMEOUT_MARGIN_SECONDS
from airflow_provider_oceanbase.waiting.templates import has_template, is_renderable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from airflow_provider_oceanbase.compat.sdk import BaseOperator, StartTriggerArgs
    from airflow_provider_oceanbase.waiting.schedule import PollSchedule

#: Airflow itself ends the wait at ``execution_timeout``; the last poll comes so many seconds before that.
_LAST_POLL_SECONDS = 45.0
#: And may take as many less, so that Airflow has its event by then.
_EVENT_SECONDS = 10.0
#: How DAGs change what templates render to; each with what Airflow has where nothing is changed.
_RENDERING = {"render_template_as_native_obj": False, "jinja_environment_kwargs": None}
#: What of a task Airflow calls in a worker, and not in the triggerer.
_CALLED = ("execute", "poke", "pre_execute", "render_template_fields", "render_template", "get_template_env")
#: Whose own they may be.
_KNOWN_MODULES = ("airflow.sdk.", f"{__name__.partition('.')[0]}.")
#: Airflow hands the whole DAG to the triggerer with each wait: with 800 waits in a DAG that takes gigabytes,
#: and blocks the triggerer for half a minute.
_MOST_TASKS = 200


def hindrance(task: BaseOperator, *, mapped: bool) -> str:
    """Return why a wait cannot begin in the triggerer, nothing if it can: before templates are rendered.

    :param mapped: whether the task is mapped
    """
    if not starts_in_triggerer():
        return "Airflow is older than 3.3"
    if mapped:
        return "the task is mapped"
    return next((text for text, applies in _hindrances(task) if applies), "")


def _hindrances(task: BaseOperator) -> Iterator[tuple[str, bool]]:
    # The scheduler gives the trigger no queue.
    yield "triggers have queues", conf.getboolean("triggerer", "queues_enabled", fallback=False)
    yield (
        f"the DAG has more than {_MOST_TASKS} tasks",
        len(getattr(task.get_dag(), "task_ids", ())) > _MOST_TASKS,
    )
    own = [name for name in _CALLED if _has_own(task, name)]
    yield f"the task has its own {', '.join(own)}", bool(own)
    # It would end the triggerer, with all its triggers, even if the DAG run has a value.
    yield "a param has no default", any(not one.has_value and one.value is not None for one in _params(task))
    yield from _template_hindrances(task)


def _template_hindrances(task: BaseOperator) -> Iterator[tuple[str, bool]]:
    dag = task.get_dag()
    values = {name: getattr(task, name) for name in task.template_fields}
    # Whatever the texts are: for such a DAG, one without braces may be a template, or no text.
    changed = [name for name, usual in _RENDERING.items() if getattr(dag, name, usual) != usual]
    yield f"the DAG sets {', '.join(changed)}", bool(changed)
    own = getattr(task, "render_template_as_native_obj", None)
    yield "the task sets render_template_as_native_obj", bool(own)
    if dag and any(map(has_template, values.values())):
        other = dag.template_undefined.__name__ != "StrictUndefined"
        yield "the DAG sets template_undefined", other
        odd = not all(_is_handed_over(one.value) for one in _params(task))
        yield "a param holds lists, tuples or dicts in a list", odd
    filters = (dag and dag.user_defined_filters) or ()
    for name, value in values.items():
        renderable = is_renderable(value, extensions=task.template_ext, filters=filters)
        yield f"only a worker can render {name}", not renderable


def _has_own(task: BaseOperator, name: str) -> bool:
    if name in vars(task) or getattr(task, f"_{name}_hook", None):
        return True
    owner = next(one for one in type(task).__mro__ if name in vars(one))
    return not owner.__module__.startswith(_KNOWN_MODULES)


def _params(task: BaseOperator) -> Iterator[Any]:
    for owner in (task.get_dag(), task):
        params: Any = getattr(owner, "params", None) or {}
        yield from (params.get_param(name) for name in params)


def _is_handed_over(value: Any) -> bool:
    """Return whether the triggerer gets the value of a param as it is, and not partly encoded."""
    if isinstance(value, dict):
        return all(map(_is_handed_over, value.values()))
    if isinstance(value, list | tuple):
        return not any(isinstance(one, list | tuple | dict | set) for one in value)
    return True


def start_trigger_args(
    task: Any,
    trigger_class: Callable[..., Any],
    schedule: PollSchedule,
    *,
    moments: dict[str, float],
    given: Collection[str],
) -> StartTriggerArgs:
    """Return what Airflow is to start in the triggerer: the same each time, as it belongs to the DAG.

    :param task: a sensor, with an attribute for each field of the condition that is no moment
    :param trigger_class: its trigger
    :param schedule: when it polls
    :param moments: fields of the condition that are moments, as seconds since the wait began
    :param given: optional arguments that the DAG gives
    """
    from airflow_provider_oceanbase.cloud.endpoint import DEFAULT_TIMEOUT_SECONDS
    from airflow_provider_oceanbase.compat.sdk import StartTriggerArgs
    from airflow_provider_oceanbase.waiting.schedule import grace

    # The connection, and its timeout, is not known.
    schedule = replace(schedule, grace=grace(DEFAULT_TIMEOUT_SECONDS))
    own_timeout = schedule.timeout + schedule.grace + TIMEOUT_MARGIN_SECONDS
    if task.execution_timeout and (limit := task.execution_timeout.total_seconds()) < own_timeout:
        last_poll = min(_LAST_POLL_SECONDS, limit / 2)
        grace_seconds = last_poll - min(_EVENT_SECONDS, last_poll / 4)
        schedule = replace(schedule, timeout=min(schedule.timeout, limit - last_poll), grace=grace_seconds)
        own_timeout = limit
    condition: Any = trigger_class(schedule={}, oceanbase_conn_id="").condition_class
    names = [one.name for one in fields(condition) if one.name not in moments]
    templated = [name for name in ("oceanbase_conn_id", *names) if has_template(getattr(task, name))]
    path, arguments = trigger_class(
        schedule=asdict(schedule),
        oceanbase_conn_id=_storable(task.oceanbase_conn_id),
        start=asdict(Start(own_timeout, sorted(given), moments, templated)),
        **{name: _storable(getattr(task, name)) for name in names},
    ).serialize()
    return StartTriggerArgs(
        trigger_cls=path,
        trigger_kwargs=arguments,
        next_method="execute_complete",
        timeout=timedelta(seconds=own_timeout),
    )


def _storable(value: Any) -> Any:
    """Return an argument as Airflow stores it; it is renderable, or no template."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _storable(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        # One order, so that the DAG stays the same.
        return sorted(map(_storable, value), key=str)
    return [_storable(one) for one in value] if isinstance(value, list | tuple) else value
