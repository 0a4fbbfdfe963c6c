"""Who one can be in the shop: customers of the sample with different terms, and a new one."""

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
class Person:
    """Somebody whom a visitor of the demo can be."""

    name: str
    says: str
    customer: str

    @property
    def customer_id(self) -> UUID:
        """Under which identifier the components know them."""
        return UUID(self.customer)


@dataclass(frozen=True)
class People:
    """Everybody one can be; the first is who one is at first."""

    people: Sequence[Person]

    def write(self, file: Path) -> None:
        """Keep them in a file."""
        file.write_text(json.dumps([asdict(person) for person in self.people], indent=2), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> People:
        """As they were kept."""
        return cls([Person(**person) for person in json.loads(file.read_text(encoding="utf-8"))])

    def of(self, customer: UUID) -> Person:
        """Who that is; somebody new if nobody here."""
        found = next((person for person in self.people if person.customer == str(customer)), None)
        return found or Person("Somebody new", "Has never purchased anything.", str(customer))


def choose(lines: Sequence[Line]) -> People:
    """One customer of each kind among those who have purchased in these lines: who did in the most months, and most."""
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

    return People(
        [
            Person(
                "A plain customer", "Pays list prices, and in time.", first(lambda o: is_plain(o) and o not in bulk)
            ),
            Person("With an agreement", "Has agreed on 8 % with Finance.", first(has_agreement)),
            Person("A bulk buyer", "Buys by the hundred.", first(lambda o: is_plain(o) and o in bulk)),
            Person("Overdue", "Has not paid for March yet.", first(lambda o: is_late_payer(o) and 3 in months[o])),
            Person("Somebody new", "Has never purchased anything; Shipping knows no address.", str(uuid4())),
        ]
    )
