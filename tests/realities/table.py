"""The table of realities: how the service may really answer, and what each job must make of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_oceanbase.testing import Profile

#: What the provider is used for.
JOBS = ("wait by ID", "wait by checkpoint", "wait for a point in time", "read", "start and wait", "watch")


@dataclass(frozen=True)
class Outcome:
    """What a job comes to.

    :param what: ``right``; ``waits``, until its timeout; ``no event``; or the class of the error
    :param says: what the log or the error says then
    """

    what: str
    says: str = ""

    def __str__(self) -> str:
        what = f"`{self.what}`" if self.is_error else self.what
        return f"{what}: `{self.says}`" if self.says else what

    @property
    def is_error(self) -> bool:
        return self.what.endswith("Error")


@dataclass(frozen=True)
class Reality:
    """A way to answer.

    :param profile: how the emulator answers
    :param odd: what the jobs come to that are not simply right
    :param unknown: whether the jobs are about an ID that is unknown, for good or, after a start, at first
    """

    profile: Profile
    odd: dict[str, Outcome] = field(default_factory=dict)
    unknown: bool = False

    def outcome(self, job: str) -> Outcome:
        return self.odd.get(job, RIGHT)


def _unknown(status: int | None, error: str, says: str, **odd: Outcome) -> Reality:
    failed = Outcome(error, says)
    return Reality(Profile(unknown_id=status), {"wait by ID": failed, "read": failed} | odd, unknown=True)


def _words(done: str) -> Reality:
    unknown = f"'{done}' is no status that this provider knows"
    waits = Outcome("waits", unknown)
    return Reality(
        Profile(words={"DONE": done}),
        {
            "wait by ID": waits,
            "wait by checkpoint": Outcome("waits", "Only its status keeps backup set"),
            "read": Outcome("right", f"Backup is '{done}', not DONE"),
            "start and wait": waits,
            "watch": Outcome("no event", unknown),
        },
    )


RIGHT = Outcome("right")
_NO_PROJECT = Outcome("OceanBaseRefusedError", "errorMessage X-Ob-Project-Id is required")
_REFUSED = "errorMessage No such backup set"
_UNREADABLE = Outcome("waits", "is none that this provider can read")
_STARTED = {"start and wait": Outcome("right", "Refused, which may mean not registered yet")}

REALITIES = {
    "as documented and inferred": Reality(Profile()),
    "unknown ID: HTTP 404": _unknown(404, "OceanBaseNotFoundError", "Not found (HTTP 404)"),
    "unknown ID: HTTP 400": _unknown(400, "OceanBaseRefusedError", _REFUSED, **_STARTED),
    "unknown ID: `success: false`": _unknown(200, "OceanBaseRefusedError", _REFUSED, **_STARTED),
    "unknown ID: null data": _unknown(
        None,
        "OceanBaseNotFoundError",
        "No such backup, or not registered yet",
        **{"wait by ID": Outcome("waits", "No data even after registration_timeout")},
    ),
    "`backupSetId` is not the ID of the backup task": Reality(
        Profile(own_set_ids=True), {
            "read": Outcome(
                "OceanBaseNotFoundError", "The backupSetId of a list may be no backup task ID"
            )
        },
    ),
    "statuses in lower case": _words("done"),
    "an unknown status, `SUCCESS`": _words("SUCCESS"),
    "pages of at most 10, no `total`, no `hasMore`": Reality(Profile(max_page_size=10, page_fields=())),
    "times without a zone": Reality(
        Profile(times="9999-99-99T99:99:99"), {"wait for a point in time": _UNREADABLE}
    ),
    "times with an offset": Reality(Profile(times="9999-99-99T99:99:99+99:99")),
    "times such as `2024-01-01'T'12:10:10.000'Z'`": Reality(Profile(times="9999-99-99'T'99:99:99.999'Z'")),
    "times as numbers, such as `1704111010000`": Reality(
        Profile(times="(number)"),
        {
            "wait by checkpoint": Outcome("waits", "is no time that this provider can read"),
            "wait for a point in time": _UNREADABLE,
            "watch": Outcome("no event", "Their startTime is missing, unreadable or in the future"),
        },
    ),
    "digest with SHA-256": Reality(Profile(algorithms=("SHA-256",))),
    "digest without `qop`": Reality(Profile(qop=False)),
    "`X-Ob-Project-Id` required, and not set": Reality(
        Profile(project_required=True), dict.fromkeys(JOBS[:-1], _NO_PROJECT) | {
            "watch": Outcome("no event", _NO_PROJECT.says)
        }
    ),
    "`openRequest` required for the restorable tenants": Reality(
        Profile(restore_requires=("openRequest",)),
        {
            "wait for a point in time": Outcome(
                "OceanBaseRefusedError", "errorMessage openRequest is required"
            )
        },
    ),
    "sizes as text": Reality(Profile(sizes_as_text=True)),
    "the list has the oldest set first": Reality(Profile(newest_first=False)),
    "the list has no tenants": Reality(
        Profile(list_leaves_out=("tenantBackupSetList",)),
        {"wait by checkpoint": Outcome("waits", "Only its list of tenants keeps backup set")},
    ),
    "the list has no `validity`": Reality(
        Profile(list_leaves_out=("validity",)),
        {
            "wait by checkpoint": Outcome("waits", "Only its validity keeps backup set"),
            "watch": Outcome("no event", "it has no validity"),
        },
    ),
}  # fmt: skip
CELLS = [(name, job) for name in REALITIES for job in JOBS]


def lines() -> list[str]:
    """Return the table of the documentation."""
    rows = [[name, *(str(reality.outcome(job)) for job in JOBS)] for name, reality in REALITIES.items()]
    header = f"| {' | '.join(['the service', *JOBS])} |"
    return [header, "|---" * (len(JOBS) + 1) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
