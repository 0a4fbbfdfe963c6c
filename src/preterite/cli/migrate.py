"""`preterite migrate`: the version of Preterite's tables in each component, and updating them."""

from __future__ import annotations

import argparse
import os
from typing import Any

from preterite import store as stores
from preterite.cli.application import Application, Readings, add_command, add_verb, find
from preterite.cli.output import number_of, print_block, print_line, table
from preterite.settings import owner_urls
from preterite.store.contract import Database, connected, translating_errors

HELP = """\
Preterite's own tables in the components' databases, by numbered scripts.

  preterite migrate status    print the version of every component's tables
  preterite migrate up        run the missing scripts
  preterite migrate sql       print the missing scripts, to run them manually

If PRETERITE_COMPONENT_OWNER_URL is set, as preterite provision writes it, scripts run as that role.
preterite run also runs missing scripts when it starts, if its role may.
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "migrate", "update Preterite's own tables in the databases", HELP)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what", required=True)
    add_verb(verbs, "migrate", "status", "print the version of every component's tables", HELP)
    add_verb(verbs, "migrate", "up", "run the missing scripts", HELP)
    add_verb(verbs, "migrate", "sql", "print the missing scripts", HELP)
    parser.set_defaults(command=migrate)


def migrate(options: argparse.Namespace) -> int:
    """Print or run the missing scripts; `status` returns 1 if there are any."""
    application = find(options)
    rows: list[list[object]] = []
    missing = 0
    readings = Readings()
    for name, database in _databases(application).items():
        with readings.of(name), translating_errors(database.store, name):
            applied, scripts = _version(database)
            pending = [script for script in scripts if script.number > applied]
            missing += len(pending)
            if options.what == "sql" and pending:
                print_line(f"-- {name}: {database.url}")
                for script in pending:
                    print_block(f"{script.text.rstrip()}\n{database.store.migration_statement(script.number)};\n")
            if options.what == "up" and pending:
                with connected(database) as connection:
                    database.store.migrate(connection)
                applied = scripts[-1].number
            rows.append([name, database.url, applied, scripts[-1].number])
    if options.what != "sql":
        print_block(table(["component", "database", "version", "newest"], rows, right=(2, 3)))
    elif not missing and not readings.unread:
        print_line("no script is missing", error=True)
    if options.what == "status" and missing:
        print_line(
            f"{number_of(missing, 'script is', 'scripts are')} missing; preterite migrate up runs them", error=True
        )
    return readings.exit_code(1 if options.what == "status" and missing else 0)


def _databases(application: Application) -> dict[str, Database]:
    urls = application.urls()
    return {name: stores.connect(url, name) for name, url in (urls | owner_urls(urls, os.environ)).items()}


def _version(database: Database) -> tuple[int, Any]:
    """The version of its tables, and all scripts; raises `SchemaTooNew` where no script of this program makes it."""
    if not database.exists():
        return 0, database.store.scripts()
    with connected(database) as connection:
        database.store.is_migrated(connection)
        return database.store.schema_version(connection), database.store.scripts()
