"""Which templates the triggerer can render: a list of what is known to work there, with Airflow 3.3.

Its sources were read, and names were tried. What is not on the list may work, or hang for ever (a request
that the triggerer does not answer, as ``ti.xcom_pull`` sends), or come out differently than in a worker.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from jinja2 import nodes

#: Names with all that belongs to them.
_NAMES = frozenset(
    (
        "conn",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "logical_date",
        "params",
        "run_id",
    )
) | {"ts", "ts_nodash", "ts_nodash_with_tz", "var"}
_TASK_INSTANCE = frozenset(("dag_id", "map_index", "run_id", "task_id", "try_number"))
#: Names of which only some attributes are known to work.
_ATTRIBUTES = {
    "dag": frozenset(("dag_id",)),
    "dag_run": frozenset(
        (
            "conf",
            "data_interval_end",
            "data_interval_start",
            "logical_date",
            "run_after",
            "run_id",
        )
    ),
    "macros": frozenset(("ds_add", "ds_format", "ds_format_locale", "timedelta")),
    "task": frozenset(("task_id",)),
    "task_instance": _TASK_INSTANCE,
    "ti": _TASK_INSTANCE,
}
#: What a template may call, besides macros. Others may wait for a network, as a connection's hook does, and
#: block the triggerer. Of times, what is the same each time.
_METHODS = frozenset(
    (
        *("add", "astimezone", "date", "end_of", "format", "in_timezone", "isoformat", "replace", "start_of"),
        *("strftime", "subtract", "time", "timestamp", "to_date_string", "to_datetime_string"),
        *("to_iso8601_string", "total_seconds", "utcoffset", "weekday"),
        *("endswith", "get", "items", "join", "keys", "lower", "lstrip", "partition", "removeprefix"),
        *("removesuffix", "rpartition", "rsplit", "rstrip", "split", "startswith", "strip", "title", "upper"),
        *("values", "zfill"),
    )
)
#: They say something else each time, and so do attributes of these names.
_CHANGING = frozenset(("age", "diff_for_humans", "now", "random", "today", "utcnow"))
#: They take the name of another filter, or of a test, as a text, or of a method.
_INDIRECT = frozenset(("attr", "map", "reject", "rejectattr", "select", "selectattr"))
#: Airflow's own; the rest is Jinja's.
_FILTERS = frozenset(("ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"))


def is_renderable(value: object, *, extensions: Collection[str], filters: Collection[str]) -> bool:
    """Return whether the triggerer makes the same of an argument as a worker.

    :param value: the argument, before its templates are rendered
    :param extensions: endings of texts that name a file with a template
    :param filters: names of filters that the DAG defines
    """
    if isinstance(value, str):
        return not value.endswith(tuple(extensions)) and _is_renderable_text(value, filters)
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, frozenset) and has_template(value):
        # A worker leaves it as it is.
        return False
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_renderable(one, extensions=extensions, filters=filters) for one in value)
    # Anything else may be resolved, as the output of a task is.
    return value is None or isinstance(value, bool | int | float | date)


def has_template(value: object) -> bool:
    """Return whether there is a template anywhere in an argument: what Jinja may change."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(has_template, value))
    # Jinja drops the last line break, and writes the others its own way.
    return isinstance(value, str) and ("{" in value or "\r" in value or value.endswith("\n"))


def _is_renderable_text(text: str, filters: Collection[str]) -> bool:
    if not has_template(text):
        return True
    from jinja2 import Environment, TemplateSyntaxError, nodes

    environment = Environment(autoescape=True)
    try:
        tree = environment.parse(text)
    except TemplateSyntaxError:
        return False
    known_filters = ({*environment.filters} | _FILTERS) - {*filters} - _CHANGING - _INDIRECT
    # A name that the template defines itself is none of Airflow's: a worker renders that, and includes.
    known = {
        id(one.node)
        for one in tree.find_all(nodes.Getattr)
        if isinstance(one.node, nodes.Name) and one.attr in _ATTRIBUTES.get(one.node.name, ())
    }
    return (
        all(one.name in _NAMES or id(one) in known for one in tree.find_all(nodes.Name))
        and all(one.attr not in _CHANGING for one in tree.find_all(nodes.Getattr))
        and all(_is_known_call(one) for one in tree.find_all(nodes.Call))
        and all(one.name in known_filters for one in tree.find_all(nodes.Filter))
        and all(one.name in environment.tests for one in tree.find_all(nodes.Test))
        and not any(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)))
    )


def _is_known_call(call: nodes.Call) -> bool:
    from jinja2 import nodes

    called = call.node
    if not isinstance(called, nodes.Getattr):
        return False
    return called.attr in _METHODS or (isinstance(called.node, nodes.Name) and called.node.name == "macros")
