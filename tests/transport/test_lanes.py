from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from types import NoneType
from typing import Any

import pytest
from faults.server import DOING, drip, hang, serve
from watches import until

from airflow_provider_oceanbase.cloud.backup_set import backup_set_request
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.exceptions import OceanBaseUnavailableError
from airflow_provider_oceanbase.transport import aiohttp_client
from airflow_provider_oceanbase.transport.aiohttp_client import AiohttpClient
from airflow_provider_oceanbase.transport.lanes import Lane, Lanes, NoFreeLaneError

REQUEST = backup_set_request("ob-1", "bak-1")


def lanes(count: int, timeout: float = 30.0) -> Lanes:
    return Lanes(endpoint("http://127.0.0.1:1", timeout), count)


def endpoint(origin: str, timeout: float) -> Endpoint:
    return Endpoint("ob", origin, "key", "secret", timeout=timeout)


async def turns(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def test_nobody_overtakes() -> None:
    served: list[str] = []

    async def scenario() -> None:
        few = lanes(1)
        end = asyncio.Event()

        async def use(name: str) -> None:
            async with few.use():
                served.append(name)
                await end.wait()

        async def newcomer() -> None:
            end.set()
            # The lane is given back in this turn, and the next in line is woken in the next one.
            await asyncio.sleep(0)
            await use("newcomer")

        tasks = [asyncio.create_task(use(name)) for name in ("first", "second", "third")]
        await turns()
        await asyncio.gather(newcomer(), *tasks)
        assert few.free == 1

    asyncio.run(scenario())
    assert served == ["first", "second", "third", "newcomer"]


def test_the_last_lane_back_is_the_first_one_out() -> None:
    async def scenario() -> list[Lane]:
        many = lanes(3)
        used = []
        for _ in range(3):
            async with many.use() as lane:
                used.append(lane)
        return used

    assert len(set(asyncio.run(scenario()))) == 1


def test_a_slow_request_has_time_while_nobody_waits() -> None:
    async def scenario() -> None:
        async with lanes(1, timeout=0.1).use():
            await asyncio.sleep(0.3)

    asyncio.run(scenario())


def test_a_request_has_no_more_than_ten_timeouts() -> None:
    """One timer serves all: the second request begins, and ends, after the first."""

    async def overlong(few: Lanes, delay: float) -> float:
        await asyncio.sleep(delay)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with few.use():
                await asyncio.sleep(60)
        return time.monotonic() - began

    async def scenario() -> list[float]:
        few = lanes(2, timeout=0.02)
        return await asyncio.gather(overlong(few, 0.0), overlong(few, 0.1))

    assert all(0.19 < lasted < 5 for lasted in asyncio.run(scenario()))


def test_requests_that_end_leave_one_timer_at_most() -> None:
    async def scenario() -> None:
        few = lanes(2)
        loop = asyncio.get_running_loop()
        for _ in range(20):
            async with few.use(), few.use():
                pass
        assert len(loop._scheduled) == 1  # type: ignore[attr-defined]
        few.close()
        assert loop._scheduled[0].cancelled()  # type: ignore[attr-defined]

    asyncio.run(scenario())


def test_as_many_are_given_up_as_wait() -> None:
    async def scenario() -> tuple[list[Any], float]:
        three = lanes(3, timeout=0.2)

        async def hold() -> str:
            async with three.use():
                await asyncio.sleep(0.8)
            return "complete"

        holders = [asyncio.create_task(hold()) for _ in range(3)]
        # All have had their time when the others come.
        await asyncio.sleep(0.3)
        began = time.monotonic()
        for _ in range(2):
            async with three.use():
                pass
        waited = time.monotonic() - began
        outcomes = await asyncio.gather(*holders, return_exceptions=True)
        assert three.free == 3
        return outcomes, waited

    outcomes, waited = asyncio.run(scenario())
    # The second one found the lane of the first.
    assert [type(outcome) for outcome in outcomes] == [TimeoutError, str, str]
    assert waited < 0.2


def test_who_waits_for_too_long_leaves_the_line() -> None:
    async def scenario() -> None:
        one = lanes(1, timeout=0.1)

        async def hold() -> None:
            async with one.use():
                # It does not end when it is given up.
                try:
                    await asyncio.sleep(9)
                except asyncio.CancelledError:
                    await asyncio.sleep(0.2)
                    raise

        holder = asyncio.create_task(hold())
        await turns()
        with pytest.raises(NoFreeLaneError):
            async with one.use():
                pass
        assert not one._line
        with pytest.raises(TimeoutError):
            await holder
        assert one.free == 1

    asyncio.run(scenario())


def test_doubtful_requests_have_a_quarter_of_the_lanes() -> None:
    async def scenario() -> None:
        eight = lanes(8)
        end = asyncio.Event()
        served: list[str] = []

        async def use(name: str, *, doubtful: bool) -> None:
            async with eight.use(doubtful=doubtful):
                served.append(name)
                await end.wait()

        tasks = [asyncio.create_task(use("doubtful", doubtful=True)) for _ in range(20)]
        tasks += [asyncio.create_task(use("other", doubtful=False)) for _ in range(20)]
        await turns()
        assert (served.count("doubtful"), served.count("other"), eight.free) == (2, 6, 0)
        assert eight.waiting == 32
        # Those in line leave it, those that were just handed a lane give it back.
        end.set()
        tasks[2].cancel()
        tasks[-1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (served.count("doubtful"), served.count("other")) == (19, 19)
        assert (eight.free, eight.waiting, eight._for_doubtful) == (8, 0, 2)

    asyncio.run(scenario())


def test_the_two_lines_are_served_by_who_came_first() -> None:
    served: list[int] = []

    async def scenario() -> None:
        one = lanes(1)

        async def use(number: int) -> None:
            async with one.use(doubtful=number % 2 == 0):
                served.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(use(number) for number in range(6)))

    asyncio.run(scenario())
    assert served == [0, 1, 2, 3, 4, 5]


def test_who_goes_first_is_served_before_the_line_and_does_not_leave_it() -> None:
    served: list[str] = []

    async def scenario() -> None:
        one = lanes(1, timeout=0.1)
        end = asyncio.Event()

        async def use(name: str, *, goes_first: bool = False) -> None:
            async with one.use(goes_first=goes_first):
                served.append(name)

        async def hold() -> None:
            async with one.use():
                # It does not end when it is given up.
                try:
                    await asyncio.sleep(9)
                except asyncio.CancelledError:
                    await end.wait()
                    raise

        tasks = [asyncio.create_task(hold())]
        await turns()
        tasks += [asyncio.create_task(use("first", goes_first=True))]
        await turns()
        tasks += [asyncio.create_task(use("second", goes_first=True)), asyncio.create_task(use("expired"))]
        await until(tasks[3].done)
        tasks += [asyncio.create_task(use("ordinary"))]
        await turns()
        tasks += [asyncio.create_task(use("cancelled", goes_first=True))]
        await turns()
        tasks[5].cancel()
        end.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = [TimeoutError, NoneType, NoneType, NoFreeLaneError, NoneType, asyncio.CancelledError]
        assert [type(result) for result in results] == kinds
        assert one.free == 1
        assert not one._front
        assert not one._line

    asyncio.run(scenario())
    assert served == ["first", "second", "ordinary"]


def test_requests_are_given_up_for_one_who_goes_first() -> None:
    async def scenario() -> float:
        one = lanes(1, timeout=0.2)

        async def hold() -> None:
            async with one.use():
                await asyncio.sleep(9)

        holder = asyncio.create_task(hold())
        await turns()
        began = time.monotonic()
        async with one.use(goes_first=True):
            waited = time.monotonic() - began
        with pytest.raises(TimeoutError):
            await holder
        return waited

    assert 0.15 < asyncio.run(scenario()) < 5


@pytest.fixture
def two_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp_client, "LANES", 2)


