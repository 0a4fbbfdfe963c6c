"""Recording of what runs: statements and the components that ran them, connections of handlers, values in events.

Statements are recorded by SQLite's trace, psycopg's cursors, SQLAlchemy's engines and Django's connections; one that is
recorded twice counts once. A statement belongs to the component of the innermost frame in a component's code, or, if
there is none, to the component whose handler runs.
"""

from __future__ import annotations

import importlib
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from preterite.checks.events import check_values
from preterite.checks.findings import Finding, Place, in_order
from preterite.checks.partition import Ownership, Partition
from preterite.checks.sql.access import access_violations
from preterite.checks.sql.databases import POSTGRES_PORT, database_of, server_of
from preterite.checks.sql.statements import StatementCache
from preterite.checks.sql.tables import NotUnderstood
from preterite.contracts import Event
from preterite.handling.invoker import HandlerInvoker
from preterite.open_system import OpenSystem
from preterite.publishing.unit_of_work import UnitOfWork
from preterite.system import System

VALUES_MAX = 200
"""How many values of a field are kept."""
FRAMES_MAX = 120
"""How many frames of a stack are searched for a component's code."""
_running = threading.local()
_recorders: list[Recorder] = []
_hooks: list[object] = []


class Recorder:
    """Collects findings; `findings` may be called at any time."""

    def __init__(self, system: System, urls: Mapping[str, str], allowed: Sequence[str] = ()) -> None:
        self._partition = Partition(system, urls)
        self._allowed = set(allowed)
        self._owners: dict[str, set[str]] = {}
        """The components of each database, by what a connection to it is recorded as."""
        for name, url in urls.items():
            self.opened(name, url)
        self._caches = {one.dialect: StatementCache(one.dialect) for one in self._partition.ownerships}
        self._found: dict[tuple[str, Place], Finding] = {}
        self._values: dict[tuple[str, str, str], dict[object, None]] = {}
        self._paths: WeakKeyDictionary[object, tuple[str, ...]] = WeakKeyDictionary()
        """The search path that was set on a connection."""
        self._lock = threading.Lock()
        self.statements = 0
        """How many statements of components were recorded."""

    def findings(self) -> list[Finding]:
        """All findings so far."""
        with self._lock:
            found = [*self._found.values()]
            values = {place: list(kept) for place, kept in self._values.items()}
        for (component, event, field), kept in values.items():
            found += check_values(component, event, field, kept)
        return in_order(found)

    def ran(self, statement: str, connection: object = None) -> None:
        """Record a statement that is about to run in this thread."""
        ownership, place = self._component_running()
        if ownership is None:
            return
        self.statements += 1
        try:
            access = self._caches[ownership.dialect].table_access(statement)
        except NotUnderstood as error:
            what = " ".join(statement.split())[:40]
            message = f"{ownership.name} ran {what!r}: {error}."
            self._add(Finding("sql-not-understood", ownership.name, what, "ran", message, place))
            return
        path = () if connection is None else self._paths.get(connection, ())
        if access.search_path is not None and connection is not None:
            self._paths[connection] = access.search_path
        for one in access_violations(self._partition, ownership, access, "cross-component-sql-at-runtime", place, path):
            if one.rule != "table-without-owner":
                self._add(one)

    def connected(self, target: str) -> None:
        """Record a connection that this thread opens: a finding while a handler runs.

        Connections to the component's own database and to files that are not databases of components are allowed.
        """
        component, handler = getattr(_running, "handler", (None, None))
        owners = self._owners.get(target, set[str]())
        if component is None or target in self._allowed or component in owners:
            return
        if not owners and ":" not in target.removeprefix(":memory:"):
            return
        _, place = self._component_running()
        server = f"the database of {' and '.join(sorted(owners))}" if owners else target
        message = f"{component} connects to {server} while {handler} handles an event."
        what = "+".join(sorted(owners)) or target
        self._add(Finding("waits-while-handling", component, what, handler or "", message, place))

    def opened(self, component: str, url: str) -> None:
        """Record that a component's database was opened."""
        for target in targets_of(url):
            self._owners.setdefault(target, set()).add(component)

    def published(self, component: str, event: Event) -> None:
        """Record the values of a published event."""
        for field in event.__struct_fields__:
            value = getattr(event, field)
            kept = self._values.setdefault((component, type(event).__name__, field), {})
            if isinstance(value, (str, int)) and not isinstance(value, bool) and len(kept) < VALUES_MAX:
                kept[value] = None

    def _component_running(self) -> tuple[Ownership | None, Place]:
        """The component whose code is innermost on this stack, and the line."""
        frame: Any = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the only way to read the stack
        for _ in range(FRAMES_MAX):
            if frame is None:
                break
            ownership = self._partition.of_module(frame.f_globals.get("__name__", ""))
            if ownership is not None:
                return ownership, Place(Path(frame.f_code.co_filename), frame.f_lineno)
            frame = frame.f_back
        component, _ = getattr(_running, "handler", (None, None))
        names = {one.name for one in self._partition.ownerships}
        return (self._partition.ownership(component) if component in names else None), Place()

    def _add(self, finding: Finding) -> None:
        with self._lock:
            self._found.setdefault((finding.key, finding.place), finding)


