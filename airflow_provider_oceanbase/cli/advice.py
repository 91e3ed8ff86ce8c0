"""Advice for who has typed a command, in place of that for who has written a DAG."""

from __future__ import annotations

from airflow_provider_oceanbase.exceptions import OceanBaseThrottledError
from airflow_provider_oceanbase.waiting.advice import AWAY, STUCK

_FOR_COMMANDS = {
    STUCK: (
        "Look the backup up in the console: if it still runs, wait again. Raise --timeout, if backups take "
        "so long."
    ),
    AWAY: "Check the network and the state of OceanBase Cloud. Then wait again.",
    OceanBaseThrottledError.default_hint: "Send fewer requests: raise --interval, or try again later.",
}


def for_commands(text: str) -> str:
    """Return a text with the options of commands where it has arguments of tasks."""
    for of_tasks, of_commands in _FOR_COMMANDS.items():
        text = text.replace(of_tasks, of_commands)
    return text
