"""The open shop, and what every page is rendered with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request

from preterite import OpenSystem
from preterite.clock import Randomness
from preterite.composition import Composer
from preterite.composition.web import PageArguments, live, notice
from preterite.demo_clock import SharedClock
from retail.catalog.actions import CATEGORIES, OTHER
from retail.identifiers import CustomerId
from retail.web.customer import ScriptedCustomer
from retail.web.formatting import FILTERS
from retail.web.links import links_of_office, links_of_shop, paged
from retail.web.personas import Personas
from retail.web.running import Running
from retail.web.security import token_of

CUSTOMER = "customer"
SAID = "said"
HANDLED_SECONDS = 2.0
"""How long a move of the clock waits until what has happened is handled."""
HANDLED_LOOK_SECONDS = 0.02
"""Between two looks at whether it is."""


def environment() -> Environment:
    """The templates."""
    made = Environment(
        loader=PackageLoader("retail.web"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    globals_of: dict[str, Any] = made.globals
    globals_of |= {
        "notice": notice,
        "live": live,
        "links_of_shop": links_of_shop,
        "links_of_office": links_of_office,
        "paged": paged,
        "category_names": sorted({*CATEGORIES.values(), OTHER}),
    }
    globals_of["ui"] = made.get_template("ui.html").module
    return made


@dataclass
class Shop:
    """The open system, its components in this process, and the demo's own state."""

    open: OpenSystem
    composer: Composer
    clock: SharedClock
    running: Running
    personas: Personas
    customer: ScriptedCustomer
    randomness: Randomness
    templates: Environment = field(default_factory=environment)

    def viewer(self, request: Request) -> UUID:
        """The customer that the visitor acts as: the chosen persona, or the first."""
        chosen = request.session.get(CUSTOMER)
        return UUID(chosen) if chosen else self.personas.all[0].customer_id

    def move_clock(self, to: datetime) -> None:
        """Move the clock once the running components have handled what has happened, so that no event arrives late.

        A leap of weeks takes a moment: without the wait a month is invoiced before its last cancellation is handled.
        """
        clock = self.open.clock
        until = clock.monotonic() + HANDLED_SECONDS
        while clock.monotonic() < until and not self._has_handled_everything():
            clock.sleep(HANDLED_LOOK_SECONDS)
        self.clock.to(to)

    def _has_handled_everything(self) -> bool:
        statuses = self.open.status().items()
        return all(status.is_quiet for name, status in statuses if self.running.is_running(name))

    async def question(self, request: Request) -> PageArguments:
        """A request as the page's question: its viewer, words and variables."""
        viewer = self.viewer(request)
        frame = self.frame(request)
        return PageArguments(
            viewer,
            {"customer": CustomerId(viewer)},
            dict(request.query_params),
            {
                **frame,
                "viewer": viewer,
                "new_id": self.randomness.uuid(),
                "errors": getattr(request.state, "errors", {}),
                "fields": getattr(request.state, "fields", {}),
            },
            as_of=frame["now"],
        )

    def frame(self, request: Request) -> dict[str, Any]:
        """The variables of the layout around every page."""
        return {
            "persona": self.personas.of(self.viewer(request)),
            "now": self.clock.now(),
            "token": token_of(request),
            "said": request.session.pop(SAID, ""),
            "path": request.scope["path"],
        }
