"""Page views: so many a second of the shop's pages, in one process with all components, while purchases go on.

Views come when they come: how long one takes is counted from when it should have begun, so that a server that stands
still is seen. Beside it the same rate of a page that does nothing, from the same process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROUNDS = 5
EVERY = 2
"""Every so many-th customer has purchased before."""
SECONDS = 6.0
VIEWS_PER_SECOND = 200
RATES = (50, 100, VIEWS_PER_SECOND)
PURCHASES_PER_SECOND = 5
KEPT = ("p50 ms", "p99 ms", "views per second", "purchases per second")
CONNECTIONS = 24
CONNECTIONS_MAX = 64
WARM_SECONDS = 3.0
SEED = 2011
NOTHING = "a page that does nothing"
SHOP = "the shop's pages"
SHOP_BY_TWO = f"the shop's pages, {VIEWS_PER_SECOND} a second, by two processes"
MIX = {
    "/": 4,
    "/products?category=Kitchen": 3,
    "/products/popular?category=Bags": 1,
    "product": 8,
    "/purchases": 2,
    "/invoices": 1,
    "invoice": 1,
}


def measure(
    rounds: int = ROUNDS, seconds: float = SECONDS, rates: Sequence[int] = RATES, every: int = EVERY
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of views in turns, and how many purchases were made meanwhile."""
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        first, port = _server(folder, "--every", str(every))
        try:
            ways = {f"{SHOP}, {rate} a second": (rate, True) for rate in rates}
            asyncio.run(_rounds(port, rounds, seconds, {NOTHING: (rates[-1], False), **ways}, found))
            second, _ = _server(folder, "--port", str(port))
            try:
                asyncio.run(_rounds(port, rounds, seconds, {SHOP_BY_TWO: (rates[-1], True)}, found))
            finally:
                _end(second)
        finally:
            _end(first)
    return found


def _server(folder: str, *options: str) -> tuple[subprocess.Popen[str], int]:
    """A process that serves, and where; with all components if it is the first."""
    command = [sys.executable, "-m", "benchmarks.pages", "--serve", folder, *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    return server, next(int(line.split()[1]) for line in server.stdout if line.startswith("serving "))


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    server.wait(20)
    if server.stdout is not None:
        server.stdout.close()


async def _rounds(
    port: int,
    rounds: int,
    seconds: float,
    ways: Mapping[str, tuple[int, bool]],
    found: dict[str, dict[str, list[float]]],
) -> None:
    visitor = _Visitor(port)
    await visitor.look_around()
    await _views(visitor, visitor.paths, WARM_SECONDS, RATES[0])
    for _ in range(rounds):
        for name, (rate, is_shop) in ways.items():
            before, began = visitor.purchases, time.perf_counter()
            took = await _views(visitor, visitor.paths if is_shop else ["/nothing"], seconds, rate)
            lasted = time.perf_counter() - began
            kept = found.setdefault(
                name, {"p50 ms": [], "p99 ms": [], "views per second": [], "purchases per second": []}
            )
            kept["p50 ms"].append(took[len(took) // 2])
            kept["p99 ms"].append(took[len(took) * 99 // 100])
            kept["views per second"].append(len(took) / lasted)
            kept["purchases per second"].append((visitor.purchases - before) / lasted)
    visitor.close()


async def _views(visitor: _Visitor, paths: Sequence[str], seconds: float, rate: int) -> list[float]:
    """Views at their rate for so long, and purchases beside them; milliseconds of each view, the shortest first."""
    choose = random.Random(SEED)
    gaps = [choose.expovariate(rate) for _ in range(int(rate * seconds))]
    buying = asyncio.create_task(visitor.buy_for(seconds))
    began = time.perf_counter()
    due = began
    viewing: list[asyncio.Task[float]] = []
    for gap in gaps:
        due += gap
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        viewing.append(asyncio.create_task(visitor.view(choose.choice(paths), due)))
    took = await asyncio.gather(*viewing)
    await buying
    return sorted(took)


class _Visitor:
    """Requests on connections that are kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._bound = asyncio.Semaphore(CONNECTIONS_MAX)
        self._cookie = ""
        self.paths: list[str] = []
        self.products: list[str] = []
        self.purchases = 0

    def close(self) -> None:
        """Give the connections up."""
        for _, writer in self._free:
            writer.close()

    async def look_around(self) -> None:
        """Open connections, which the system spreads over all who serve, and find out what there is to view."""
        for _ in range(CONNECTIONS):
            self._free.append(await asyncio.open_connection("127.0.0.1", self._port))
        home = await self.get("/")
        self.products = list(dict.fromkeys(re.findall(r'href="(/products/[0-9a-f-]{36})"', home)))
        invoices = re.findall(r'href="(/invoices/[0-9a-f-]{36})"', await self.get("/invoices"))
        for path, weight in MIX.items():
            several = {"product": self.products, "invoice": invoices}.get(path, [path])
            self.paths += [several[number % len(several)] for number in range(weight * 5)]

    async def view(self, path: str, due: float) -> float:
        """Milliseconds from when a view was due until its answer was there."""
        await self.get(path)
        return (time.perf_counter() - due) * 1000

    async def buy_for(self, seconds: float) -> None:
        """Purchase at their rate, each by its form."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            path = random.choice(self.products)
            page = await self.get(path)
            fields = dict(re.findall(r'name="(token|id|product)" value="([^"]+)"', page))
            await self._ask("POST", path, urlencode({**fields, "quantity": "1"}), 303)
            self.purchases += 1
            await asyncio.sleep(max(1 / PURCHASES_PER_SECOND - (time.perf_counter() - began), 0))

    async def get(self, path: str) -> str:
        """What stands at an address."""
        return await self._ask("GET", path, "", 200)

    async def _ask(self, method: str, path: str, body: str, expected: int) -> str:
        async with self._bound:
            reader, writer = self._free.pop(0) if self._free else await asyncio.open_connection("127.0.0.1", self._port)
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nCookie: {self._cookie}\r\n"
            if body:
                head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}\r\n{body}".encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", answer, re.IGNORECASE)
            content = await reader.readexactly(int(length.group(1)) if length else 0)
            cookie = re.search(r"set-cookie: (session=[^;]+)", answer, re.IGNORECASE)
            self._cookie = cookie.group(1) if cookie else self._cookie
            self._free.append((reader, writer))
        status = int(answer.split(" ", 2)[1])
        assert status == expected, f"{method} {path}: {status}"
        return content.decode()


def serve(folder: Path, port: int, every: int) -> None:
    """The shop, and a page that does nothing; with all components in this process, or if a port is given, with none."""
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    from retail.system import system
    from retail.web.__main__ import opened
    from retail.web.app import application
    from retail.web.opening import prepare

    async def nothing(_: Request) -> HTMLResponse:
        return HTMLResponse("<!doctype html><title>Nothing</title><p>Nothing.")

    first = port == 0
    if first:
        prepare(folder, every=every)
    with opened(folder, components=system.components if first else ()) as shop:
        app = application(shop, "of this benchmark", "of its back office")
        app.router.routes.insert(0, Route("/nothing", nothing))
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=600)
        # Of a socket that says that it is TCP's, small answers are not held back.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        print(f"serving {listening.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run(sockets=[listening])


def main() -> None:
    """Serve, for `measure`; or measure once, briefly."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=Path, metavar="FOLDER")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--every", type=int, default=EVERY)
    options: Any = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, options.port, options.every)
    else:
        print(json.dumps(measure(1), indent=2))


if __name__ == "__main__":
    main()
