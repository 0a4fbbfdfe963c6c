"""The customers that a visitor of the demo can act as: customers of the sample with different terms, and a new one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID, uuid4

from retail.replay.lines import Line, reason_against
from retail.replay.names import customer_id
from retail.replay.year import has_agreement, is_late_payer

BULK = 48


@dataclass(frozen=True)
class Persona:
    """One customer that a visitor can act as."""

    name: str
    description: str
    customer: str

    @property
    def customer_id(self) -> UUID:
        """The customer's identifier in the components."""
        return UUID(self.customer)


@dataclass(frozen=True)
class Personas:
    """All personas; a visitor starts as the first."""

    all: Sequence[Persona]

    def write(self, file: Path) -> None:
        """Write them to a file."""
        file.write_text(json.dumps([asdict(persona) for persona in self.all], indent=2), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Personas:
        """Read what `write` has written."""
        return cls([Persona(**persona) for persona in json.loads(file.read_text(encoding="utf-8"))])

    def of(self, customer: UUID) -> Persona:
        """The persona of a customer; a new customer if there is none."""
        found = next((persona for persona in self.all if persona.customer == str(customer)), None)
        return found or Persona("New customer", "Has never purchased anything.", str(customer))


def choose(lines: Sequence[Line]) -> Personas:
    """One customer of each kind among those who purchase in these lines: the most months first, then most purchases."""
    purchases: dict[int, int] = {}
    months: dict[int, set[int]] = {}
    bulk: set[int] = set()
    for line in lines:
        if line.customer is not None and reason_against(line) is None:
            purchases[line.customer] = purchases.get(line.customer, 0) + 1
            months.setdefault(line.customer, set()).add(line.at.month)
            if line.quantity >= BULK:
                bulk.add(line.customer)

    def first(is_one: Callable[[int], bool]) -> str:
        found = max((one for one in months if is_one(one)), key=lambda one: (len(months[one]), purchases[one], -one))
        return str(customer_id(found))

    def is_plain(one: int) -> bool:
        return not is_late_payer(one) and not has_agreement(one)

    return Personas(
        [
            Persona(
                "A plain customer", "Pays list prices, and in time.", first(lambda o: is_plain(o) and o not in bulk)
            ),
            Persona("With an agreement", "Has an agreement with Finance: 8 % off.", first(has_agreement)),
            Persona("A bulk buyer", "Buys by the hundred.", first(lambda o: is_plain(o) and o in bulk)),
            Persona("Overdue", "Has not paid for March yet.", first(lambda o: is_late_payer(o) and 3 in months[o])),
            Persona("New customer", "Has never purchased anything; Shipping has no address.", str(uuid4())),
        ]
    )
