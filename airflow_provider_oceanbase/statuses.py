"""Which statuses of a backup set end a wait. All a DAG file needs to know of the rule; hence on its own."""

from __future__ import annotations

#: The one status that the vendor documents for this endpoint.
SUCCESS_STATUSES = ("DONE",)
#: Final failures in the vendor's sister APIs; whether this endpoint uses the same words is inferred.
FAILURE_STATUSES = ("FAILED", "CANCELED", "OVERDUE")