@contextmanager
def recording(
    system: System, urls: Mapping[str, str] | None = None, allowed: Sequence[str] = ()
) -> Generator[Recorder]:
    """Record what runs in this process; `allowed` names each `host:port` that handlers may connect to."""
    recorder = Recorder(system, urls or {}, allowed)
    with ExitStack() as stack:
        _hook_audit()
        stack.enter_context(_hook_handlers())
        stack.enter_context(_hook_publishing())
        stack.enter_context(_hook_opening())
        stack.enter_context(_hook_sqlite())
        stack.enter_context(_hook_psycopg())
        stack.enter_context(_hook_sqlalchemy())
        stack.enter_context(_hook_django())
        _recorders.append(recorder)
        stack.callback(_recorders.remove, recorder)
        yield recorder


def targets_of(url: str) -> list[str]:
    """What a connection to a database is recorded as: its file, or its server with and without the database."""
    parts = urlsplit(url)
    if parts.scheme.startswith("sqlite"):
        return [str(Path(parts.path.removeprefix("/")).absolute()), parts.path]
    return [database_of(url), server_of(url).removeprefix("postgresql://")]


def _record_statement(statement: object, connection: object = None) -> None:
    if getattr(_running, "is_recording", False):
        return
    _running.is_recording = True
    try:
        text = statement.decode(errors="replace") if isinstance(statement, bytes) else str(statement)
        for recorder in list(_recorders):
            recorder.ran(text, connection)
    finally:
        _running.is_recording = False


def _hook_audit() -> None:
    """Python's audit events report connections. The hook cannot be removed; without recorders it does nothing."""
    if not _hooks:
        _hooks.append(_audit)
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recorders or getattr(_running, "is_recording", False):
        return
    if event == "sqlite3.connect":
        target = str(arguments[0])
        _record_connection(target if target.startswith(":") else str(Path(target.removeprefix("file:")).absolute()))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host, port = cast(tuple[str, int], arguments[1][:2])
        _record_connection(f"{host}:{port}")


def _record_connection(target: str) -> None:
    for recorder in list(_recorders):
        recorder.connected(target)


