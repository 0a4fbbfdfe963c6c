"""Finding the application: APP is `module:attribute`, or what [tool.preterite] names."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from preterite import logs, settings, stores
from preterite.clock import SystemClock
from preterite.component import Component
from preterite.errors import ConfigurationError, NotMigrated, UsageError
from preterite.log import LogIdentity
from preterite.rows import DbConnection
from preterite.shared_clock import SharedClock
from preterite.store import Database, reaching
from preterite.system import System


class Refused(UsageError):
    """The command line was understood, but names something that does not fit."""


@dataclass(frozen=True)
class Application:
    """The system that a command works on, and its name as workers find it again."""

    name: str
    system: System

    def component(self, name: str) -> Component:
        """The component of this name; says which there are, and which one may have been meant."""
        known = [component.name for component in self.system.components]
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise Refused(f"System {self.system.name!r} has no component {name!r}; it has {', '.join(known)}.{meant}")
        return self.system.component(name)

    def urls(self) -> dict[str, str]:
        """Where each component's database is."""
        names = [component.name for component in self.system.components]
        return settings.database_urls(self.system.name, names, {}, os.environ, settings.read_project(Path.cwd()))

    def log_url(self) -> str:
        """Where the log is."""
        return settings.log_url(self.system.name, None, os.environ, settings.read_project(Path.cwd()))

    def databases(self) -> Mapping[str, Database]:
        """The components' databases; opens none."""
        return {name: stores.connect(url) for name, url in self.urls().items()}

    def now(self) -> datetime:
        """The business time: the machine's, but for a demo, whose clock stands beside its log."""
        if not self.system.demo:
            return SystemClock().now()
        identity = LogIdentity(self.system.name, UUID(int=0), self.system.partitions)
        log = logs.connect(self.log_url(), identity, SystemClock())
        try:
            return SharedClock(log).now()
        finally:
            log.close()

    @contextmanager
    def opened(self, component: str) -> Generator[tuple[Database, DbConnection]]:
        """The database of a component that was started once, with a connection to it."""
        database = self.databases()[component]
        if not database.exists():
            raise Refused(f"Component {component!r} was never started: there is no database {database.url}.")
        connection = database.connect()
        try:
            with reaching(database.store, component):
                if not database.store.is_migrated(connection):
                    raise NotMigrated(component)
                yield database, connection
        finally:
            connection.close()


def shown(url: str) -> str:
    """A URL as people may see it, without password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}", query=""))


def add_command(commands: Any, name: str, says: str, description: str) -> argparse.ArgumentParser:
    """Declare a command whose help is shown as it is written."""
    raw = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=says, description=description, formatter_class=raw)


def find(words: Sequence[str]) -> tuple[Application, list[str]]:
    """The application, and the words that are left: the first word names it if it has a colon."""
    if words and ":" in words[0]:
        return load(words[0]), list(words[1:])
    app = settings.read_project(Path.cwd()).app
    if app is None:
        raise ConfigurationError(
            "No application is named. Give it as module:attribute, as in shop.system:system, "
            'or once and for all in pyproject.toml: [tool.preterite] app = "shop.system:system".'
        )
    return load(app), list(words)


def load(name: str) -> Application:
    """Import `module:attribute`, a system; the folder one is in counts as a place for modules."""
    module_name, _, attribute = name.partition(":")
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
            ) from error
        raise ConfigurationError(f"{module_name} cannot be imported: {error}.") from error
    except Exception as error:
        # Whatever the user's own module does wrong is the user's to see: in one sentence, or whole with --debug.
        raise ConfigurationError(f"{module_name} cannot be imported: {type(error).__name__}: {error}.") from error
