"""A way to call both clients with the same tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from aod import AsyncClient, Client, StreamEvent


class Driver:
    """The synchronous client, as it is."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    def events(self, session_id: Any, since: int | None = None) -> list[StreamEvent]:
        with self.client.sessions.stream(session_id, since=since) as events:
            return list(events)

    def close(self) -> None:
        self.client.close()


class AsyncDriver(Driver):
    """The asynchronous client, each call run to its end."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.loop = asyncio.new_event_loop()

    def call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        awaitable = method(*args, **kwargs)
        assert inspect.isawaitable(awaitable)
        return self.loop.run_until_complete(awaitable)

    def events(self, session_id: Any, since: int | None = None) -> list[StreamEvent]:
        async def read() -> list[StreamEvent]:
            async with self.client.sessions.stream(session_id, since=since) as events:
                return [event async for event in events]

        return self.loop.run_until_complete(read())

    def close(self) -> None:
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()


@pytest.fixture(params=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    # Both take AOD_API_URL and AOD_API_TOKEN from the environment.
    made = Driver(Client()) if request.param == "sync" else AsyncDriver(AsyncClient())
    yield made
    made.close()