@contextmanager
def _replaced(owner: Any, name: str, made: Callable[[Any], Any]) -> Generator[None]:
    before = getattr(owner, name)
    setattr(owner, name, made(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _hook_sqlite() -> Generator[None]:
    """Connections that are opened from now on record what they run."""

    def around(connect: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*arguments: Any, **named: Any) -> Any:
            connection = connect(*arguments, **named)
            connection.set_trace_callback(_record_statement)
            return connection

        return traced

    with _replaced(sqlite3, "connect", around), _replaced(importlib.import_module("sqlite3.dbapi2"), "connect", around):
        yield


@contextmanager
def _hook_handlers() -> Generator[None]:
    """Note which handler each thread runs."""

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(handling: Any, batch: Any, bound: Any, *others: Any, **named: Any) -> Any:
            before = getattr(_running, "handler", (None, None))
            _running.handler = (handling._component.name, bound.name)
            try:
                return call(handling, batch, bound, *others, **named)
            finally:
                _running.handler = before

        return noting

    with _replaced(HandlerInvoker, "call", around):
        yield


@contextmanager
def _hook_publishing() -> Generator[None]:
    def around(publish: Callable[..., Any]) -> Callable[..., Any]:
        def noting(unit: Any, event: Event, **named: Any) -> Any:
            found = publish(unit, event, **named)
            for recorder in list(_recorders):
                recorder.published(unit._identity.component, event)
            return found

        return noting

    with _replaced(UnitOfWork, "publish", around):
        yield


@contextmanager
def _hook_opening() -> Generator[None]:
    def around(begin: Callable[..., None]) -> Callable[..., None]:
        def noting(system: Any, *arguments: Any, **named: Any) -> None:
            begin(system, *arguments, **named)
            for recorder in list(_recorders):
                for name, database in system.databases.items():
                    recorder.opened(name, database.url)

        return noting

    with _replaced(OpenSystem, "__init__", around):
        yield


def _text(query: Any, cursor: Any) -> str | bytes:
    """The text of a psycopg query; empty if it has none, so that the driver refuses it."""
    if isinstance(query, (str, bytes)):
        return query
    try:
        return query.as_string(cursor)
    except Exception:
        return ""


@contextmanager
def _hook_psycopg() -> Generator[None]:
    """Cursors and connections of psycopg, if it is installed."""
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ModuleNotFoundError:
        yield
        return

    def cursor(execute: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(self: Any, query: Any, *others: Any, **named: Any) -> Any:
            _record_statement(_text(query, self), self.connection)
            return execute(self, query, *others, **named)

        return recorded

    before: Any = psycopg.Connection.__dict__["connect"]

    def connecting(cls: Any, conninfo: str = "", **named: Any) -> Any:
        given = {key: value for key, value in named.items() if key in ("host", "port", "dbname")}
        parts = conninfo_to_dict(conninfo, **given)
        host, port = parts.get("host") or "localhost", parts.get("port") or POSTGRES_PORT
        _record_connection(database_of(f"postgresql://{host}:{port}/{parts.get('dbname', '')}"))
        return before.__func__(cls, conninfo, **named)

    with ExitStack() as stack:
        for kind in (psycopg.Cursor, psycopg.AsyncCursor):
            for name in ("execute", "executemany", "copy", "stream"):
                stack.enter_context(_replaced(kind, name, cursor))
        setattr(psycopg.Connection, "connect", classmethod(connecting))  # noqa: B010 - it is a class method
        stack.callback(setattr, psycopg.Connection, "connect", before)
        # psycopg.connect was bound when the module was imported.
        stack.enter_context(_replaced(psycopg, "connect", lambda _: psycopg.Connection.connect))
        yield


@contextmanager
def _hook_sqlalchemy() -> Generator[None]:
    """SQLAlchemy's engines, with every driver."""
    if "sqlalchemy" not in sys.modules:
        yield
        return
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def before(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        _record_statement(statement, connection.connection.driver_connection)

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", before)


@contextmanager
def _hook_django() -> Generator[None]:
    """Django's connections, open ones and new ones."""
    if "django" not in sys.modules:
        yield
        return
    connections: Any = importlib.import_module("django.db").connections
    created: Any = importlib.import_module("django.db.backends.signals").connection_created

    def wrapped(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        _record_statement(sql, context["connection"].connection)
        return execute(sql, parameters, many, context)

    def add(connection: Any, **_: Any) -> None:
        if wrapped not in connection.execute_wrappers:
            connection.execute_wrappers.append(wrapped)

    def opened() -> list[Any]:
        """Empty if Django is imported but not configured."""
        configured = importlib.import_module("django.conf").settings.configured
        return connections.all(initialized_only=True) if configured else []

    created.connect(add)
    for one in opened():
        add(one)
    try:
        yield
    finally:
        created.disconnect(add)
        for one in opened():
            if wrapped in one.execute_wrappers:
                one.execute_wrappers.remove(wrapped)
