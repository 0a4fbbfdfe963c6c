"""Finding the application: --app MODULE:ATTR, or what [tool.preterite] names."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sqlite3
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from preterite import log as logs
from preterite import settings
from preterite import store as stores
from preterite.cli.output import print_line
from preterite.clock import SystemClock, SystemRandomness
from preterite.component import Component
from preterite.demo_clock import SharedClock
from preterite.drivers.extras import missing
from preterite.errors import ConfigurationError, ExtraMissing, NotMigrated, StoreError, UsageError, WrongDatabase
from preterite.log.contract import ANY_SYSTEM, Log, LogIdentity
from preterite.printing.by_name import unknown_name
from preterite.printing.raised import original_of
from preterite.printing.text import clause
from preterite.store.contract import Database, connected, translating_errors
from preterite.store.rows import DbConnection
from preterite.system import System


class Refused(UsageError):
    """The command line was parsed, but names something that does not exist or cannot be used."""


@dataclass(frozen=True)
class Application:
    """The system that a command works on, and the name under which workers import it."""

    name: str
    system: System

    def component(self, name: str) -> Component:
        """The component of this name; the error lists the components and suggests the closest name."""
        known = [component.name for component in self.system.components]
        if name not in known:
            raise Refused(str(unknown_name("component", name, known)))
        return self.system.component(name)

    def urls(self) -> dict[str, str]:
        """The URL of each component's database."""
        names = [component.name for component in self.system.components]
        return settings.database_urls(self.system.name, names, {}, os.environ, settings.read_project(Path.cwd()))

    def log_url(self) -> str:
        """The URL of the log."""
        return settings.log_url(self.system.name, None, os.environ, settings.read_project(Path.cwd()))

    def databases(self) -> Mapping[str, Database]:
        """The components' databases; opens none."""
        return {name: stores.connect(url, name) for name, url in self.urls().items()}

    def now(self) -> datetime:
        """The business time: the system clock; for a demo, its own clock, kept beside the log."""
        if not self.system.demo:
            return SystemClock().now()
        with self.log() as log:
            return SharedClock(log).now()

    @contextmanager
    def log(self, *, as_owner: bool = False) -> Generator[Log]:
        """The log, which is there: none is made; as the role that owns it where that is wanted and its URL is set.

        Raises `StoreUnavailable` where there is none.
        """
        identity = LogIdentity(self.system.name, ANY_SYSTEM, self.system.partitions)
        owner = settings.owner_urls(["log"], os.environ).get("log") if as_owner else None
        log = logs.find(owner or self.log_url(), identity, SystemClock())
        try:
            yield log
        finally:
            log.close()

    def new_log(self) -> Log:
        """The log, as the role that owns it if its URL is set; made under an id of its own if there is none."""
        identity = LogIdentity(self.system.name, SystemRandomness().uuid(), self.system.partitions)
        url = settings.owner_urls(["log"], os.environ).get("log") or self.log_url()
        return logs.connect(url, identity, SystemClock())

    @contextmanager
    def opened(self, component: str) -> Generator[tuple[Database, DbConnection]]:
        """The database of a component that was started before, with a connection to it."""
        database = self.databases()[component]
        if not database.exists():
            raise Refused(
                f"Component {component!r} was never started: there is no database {database.url}. "
                "preterite run starts it."
            )
        with connected(database) as connection, translating_errors(database.store, component):
            if not database.store.is_migrated(connection):
                raise _not_made(component, database, connection)
            yield database, connection


def _not_made(component: str, database: Database, connection: DbConnection) -> StoreError:
    if database.store.identity(connection) is not None:
        return NotMigrated(component)
    return WrongDatabase(
        f"{database.url} holds no table of Preterite: it is not the database of {component!r}, or was never started. "
        "Nothing was written. Check the component's URL, or restore a backup; preterite run starts a new one."
    )


class Readings:
    """Reads component after component: one that cannot be read is named on stderr, and keeps no other from being read.

    Where only one is `asked_for`, its error passes through.
    """

    def __init__(self, *, asked_for: str | None = None) -> None:
        self._asked_for = asked_for
        self._read = 0
        self.unread: list[str] = []
        """The components that could not be read."""

    @contextmanager
    def of(self, component: str) -> Generator[None]:
        """Read one component inside of this; where its database cannot be read, what comes after this goes on."""
        try:
            yield
        except Exception as error:
            if self._asked_for is not None or not (isinstance(error, StoreError) or is_of_a_database(error)):
                raise
            self.unread.append(component)
            print_line(f"{component} is left out: {error}", error=True)
        else:
            self._read += 1

    def none_of(self, things: str) -> str:
        """That there are none of these things, as far as that could be read."""
        return f"no {things} in the components that can be read" if self.unread else f"no {things}"

    def exit_code(self, code: int = 0) -> int:
        """This code if all was read; else that of a part, or of nothing."""
        if not self.unread:
            return code
        return 6 if self._read else 4