@pytest.mark.parametrize("behaviour", [drip, hang])
def test_requests_that_never_complete_do_not_stop_the_others(behaviour: Any, two_lanes: None) -> None:
    async def scenario(origin: str) -> float:
        async with aclosing(AiohttpClient(endpoint(origin, timeout=0.5))) as client:
            stuck = [asyncio.create_task(client.fetch(REQUEST)) for _ in range(2)]
            await until(lambda: len(server.requests) == 2)
            await asyncio.sleep(0.1)
            began = time.monotonic()
            answers = await asyncio.gather(*(client.fetch(REQUEST) for _ in range(10)))
            waited = time.monotonic() - began
            assert {answer.data["status"] for answer in answers if answer.data} == {"DOING"}
            errors = await asyncio.gather(*stuck, return_exceptions=True)
            for error in errors:
                assert isinstance(error, OceanBaseUnavailableError)
                assert "in time (timeout 0.5 s)" in str(error)
            return waited

    with serve(behaviour, behaviour, DOING) as server:
        assert asyncio.run(scenario(server.origin)) < 0.6


def test_queries_that_hang_leave_lanes_to_the_others(two_lanes: None) -> None:
    """However many of them there are: each has held a lane for one timeout."""

    async def scenario(origin: str) -> None:
        async with aclosing(AiohttpClient(endpoint(origin, timeout=0.5))) as client:
            queries = [backup_set_request("ob-1", f"bak-{number}") for number in range(6)]
            first = await asyncio.gather(*map(client.fetch, queries[:2]), return_exceptions=True)
            assert [type(error) for error in first] == [OceanBaseUnavailableError] * 2
            # Two hang again, one of them in line: the others get the other lane.
            again = [asyncio.create_task(client.fetch(query)) for query in queries[:2]]
            await until(lambda: len(server.requests) == 3)
            began = time.monotonic()
            for query in queries[2:]:
                await client.fetch(query)
            assert time.monotonic() - began < 0.4
            await asyncio.gather(*again, return_exceptions=True)
            # One that is answered is like the others again.
            assert client._hanging
            for query in queries[:2]:
                await client.fetch(query)
            assert not client._hanging
            assert client._lanes.free == 2

    with serve(hang, hang, hang, DOING) as server:
        asyncio.run(scenario(server.origin))


def test_what_is_remembered_of_hanging_queries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp_client, "MAX_HANGING", 3)
    client = AiohttpClient(endpoint("http://127.0.0.1:1", timeout=1))
    for number in range(10):
        client._remember_hanging(backup_set_request("ob-1", f"bak-{number}"))
        assert len(client._hanging) <= 3


def test_a_request_that_was_never_sent_says_so(
    two_lanes: None, small_limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(origin: str) -> Any:
        async with aclosing(AiohttpClient(endpoint(origin, timeout=0.2))) as client:
            # As if all were given up already, and did not end.
            monkeypatch.setattr(asyncio.Timeout, "reschedule", lambda self, when: None)
            tasks = [asyncio.create_task(client.fetch(REQUEST)) for _ in range(3)]
            error = (await asyncio.gather(*tasks, return_exceptions=True))[-1]
            assert client._lanes.free == 2
            return error

    with serve(drip) as server:
        error = asyncio.run(scenario(server.origin))
        expected = "Nothing sent: waited 0.2 s for one of 2 requests in flight to end"
    assert len(server.requests) == 2
    assert type(error) is OceanBaseUnavailableError
    assert error.what == expected
    assert error.transient
    assert not error.may_have_acted
    assert "No complete response" not in str(error)
