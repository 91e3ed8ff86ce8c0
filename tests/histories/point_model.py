"""What must hold in every history of waits for a point in time."""

from __future__ import annotations

from typing import Any

from histories.model import Model, Try
from histories.points import Served
from histories.tasks import Task

from airflow_provider_oceanbase.exceptions import OceanBaseMalformedResponseError, PointNotRestorableError


class PointModel(Model):
    """Judges waits by the answers that the service gave while they lasted."""

    def _answers(self, task: Task, attempt: Try) -> list[Served]:
        projects = self.world.projects_since(task.began)
        return [
            one
            for one in self.world.cloud.restorable.served
            if one.at >= task.began
            and one.instance == attempt.options["instance_id"]
            and one.project in projects
        ]

    # Never success without an answer that grants it.

    def _succeeded_to_wait(self, task: Task, attempt: Try, xcom: Any) -> None:
        assert attempt.point is not None
        granted = [
            one for one in self._answers(task, attempt) if attempt.point.is_granted_as(xcom, one.listed)
        ]
        self.judge.must(granted, f"{task.name} succeeds with {xcom}, which no answer says")
        if granted and not self._may_be_ahead(task):
            ahead = all(self._is_ahead(attempt, one) for one in granted)
            self.judge.must(not ahead, f"{task.name} believes in an interval that ends in the future")

    def _is_ahead(self, attempt: Try, answer: Served) -> bool:
        assert attempt.point is not None
        return attempt.point.is_ahead(answer.listed, self.world.clock.moment(answer.at))

    def _may_be_ahead(self, task: Task) -> bool:
        """Return whether a task may be wrong about what is in the future."""
        return bool(self.world.clock.error) or self.world.troubled_since(task.began, "clock")

    # What was there is found, and nothing else ends a wait.

    def _is_fulfilled(self, attempt: Try, moment: float) -> bool:
        restorable = self.world.cloud.restorable
        assert attempt.point is not None
        listed = restorable.listed(moment) if attempt.options["instance_id"] == "ob-1" else []
        return restorable.changed <= moment and attempt.point.is_granted(listed)

    def _broke_off(self, task: Task, attempt: Try, error: BaseException) -> None:
        assert attempt.point is not None
        answers = self._answers(task, attempt)
        if isinstance(error, PointNotRestorableError):
            lost = any(attempt.point.is_lost(one.listed) for one in answers)
            lost = lost and attempt.options["fail_if_unreachable"]
            self.judge.must(lost, f"{task.name} says that it is never restorable, and no answer does")
        elif isinstance(error, OceanBaseMalformedResponseError) and "in the future" in str(error):
            ahead = any(self._is_ahead(attempt, one) for one in answers)
            wrong = f"{task.name} says that an interval ends in the future, and no answer does"
            self.judge.must(ahead or self._may_be_ahead(task), wrong)
        else:
            self.must_be_excused(task, error)