def is_of_a_database(error: BaseException) -> bool:
    """Whether a database has raised it: one that is damaged, lacks a table, or refuses a right."""
    original = original_of(error)
    return isinstance(original, sqlite3.Error) or type(original).__module__.partition(".")[0] == "psycopg"


def add_command(
    commands: Any, name: str, purpose: str, description: str, *, epilog: str = ""
) -> argparse.ArgumentParser:
    """Declare a command or one of its subcommands; its help is printed as it is written."""
    raw = argparse.RawDescriptionHelpFormatter
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=purpose, description=description, formatter_class=raw, epilog=f"{epilog}exit codes: preterite --help"
    )
    add_general(parser)
    parser.set_defaults(refuse=parser.error)
    return parser


def add_verb(verbs: Any, group: str, name: str, purpose: str, help_of_group: str) -> argparse.ArgumentParser:
    """Declare a subcommand whose help is its purpose and the examples that the help of its group has of it."""
    beginning = f"  preterite {group} {name}"
    lines = [line for line in help_of_group.splitlines() if f"{line} ".startswith(f"{beginning} ")]
    # Alone, a line needs no column of its own for what it says.
    alone = [f"  {re.sub(' {3,}', '    ', line.strip())}" for line in lines[:1]]
    examples = "".join(f"\n{line}" for line in (lines if len(lines) > 1 else alone))
    description = f"{purpose[0].upper()}{purpose[1:]}.\n{examples}"
    return add_command(verbs, name, purpose, description, epilog=f"about {group}: preterite {group} --help\n")


def add_general(parser: argparse.ArgumentParser, *, is_top: bool = False) -> None:
    """Declare what may stand before the command and after it. Commands keep what stands before them."""
    suppressed: Any = argparse.SUPPRESS
    options = parser.add_argument_group("options of every command") if not is_top else parser
    options.add_argument(
        "-A",
        "--app",
        metavar="MODULE:ATTR",
        default=None if is_top else suppressed,
        help="the system to work on; default: app of [tool.preterite] in pyproject.toml",
    )
    options.add_argument(
        "-C",
        "--project",
        metavar="DIR",
        default=None if is_top else suppressed,
        help="change to this directory first; default: stay",
    )
    options.add_argument(
        "--debug",
        action="store_true",
        default=False if is_top else suppressed,
        help="print the traceback of an error",
    )


def find(options: argparse.Namespace) -> Application:
    """The application that --app names, or else [tool.preterite] in pyproject.toml."""
    app: str | None = options.app or settings.read_project(Path.cwd()).app
    if app is None:
        raise ConfigurationError(
            "No system is named. Name it with -A MODULE:ATTR, as in -A shop.system:system, "
            'or in pyproject.toml: [tool.preterite] app = "shop.system:system".'
        )
    return load(app)


def load(name: str) -> Application:
    """Import `module:attribute`, a system; modules are also looked for in the current directory."""
    module_name, attribute = parts_of(name, "system", "MODULE:ATTR, as in shop.system:system")
    module = import_module(module_name, name)
    found = getattr(module, attribute, None)
    if not isinstance(found, System):
        systems = [word for word, value in vars(module).items() if isinstance(value, System)]
        there = f"it has {', '.join(systems)}" if systems else "it has none"
        raise ConfigurationError(f"{module_name} has no System called {attribute!r}; {there}.")
    return Application(name, found)


def parts_of(name: str, what: str, form: str) -> tuple[str, str]:
    """The module and the attribute that the name consists of; the error says in which form to write it."""
    module_name, _, attribute = name.partition(":")
    if not attribute or not all(word.isidentifier() for word in module_name.split(".")):
        raise ConfigurationError(f"{name!r} names no {what}; write {form}.")
    return module_name, attribute


def import_module(module_name: str, name: str) -> ModuleType:
    """Import a module that a user has named, as part of `name`; what is wrong with it is said in one sentence."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise ConfigurationError(
                f"There is no module {error.name!r}, which {name!r} names, in {Path.cwd()} or among the installed "
                "packages. Correct the name, or name the folder of the project with -C."
            ) from None
        found = missing(module_name, error)
        raise found or ConfigurationError(f"{module_name} cannot be imported: {clause(error)}.") from error
    except ExtraMissing:
        raise
    except Exception as error:
        # Whatever the user's own module does wrong is the user's to see: in one sentence, or whole with --debug.
        kind = type(error).__name__
        raise ConfigurationError(f"{module_name} cannot be imported: {kind}: {clause(error)}.") from error
