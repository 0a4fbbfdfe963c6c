"""Finding the application: --app MODULE:ATTR, or what [tool.preterite] names."""

from __future__ import annotations

import argparse
import importlib
import os
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
from preterite.clock import SystemClock, SystemRandomness
from preterite.component import Component
from preterite.demo_clock import SharedClock
from preterite.drivers.extras import missing
from preterite.errors import ConfigurationError, ExtraMissing, NotMigrated, UsageError
from preterite.log.contract import ANY_SYSTEM, Log, LogIdentity
from preterite.printing.by_name import unknown_name
from preterite.store.contract import Database, translating_errors
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
        return {name: stores.connect(url) for name, url in self.urls().items()}

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
            raise Refused(f"Component {component!r} was never started: there is no database {database.url}.")
        connection = database.connect()
        try:
            with translating_errors(database.store, component):
                if not database.store.is_migrated(connection):
                    raise NotMigrated(component)
                yield database, connection
        finally:
            connection.close()


def add_command(commands: Any, name: str, purpose: str, description: str) -> argparse.ArgumentParser:
    """Declare a command or one of its subcommands; its help is printed as it is written."""
    raw = argparse.RawDescriptionHelpFormatter
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=purpose, description=description, formatter_class=raw, epilog="exit codes: preterite --help"
    )
    add_app(parser, default=argparse.SUPPRESS)
    return parser


def add_app(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Declare --app. Commands suppress its default, so that they keep what stands before the command."""
    parser.add_argument(
        "-A",
        "--app",
        metavar="MODULE:ATTR",
        default=default,
        help="the system to work on; default: app of [tool.preterite] in pyproject.toml",
    )


def find(options: argparse.Namespace) -> Application:
    """The application that --app names, or else [tool.preterite] in pyproject.toml."""
    app: str | None = options.app or settings.read_project(Path.cwd()).app
    if app is None:
        raise ConfigurationError(
            "No application is given. Name it with --app MODULE:ATTR, as in --app shop.system:system, "
            'or in pyproject.toml: [tool.preterite] app = "shop.system:system".'
        )
    return load(app)


def load(name: str) -> Application:
    """Import `module:attribute`, a system; modules are also looked for in the current directory."""
    module_name, separator, attribute = name.partition(":")
    if not separator:
        raise ConfigurationError(f"{name!r} names no application; write MODULE:ATTR, as in shop.system:system.")
    module = import_module(module_name, name)
    found = getattr(module, attribute, None)
    if not isinstance(found, System):
        systems = [word for word, value in vars(module).items() if isinstance(value, System)]
        there = f"it has {', '.join(systems)}" if systems else "it has none"
        raise ConfigurationError(f"{module_name} has no System called {attribute!r}; {there}.")
    return Application(name, found)


def import_module(module_name: str, name: str) -> ModuleType:
    """Import a module that a user has named, as part of `name`; what is wrong with it is said in one sentence."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise ConfigurationError(
                f"There is no module {error.name!r} to import for {name!r}, seen from here."
            ) from None
        found = missing(module_name, error)
        raise found or ConfigurationError(f"{module_name} cannot be imported: {error}.") from error
    except ExtraMissing:
        raise
    except Exception as error:
        # Whatever the user's own module does wrong is the user's to see: in one sentence, or whole with --debug.
        raise ConfigurationError(f"{module_name} cannot be imported: {type(error).__name__}: {error}.") from error
