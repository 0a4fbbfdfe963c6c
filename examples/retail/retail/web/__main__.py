"""`make shop`: the web shop on loopback, five components in one process on SQLite files.

python -m retail.web                 open the shop; at the first start it is filled, a quarter of a minute
python -m retail.web --new           delete its databases, and fill it again
python -m retail.web --port 8001     at another port
"""

from __future__ import annotations

import argparse
import gc
import logging
import secrets
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import uvicorn

from preterite import Component
from preterite.clock import SystemRandomness
from preterite.composition import Composer
from preterite.demo_clock import SharedClock
from preterite.errors import PreteriteError
from preterite.printing.text import PrintableStream
from preterite.printing.urls import without_secrets
from retail.marketing.reports import most_popular
from retail.system import marketing, system
from retail.web.app import application
from retail.web.back_office import new_key
from retail.web.connections import PromptProtocol
from retail.web.customer import ScriptedCustomer
from retail.web.opening import PERSONAS, is_prepared, prepare, urls_in
from retail.web.pages import forms, pages
from retail.web.personas import Personas
from retail.web.running import Running
from retail.web.shop import Shop

FOLDER = Path(".preterite") / "shop"
PORT = 8000
STOP_SECONDS = 2
WANTED = 40
"""The scripted customer chooses among so many of the most popular products."""


def main() -> int:
    """Open the shop, and serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="make shop", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--port", type=int, default=PORT, help="where on 127.0.0.1 (8000)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the databases are (.preterite/shop)")
    parser.add_argument("--new", action="store_true", help="delete the databases, and fill the shop again")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, handlers=[log_to(sys.stderr)])
    try:
        if options.new or not is_prepared(options.folder):
            (options.folder / PERSONAS).unlink(missing_ok=True)
            prepare(options.folder)
        with opened(options.folder) as shop:
            shop.customer.switch(on=True)
            address = f"http://127.0.0.1:{options.port}/"
            key = new_key()
            print(f"the shop is open at {address} (the tour: {address}tour; Ctrl+C stops it)")
            print(f"to sign in to its back office, open {address}sign-in?key={key}", flush=True)
            uvicorn.run(
                application(shop, secrets.token_urlsafe(32), key),
                host="127.0.0.1",
                port=options.port,
                http=PromptProtocol,
                ws="none",
                # The server's log goes where the shop's goes: an error in it may quote a request.
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
    except PreteriteError as error:
        print(f"shop: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        pass
    return 0


def log_to(stream: TextIO) -> logging.Handler:
    """What logs to this stream, without what commands a terminal and without the passwords of URLs."""
    handler = logging.StreamHandler(PrintableStream(stream, without_secrets))
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    return handler


@contextmanager
def opened(
    folder: Path, *, optional_seconds: float | None = None, components: Sequence[Component] = system.components
) -> Generator[Shop]:
    """The shop in a prepared folder, running `components`; the others run elsewhere, or not at all.

    The scripted customer is switched off.
    """
    urls = urls_in(folder)
    databases = {name: url for name, url in urls.items() if name != "log"}
    deadlines: dict[str, Any] = {} if optional_seconds is None else {"optional_seconds": optional_seconds}
    personas = Personas.read(folder / PERSONAS)
    with (
        # A shop filled by an earlier version may lack tables.
        system.open(databases=databases, log=urls["log"], create_tables=True) as shop,
        # Blocking the event loop while a part runs raised what one process serves from 173 to 238 views a second, at
        # five purchases a second (docs/benchmarks.md, Pages). Otherwise both compete for one interpreter.
        Composer(shop, pages, forms, inline=True, **deadlines) as composer,
    ):
        clock = SharedClock(shop.log)
        with shop.session(marketing) as session:
            wanted = [product for product, _ in most_popular(session, WANTED)]
        customers = [persona.customer_id for persona in personas.all[1:3]]
        customer = ScriptedCustomer(shop, clock, wanted, customers, SystemRandomness())
        # What is loaded now stays; collecting it again and again would delay pages.
        gc.freeze()
        with Running(urls, composer, components) as running, customer:
            yield Shop(shop, composer, clock, running, personas, customer, SystemRandomness())


if __name__ == "__main__":
    sys.exit(main())
