"""The option ``start_from_trigger`` of a sensor. Light: DAG files import it when parsed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_oceanbase.compat.sdk import KnowsMapping, is_made

if TYPE_CHECKING:
    from collections.abc import Collection

    from jinja2 import Environment

    from airflow_provider_oceanbase.compat.sdk import Context, StartTriggerArgs
    from airflow_provider_oceanbase.waiting.schedule import PollSchedule
    from airflow_provider_oceanbase.waiting.trigger import WaitTrigger


class _StartFromTrigger:
    """The attribute that Airflow reads: whether the scheduler hands the task to the triggerer."""

    def __get__(self, task: StartsInTriggerer | None, _: object = None) -> bool:
        # Without a task it is the class's, for mapped tasks.
        return task is not None and is_made(task) and task._may_start

    def __set__(self, task: StartsInTriggerer, value: bool | None) -> None:
        # A policy of the deployment may set it, too.
        vars(task)["_starts"] = bool(value) or (value is None and bool(task.mapped_arguments))


class _StartTriggerArgs:
    """The attribute that Airflow reads: what the triggerer is to start, None to start a worker."""

    def __get__(self, task: StartsInTriggerer | None, _: object = None) -> StartTriggerArgs | None:
        return task._trigger_args() if task is not None and task.start_from_trigger else None


class StartsInTriggerer(KnowsMapping):
    """Begins its wait in the triggerer, if the DAG says so and Airflow can; a sensor is one."""

    # Computed when the DAG is complete: what it says of templates counts, too.
    start_from_trigger = _StartFromTrigger()
    start_trigger_args = _StartTriggerArgs()
    #: Optional arguments that the DAG gives.
    _given: Collection[str] = ()
    #: Whether the DAG says ``start_from_trigger``.
    _starts = False
    #: What kept the wait from beginning in the triggerer, None before templates are rendered.
    _hindered_by: str | None = None

    @classmethod
    def partial(cls, **arguments: Any) -> Any:
        """Return what maps the task; that it is to begin in the triggerer, only its own copies know.

        The triggerer would prepare them as if they began there, which for some DAGs ends it. Here the
        ``default_args`` of the DAG count, too.
        """
        made = super().partial(**arguments)  # type: ignore[misc]
        if made.kwargs.get("start_from_trigger"):
            made.kwargs["start_from_trigger"] = None
        return made

    @property
    def _trigger_class(self) -> type[WaitTrigger]:
        """The trigger that waits."""
        raise NotImplementedError

    @property
    def _moments(self) -> dict[str, float]:
        """Fields of the condition that are moments, as seconds since the wait began."""
        return {}

    @property
    def _schedule(self) -> PollSchedule:
        """When the wait polls."""
        raise NotImplementedError

    def render_template_fields(self: Any, context: Context, jinja_env: Environment | None = None) -> None:
        """Render the templates; what they were says why the wait begins in a worker."""
        self._hindered_by = self._hindrance()
        super().render_template_fields(context, jinja_env)  # type: ignore[misc]

    def _forget_former_result(self, next_method: str, context: Context) -> None:
        """Delete the result of a former try if Airflow itself has ended the wait: no trigger may have run."""
        from airflow_provider_oceanbase.waiting.tasks import FAIL

        if next_method == FAIL and self.start_from_trigger:
            from airflow_provider_oceanbase.compat.triggerer import forget_result_in_worker

            # As in the triggerer, why the try ends counts more than that a former result may stay.
            with suppress(Exception):
                forget_result_in_worker(context["ti"])

    @property
    def _may_start(self: Any) -> bool:
        return self._starts and self.deferrable and not self._hindrance()

    def _hindrance(self: Any) -> str:
        if not (self._starts and self.deferrable):
            return ""
        from airflow_provider_oceanbase.waiting.start import hindrance

        return hindrance(self, mapped=bool(self.mapped_arguments))

    def _log_hindrance(self: Any) -> None:
        """Log why a wait that was to begin in the triggerer begins in a worker."""
        if reason := self._hindrance() if self._hindered_by is None else self._hindered_by:
            self.log.info("start_from_trigger=True, but the wait begins in a worker: %s.", reason)

    def _trigger_args(self) -> StartTriggerArgs:
        from airflow_provider_oceanbase.waiting.start import start_trigger_args

        return start_trigger_args(
            self, self._trigger_class, self._schedule, moments=self._moments, given=self._given
        )
