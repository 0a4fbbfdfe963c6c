"""`preterite migrate`: which tables of Preterite each component has, and bringing them up to date."""

from __future__ import annotations

import argparse
import os
from typing import Any

from preterite import stores
from preterite.cli.application import Application, add_command, find
from preterite.cli.output import table
from preterite.settings import owner_variable
from preterite.store import Database, reaching

HELP = """\
Preterite's own tables in the components' databases, by numbered scripts.

  preterite migrate status shop.system:system    what each component has
  preterite migrate up shop.system:system        run what is missing
  preterite migrate sql shop.system:system       print what is missing, for whoever runs it by hand

Where PRETERITE_COMPONENT_OWNER_URL is set, as preterite provision writes it, scripts run as that role.
preterite run does the same at its start, as far as its role may.
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "migrate", "bring Preterite's tables up to date", HELP)
    parser.add_argument("what", choices=("status", "up", "sql"), help="see above")
    parser.add_argument("app", nargs="?", metavar="APP", help="module:attribute")
    parser.set_defaults(command=migrate)


def migrate(options: argparse.Namespace) -> int:
    """Say or do what is missing; `status` answers 1 if anything is."""
    application, _ = find([options.app] if options.app else [])
    rows: list[list[object]] = []
    missing = 0
    for name, database in _databases(application).items():
        with reaching(database.store, name):
            applied, scripts = _standing(database)
            pending = [script for script in scripts if script.number > applied]
            missing += len(pending)
            if options.what == "sql" and pending:
                print(f"-- {name}: {database.url}")
                for script in pending:
                    print(f"{script.text.rstrip()}\n{database.store.note_of(script.number)};\n")
            if options.what == "up" and pending:
                connection = database.connect()
                database.store.migrate(connection)
                connection.close()
                applied = scripts[-1].number
            rows.append([name, database.url, applied, scripts[-1].number])
    if options.what != "sql":
        print(table(["component", "database", "has", "newest"], rows, right=(2, 3)))
    return 1 if options.what == "status" and missing else 0


def _databases(application: Application) -> dict[str, Database]:
    urls = application.urls()
    return {name: stores.connect(os.environ.get(owner_variable(name)) or url) for name, url in urls.items()}


def _standing(database: Database) -> tuple[int, Any]:
    if not database.exists():
        return 0, database.store.scripts()
    connection = database.connect()
    try:
        return database.store.newest(connection), database.store.scripts()
    finally:
        connection.close()
