"""How a dead letter is named on the command line: COMPONENT/NUMBER."""

from __future__ import annotations

from typing import NamedTuple

from preterite.cli.application import Application, Refused


class Letter(NamedTuple):
    """A dead letter as it is named here."""

    component: str
    number: int

    def __str__(self) -> str:
        return f"{self.component}/{self.number}"


def letter_named(application: Application, word: str) -> Letter:
    """The letter of this name; raises `Refused` if it names none."""
    component, _, number = word.rpartition("/")
    if not component or not number.isdigit():
        raise Refused(f"{word!r} names no letter; write COMPONENT/NUMBER, as in finance/12.")
    return Letter(application.component(component).name, int(number))
