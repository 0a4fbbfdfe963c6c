"""What a client sends slowly, or without an end, holds no connection to the shop; a slow answer is no fault of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from retail.web import connections
from retail.web.connections import HEADER_BYTES_MAX, PromptProtocol
from retail.web.security import FORM_BYTES_MAX

WHOLE = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
FORM = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.05)


class Application:
    """Reads each request, and answers once it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving(application: Application) -> AsyncGenerator[int]:
    """The port of a server."""
    config = uvicorn.Config(application, lifespan="off", log_level="critical")
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: PromptProtocol(config, state, {}, asyncio.get_running_loop()), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def connected(port: int, sent: bytes) -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def is_closed(streams: Streams) -> bool:
    """Wait until the server has closed the connection."""
    reader, writer = streams
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent", [b"", b"G", WHOLE[:-2], FORM, FORM + b"12345678"], ids=["nothing", "a byte", "headers", "no form", "a part"]
)
def test_a_request_that_is_not_complete_in_time_ends_its_connection(sent: bytes) -> None:
    async def slow() -> bool:
        async with serving(Application()) as port:
            return await is_closed(await connected(port, sent))

    assert asyncio.run(slow())


def test_the_next_request_of_a_connection_has_the_same_time() -> None:
    async def slow() -> bool:
        application = Application()
        application.may_answer.set()
        async with serving(application) as port:
            reader, writer = await connected(port, WHOLE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(WHOLE[:-2])
            return await is_closed((reader, writer))

    assert asyncio.run(slow())


@pytest.mark.parametrize(
    "sent",
    [
        [b"GET / HTTP/1.1\r\n", *[b"X: " + b"a" * 1_000 + b"\r\n"] * (HEADER_BYTES_MAX // 1_000 + 40)],
        [b"GET /" + b"a" * (HEADER_BYTES_MAX + FORM_BYTES_MAX)],
    ],
    ids=["headers", "an address"],
)
def test_headers_without_an_end_close_the_connection_before_any_time_is_over(
    monkeypatch: pytest.MonkeyPatch, sent: Sequence[bytes]
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 86_400)

    async def endless() -> bool:
        async with serving(Application()) as port:
            return await is_closed(await connected(port, b"".join(sent)))

    assert asyncio.run(endless())


def test_a_client_that_waits_for_a_slow_answer_gets_it() -> None:
    async def patient() -> bytes:
        application = Application()
        async with serving(application) as port:
            reader, writer = await connected(port, WHOLE)
            # One that began later has run out of time when the answer is given.
            assert await is_closed(await connected(port, b"G"))
            application.may_answer.set()
            answer = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            return answer

    assert asyncio.run(patient()).startswith(b"HTTP/1.1 200")
