"""Connections to the shop: one whose client completes no request in time, or sends more than any has, is closed."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from retail.web.security import FORM_BYTES_MAX

REQUEST_SECONDS = 10.0
"""How long a client may take to send a request, from its first byte or the opening of the connection."""
HEADER_BYTES_MAX = 65_536
"""Size of a request's headers."""


class PromptProtocol(HttpToolsProtocol):
    """HTTP for clients that send their requests whole: a slow one holds no connection for long, and no memory."""

    _deadline: asyncio.TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and close the connection if that is too much for a request that is not complete."""
        super().data_received(data)
        self._received += len(data)
        if self._has_request():
            self._wait_no_longer()
        elif self._received > HEADER_BYTES_MAX + FORM_BYTES_MAX:
            self.transport.close()
        else:
            self._wait()

    def _has_request(self) -> bool:
        """Whether a request is complete and not answered yet."""
        if self.cycle is None:  # pyright: ignore[reportUnnecessaryComparison] - before the first request
            return False
        return not self.cycle.response_complete and not self.cycle.more_body

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.close)

    def _wait_no_longer(self) -> None:
        self._received = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
