"""`preterite who`: who owns a table, a field, an event, a handler, a module or a file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preterite.cli.application import Application, add_command, find
from preterite.cli.pages import declared_pages
from preterite.describing.telling import tellings

HELP = """\
Who owns WHAT: a table, or table.column; a field of an event; an event, by its class or by its name on the wire; a
handler; a part of a page; a module or a file. Opens nothing. Fails if nobody does.

  preterite who purchase
  preterite who customer_id
  preterite who ItemPurchased
  preterite who retail/finance/billing.py
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "who", "who owns a table, field, event, handler, module or file", HELP)
    parser.add_argument("words", nargs="+", metavar="[APP] WHAT", help="what is asked for")
    parser.set_defaults(command=who)


def who(options: argparse.Namespace) -> int:
    """Say all that is known of it; 1 if that is nothing."""
    words: list[str] = options.words
    application, left = find(words if len(words) > 1 else ["", *words][1:])
    what = " ".join(left)
    answers = list(dict.fromkeys(_answers(application, what)))
    for answer in answers:
        print(answer)
    if not answers:
        print(f"nobody in {application.system.name} owns anything called {what}")
    return 0 if answers else 1


def _answers(application: Application, what: str) -> Iterator[str]:
    yield from _events(application, what)
    yield from _handlers(application, what)
    yield from _tables(application, what)
    yield from _parts(what)
    yield from _modules(application, what)


def _events(application: Application, what: str) -> Iterator[str]:
    for one in tellings(application.system):
        heard = ", ".join(one.heard_by) or "nobody"
        if what in (one.name, one.shape.name):
            yield f"{one.shape.name}: an event of {one.publisher}, heard by {heard}"
        names = dict(zip(one.event.__struct_fields__, one.event.__struct_encode_fields__, strict=True))
        for field, wire in names.items():
            if what in (field, wire, f"{one.name}.{field}"):
                key = ", its key" if wire == one.shape.key else ""
                yield f"{one.name}.{field}: a field of {one.publisher}'s event{key}, heard by {heard}"


def _handlers(application: Application, what: str) -> Iterator[str]:
    for component in application.system.components:
        for handler in component.handlers:
            if what in (handler.name, f"{component.name}.{handler.name}"):
                yield f"{handler.name}: a handler of {component.name}, for {handler.message_type.__name__}"


def _tables(application: Application, what: str) -> Iterator[str]:
    """Tables need the extra `check`, whose parser reads what is declared in SQL; without it only metadata is known."""
    table, _, column = what.partition(".")
    for component in application.system.components:
        for name, columns in _columns(component.tables).items():
            if table.casefold() == name.casefold() and (not column or column in columns):
                yield f"{what}: a {'column' if column else 'table'} of {component.name}"
            elif what in columns and not column:
                yield f"{name}.{what}: a column of {component.name}"


def _parts(what: str) -> Iterator[str]:
    """Parts of the pages that [tool.preterite] names, each with all pages on which it stands."""
    stands_on: dict[str, list[str]] = {}
    for page in declared_pages():
        for part in page.parts:
            if what in (part.name, part.full_name, part.slot):
                stands_on.setdefault(part.full_name, []).append(page.name)
    for full_name, pages in stands_on.items():
        owner = full_name.partition(".")[0]
        yield f"{full_name}: a part of {owner}, on {', '.join(dict.fromkeys(pages))}"


def _columns(tables: Any) -> dict[str, list[str]]:
    if tables is None:
        return {}
    if not isinstance(tables, str):
        return {table.name: [column.name for column in table.columns] for table in tables.tables.values()}
    from preterite.cli.check import checks

    checks()
    from preterite.checks.schema import columns

    return columns(tables)


def _modules(application: Application, what: str) -> Iterator[str]:
    from preterite.cli.check import checks

    checks()
    from preterite.checks.partition import Partition

    partition = Partition(application.system, application.urls())
    path = Path(what)
    names = [what]
    if path.suffix == ".py":
        parts = path.with_suffix("").parts
        names = [".".join(parts[start:]).removesuffix(".__init__") for start in range(len(parts))]
    for name in names:
        territory = partition.of_module(name)
        if territory is not None:
            may = ", and others may import it" if partition.is_contract(name) else ""
            yield f"{what}: a module of {territory.name}{may}"
            return
