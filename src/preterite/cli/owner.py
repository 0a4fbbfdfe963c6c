"""`preterite owner`: the component that owns a table, field, event, handler, part, module or file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preterite.cli.application import Application, add_command, find
from preterite.cli.output import print_line
from preterite.cli.pages import declared_pages
from preterite.describing.flows import flows_of

HELP = """\
Print the component that owns WHAT: a table, or table.column; an event, as ItemPurchased or sales.ItemPurchased; a
field of an event; a handler; a part of a page; a module or a file. Opens no database. Exits with 1 if no component
owns it.

  preterite owner purchase
  preterite owner customer_id
  preterite owner ItemPurchased
  preterite owner retail/finance/billing.py
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "owner", "print which component owns a table, event, handler, module …", HELP)
    parser.add_argument("what", metavar="WHAT", help="a table, field, event, handler, part, module or file")
    parser.set_defaults(command=owner)


def owner(options: argparse.Namespace) -> int:
    """Print everything that has this name, with its owner; 1 if nothing has."""
    application, what = find(options), str(options.what)
    answers = list(dict.fromkeys(_answers(application, what)))
    for answer in answers:
        print_line(answer)
    if not answers:
        print_line(f"no component of {application.system.name} owns {what!r}")
    return 0 if answers else 1


def _answers(application: Application, what: str) -> Iterator[str]:
    yield from _events(application, what)
    yield from _handlers(application, what)
    yield from _tables(application, what)
    yield from _parts(what)
    yield from _modules(application, what)


def _events(application: Application, what: str) -> Iterator[str]:
    for flow in flows_of(application.system):
        subscribers = f"subscribers: {', '.join(flow.subscribers) or 'none'}"
        if what in (flow.name, flow.shape.name):
            yield f"{flow.shape.name}: an event of {flow.publisher}; {subscribers}"
        names = dict(zip(flow.event.__struct_fields__, flow.event.__struct_encode_fields__, strict=True))
        for field, wire in names.items():
            if what in (field, wire, f"{flow.name}.{field}"):
                kind = "the key" if wire == flow.shape.key else "a field"
                yield f"{flow.name}.{field}: {kind} of an event of {flow.publisher}; {subscribers}"


def _handlers(application: Application, what: str) -> Iterator[str]:
    for component in application.system.components:
        for handler in component.handlers:
            if what in (handler.name, f"{component.name}.{handler.name}"):
                yield f"{handler.name}: a handler of {component.name}, for {handler.message_type.__name__}"


def _tables(application: Application, what: str) -> Iterator[str]:
    """Tables that are declared as SQL text need the parser of the extra `check`; metadata does not."""
    table, _, column = what.partition(".")
    for component in application.system.components:
        for name, columns in _columns(component.tables).items():
            if table.casefold() == name.casefold() and (not column or column in columns):
                yield f"{what}: a {'column' if column else 'table'} of {component.name}"
            elif what in columns and not column:
                yield f"{name}.{what}: a column of {component.name}"


def _parts(what: str) -> Iterator[str]:
    """Parts of the pages that [tool.preterite] names, each with the pages that contain it."""
    pages_of: dict[str, list[str]] = {}
    for page in declared_pages():
        for part in page.parts:
            if what in (part.name, part.full_name, part.slot):
                pages_of.setdefault(part.full_name, []).append(page.name)
    for full_name, pages in pages_of.items():
        yield f"{full_name}: a part of {full_name.partition('.')[0]}, on {', '.join(dict.fromkeys(pages))}"


def _columns(tables: Any) -> dict[str, list[str]]:
    if tables is None:
        return {}
    if not isinstance(tables, str):
        return {table.name: [column.name for column in table.columns] for table in tables.tables.values()}
    from preterite.cli.check import checks

    checks()
    from preterite.checks.sql.schema import columns

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
        ownership = partition.of_module(name)
        if ownership is not None:
            imports = ", which other components may import" if partition.is_contract(name) else ""
            yield f"{what}: a module of {ownership.name}{imports}"
            return
