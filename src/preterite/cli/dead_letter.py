"""How a dead letter is named on the command line: COMPONENT/NUMBER."""

from __future__ import annotations

from typing import NamedTuple

from preterite.cli.application import Application, Refused
from preterite.cli.words import whole_number

NAMED = "the dead letter, as dead-letters list names it: finance/12"
"""What the help says of it."""


class DeadLetterName(NamedTuple):
    """The name of a dead letter: COMPONENT/NUMBER."""

    component: str
    number: int

    def __str__(self) -> str:
        return f"{self.component}/{self.number}"


def dead_letter_named(application: Application, word: str) -> DeadLetterName:
    """The dead letter of this name; raises `Refused` if the name has another form."""
    component, _, digits = word.rpartition("/")
    number = whole_number(digits)
    if not component or number is None:
        raise Refused(f"{word!r} names no dead letter; write COMPONENT/NUMBER, as in finance/12.")
    return DeadLetterName(application.component(component).name, number)
