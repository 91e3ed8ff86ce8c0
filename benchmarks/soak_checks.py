"""What a soak demands of its waits, and of their process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.measures import quantile
from benchmarks.soak_front import ENDING, PROXY_PASSWORD

if TYPE_CHECKING:
    from benchmarks.soak import Cloud

#: How long a wait may take to see DONE: several polls may fail, each with a ``Retry-After``.
GRACE_SECONDS = 120


def problems(cloud: Cloud, report: dict[str, Any]) -> list[str]:
    """Return what is wrong with a soak, in sentences.

    :param report: what :mod:`benchmarks.soak_waits` sent at the end
    """
    return _of_waits(cloud, report) + _of_process(cloud, report) + _of_soak(cloud, report)


def _outcome(payload: dict[str, Any]) -> str:
    """Return how an event says that its wait has ended."""
    if "error" in payload:
        return str(payload["error"]["class"])
    return str(payload.get("raised") or payload.get("summary", {}).get("status") or sorted(payload))


def _of_waits(cloud: Cloud, report: dict[str, Any]) -> list[str]:
    """Return which waits have not ended as they must."""
    events, stuck = report["events"], report["stuck"]
    ended = {event["id"]: event for event in events}
    lost = [name for name in cloud.waits if name not in ended and name not in stuck]
    early = [
        name
        for name, event in ended.items()
        if event["at"] < cloud.done_at.get(name, float("inf")) and name not in cloud.front.refused
    ]
    wrong = [
        f"{name} by {outcome}, not {cloud.outcome(name)}"
        for name, event in ended.items()
        if (outcome := _outcome(event["payload"])) != cloud.outcome(name)
    ]
    late = [name for name, seconds in _delays(cloud, ended).items() if seconds > GRACE_SECONDS]
    found = {
        "ended without an event": lost,
        "ended early": early,
        "ended in another way": wrong,
        "stuck": stuck,
        f"saw the end only after {GRACE_SECONDS} s": late,
        "have several events": [event["id"] for event in events if event is not ended[event["id"]]],
    }
    return [f"{len(names)} waits {what}: {', '.join(names[:3])}" for what, names in found.items() if names]


def _delays(cloud: Cloud, ended: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the seconds from the end of each backup to that of its wait."""
    return {name: event["at"] - cloud.done_at[name] for name, event in ended.items() if name in cloud.done_at}


def _of_process(cloud: Cloud, report: dict[str, Any]) -> list[str]:
    """Return what has grown, leaked, or is left over."""
    found = []
    warm, peak = _memory(report)
    if peak > 1.05 * warm:
        found.append(f"memory grew from {warm / 2**20:.1f} to {peak / 2**20:.1f} MiB")
    before, after, closed = (report[name] for name in ("before", "after", "closed"))
    found += [
        f"{what}: {number} before, {after[what]} after"
        for what, number in before.items()
        if after[what] != number
    ]
    # The main task remains.
    found += [
        f"{what}: {number} left when all clients are closed"
        for what, number in closed.items()
        if number != (what == "tasks")
    ]
    if report["files"] > report["files_before"]:
        found.append(f"open files: {report['files_before']} before, {report['files']} when all are closed")
    # Each of these waits has a client of its own.
    lanes = before["free lanes"] + len(cloud.front.refused)
    if over := [number for number in report["connections"] if number > lanes]:
        found.append(f"up to {max(over)} connections for {lanes} lanes, {len(over)} times a second apart")
    if complaints := report["complaints"]:
        found.append(f"the event loop complained {len(complaints)} times, such as: {complaints[0]}")
    return found


def _of_soak(cloud: Cloud, report: dict[str, Any]) -> list[str]:
    """Return which secrets the events show, and which faults were not played."""
    found = []
    text = json.dumps(report["events"])
    secrets = (cloud.emulator.connection["password"], PROXY_PASSWORD, PROXY_PASSWORD.replace("/", "%2F"))
    if any(secret in text for secret in secrets):
        found.append("an event shows a secret")
    if missing := [name for name, count in cloud.front.played.items() if not count]:
        found.append(f"the soak has not played {', '.join(missing)}: give it more waits or seconds")
    return found


def _memory(report: dict[str, Any]) -> tuple[int, int]:
    """Return the bytes of memory after warm-up, and the most after that.

    The first fifth is warm-up. After it, most waits are still running, so memory must not grow.
    """
    samples = report["samples"]
    warm = len(samples) // 5
    return samples[warm], max(samples[warm:])


def results(cloud: Cloud, report: dict[str, Any]) -> dict[str, str]:
    """Return the results in words."""
    ended = {event["id"]: event for event in report["events"]}
    late = [seconds for name, seconds in _delays(cloud, ended).items() if name not in cloud.ends]
    warm, peak = _memory(report)
    played = cloud.front.played
    passing = [count for name, count in played.items() if name not in ENDING and name != "silence"]
    waits = f"{len(ended) - len(cloud.ends):,}, none lost, early or stuck"
    quantiles = ", ".join(f"{quantile(late, share):.1f} s (p{100 * share:.0f})" for share in (0.5, 0.99, 1))
    lanes = report["before"]["free lanes"]
    left_open = report["files"] - report["files_before"]
    return {
        "waits": f"{waits}; {len(cloud.ends)} more ended by the error that they met",
        "seen DONE after": quantiles,
        "emulator": f"{sum(cloud.responses.values()):,}: "
        + ", ".join(f"{count:,} {kind}" for kind, count in sorted(cloud.responses.items())),
        "front": f"{sum(passing):,} faults of {len(passing)} kinds, "
        f"each {min(passing)} to {max(passing)} times; {played['silence']} requests in silence",
        "left over": f"nothing: {report['after']}",
        "memory": f"{warm / 2**20:.1f} MiB warm, {peak / 2**20:.1f} MiB at most after that",
        "connections": f"{max(report['connections'])} at most for {lanes} lanes, {left_open} files left open",
    }
