"""What the rules of a history draw."""

from __future__ import annotations

from typing import Any

from histories.clock import Kill
from histories.cloud import FAULTS, Fault
from histories.points import CHANGES, TENANTS
from histories.world import CONNECTIONS
from hypothesis import strategies as st

#: Seconds between two polls of a wait.
POKE_INTERVAL = 30.0
#: Longer than any backup of these histories takes to register.
REGISTRATION_TIMEOUT = 240.0

instances = st.sampled_from(["ob-1", "ob-1", "ob-2"])
tenants = st.sampled_from(["t1", "t2"])
#: Seconds until a backup is registered, until it ends, and how it ends.
plans = st.tuples(
    st.sampled_from([0.0, 20.0, 100.0]),
    st.sampled_from([10.0, 200.0, 900.0]),
    st.sampled_from(["DONE", "DONE", "DONE", "FAILED", "CANCELED", "DONE INVALID"]),
)
timeouts = st.sampled_from([0.0, 90.0, 600.0, 1500.0])
#: The modes of a sensor.
MODES: tuple[dict[str, Any], ...] = (
    {"deferrable": False, "mode": "poke"},
    {"deferrable": False, "mode": "reschedule"},
    {"deferrable": True},
    {"deferrable": True, "start_from_trigger": True},
)
#: In which mode a sensor waits, and for how long.
ways = st.builds(
    lambda mode, timeout: {**mode, "timeout": timeout, "poke_interval": POKE_INTERVAL},
    st.sampled_from(MODES),
    timeouts,
)


def _kills(*kinds: str) -> st.SearchStrategy[Kill | None]:
    return st.one_of(
        st.none(),
        st.builds(Kill, st.integers(0, 12), st.just("")),
        st.builds(Kill, st.sampled_from([0, 0, 1, 2, 3]), st.sampled_from(kinds)),
    )


#: When a worker is killed, if it is: near what must not be torn apart, or anywhere; and the triggerer.
kills, stops = _kills("store", "start"), _kills("event", "store")
#: Seconds that pass after something was done.
then = st.sampled_from([0.0, 1.0, 10.0, 61.0, 300.0, 1000.0])
#: What is asked of a start.
wishes = st.fixed_dictionaries(
    {
        "backup_object_type": st.just("tenant"),
        "poke_interval": st.just(POKE_INTERVAL),
        "registration_timeout": st.just(REGISTRATION_TIMEOUT),
        "instance_id": instances,
        "tenant_id": tenants,
        "wait_for_completion": st.booleans(),
        "deferrable": st.booleans(),
        "require_valid": st.booleans(),
        "timeout": timeouts,
    }
)
faults = st.tuples(
    st.sampled_from(["GET", "GET", "POST"]),
    st.builds(Fault, st.sampled_from(FAULTS), st.booleans()),
    st.sampled_from([1, 2, 6]),
)
#: What follows on each other in one task: whether it was cleared, when it is killed, seconds until the next.
tries = st.lists(
    st.tuples(st.sampled_from([False, False, True]), kills, st.sampled_from([1.0, 30.0, 300.0, 1000.0])),
    min_size=1,
    max_size=3,
)
#: Whether what was broken is soon fixed.
mostly = st.sampled_from([True, True, False])
#: How the connection is, while something else happens.
states = st.one_of(st.just("right"), st.sampled_from(CONNECTIONS))
#: What happens to a tenant that can be restored, to which, and how many seconds ago.
changes = st.tuples(
    st.sampled_from(CHANGES),
    st.sampled_from([TENANTS[0], *TENANTS]),
    st.sampled_from([0.0, 1.0, 60.0, 600.0, 7200.0]),
)
#: Names or IDs of tenants that are waited for, none for all.
names = st.sampled_from([(), (), ("orders",), ("1",), ("2",), ("billing", "3"), ("orders", "nobody")])
#: The point in time that is waited for, in seconds from now.
points = st.sampled_from([-7200.0, -3600.0, -60.0, -0.5, 0.0, 30.0, 200.0, 900.0])
