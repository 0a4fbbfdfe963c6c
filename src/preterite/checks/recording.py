"""What really ran: every statement with the component whose code ran it, what handlers connect to, what events held.

Statements come from SQLite's own trace, from psycopg's cursors, from SQLAlchemy's engines and from Django's
connections, so that whatever a test uses is seen; one that is seen twice counts once. Whose it is says the innermost
frame in a component's own code, and where there is none, the handler that runs.
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

from preterite.checks.data import POSTGRES_PORT, crossings, server, where
from preterite.checks.events import observed
from preterite.checks.findings import Finding, Place, in_order
from preterite.checks.partition import Partition, Territory
from preterite.checks.sql import Shapes, Unread
from preterite.contracts import Event
from preterite.handling import Handling
from preterite.opened import OpenSystem
from preterite.system import System
from preterite.unit_of_work import UnitOfWork

VALUES_MAX = 200
"""How many values of a field are looked at."""
FRAMES_MAX = 120
"""How far up a stack whoever runs a statement is looked for."""
_running = threading.local()
_recorders: list[Recorder] = []
_hooks: list[object] = []


class Recorder:
    """Collects findings while it records; `findings` may be asked at any time."""

    def __init__(self, system: System, urls: Mapping[str, str], allowed: Sequence[str] = ()) -> None:
        self._partition = Partition(system, urls)
        self._allowed = set(allowed)
        self._places: dict[str, set[str]] = {}
        for name, url in urls.items():
            self.opened(name, url)
        self._shapes = {one.dialect: Shapes(one.dialect) for one in self._partition.territories}
        self._found: dict[tuple[str, Place], Finding] = {}
        self._values: dict[tuple[str, str, str], dict[object, None]] = {}
        self._paths: WeakKeyDictionary[object, tuple[str, ...]] = WeakKeyDictionary()
        """The search path that was set on a connection, for as long as there is one."""
        self._lock = threading.Lock()
        self.statements = 0
        """How many were seen of components."""

    def findings(self) -> list[Finding]:
        """Everything that crossed so far."""
        with self._lock:
            seen = [*self._found.values()]
            values = {place: list(kept) for place, kept in self._values.items()}
        for (component, event, field), kept in values.items():
            seen += observed(component, event, field, kept)
        return in_order(seen)

    def ran(self, statement: str, connection: object = None) -> None:
        """A statement is about to run, in this thread."""
        territory, place = self._whose()
        if territory is None:
            return
        self.statements += 1
        try:
            touched = self._shapes[territory.dialect].touched(statement)
        except Unread as error:
            what = " ".join(statement.split())[:40]
            sentence = f"{territory.name} ran {what!r}: {error}."
            self._add(Finding("sql-not-understood", territory.name, what, "run", sentence, place))
            return
        path = () if connection is None else self._paths.get(connection, ())
        if touched.search_path is not None and connection is not None:
            self._paths[connection] = touched.search_path
        for one in crossings(self._partition, territory, touched, "touched-foreign-table", place, path):
            if one.rule != "table-without-owner":
                self._add(one)

    def connected(self, target: str) -> None:
        """Something connects, in this thread; while a handler runs that is a wait for somebody else.

        A file that is no component's is nobody's business; a server is, unless it is the component's own.
        """
        component, handler = getattr(_running, "handler", (None, None))
        owners = self._places.get(target, set[str]())
        if component is None or target in self._allowed or component in owners:
            return
        if not owners and ":" not in target.removeprefix(":memory:"):
            return
        _, place = self._whose()
        whom = f"the database of {' and '.join(sorted(owners))}" if owners else target
        sentence = f"{component} connects to {whom} while {handler} handles an event."
        what = "+".join(sorted(owners)) or target
        self._add(Finding("waits-while-handling", component, what, handler or "", sentence, place))

    def opened(self, component: str, url: str) -> None:
        """A component's database was opened: from now on it is known whose it is."""
        for target in places(url):
            self._places.setdefault(target, set()).add(component)

    def published(self, component: str, event: Event) -> None:
        """An event was published: its values tell whether identifiers mean something."""
        for field in event.__struct_fields__:
            value = getattr(event, field)
            kept = self._values.setdefault((component, type(event).__name__, field), {})
            if isinstance(value, (str, int)) and not isinstance(value, bool) and len(kept) < VALUES_MAX:
                kept[value] = None

    def _whose(self) -> tuple[Territory | None, Place]:
        """The component whose code is nearest on this stack, and the line."""
        frame: Any = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - a stack has no other door
        for _ in range(FRAMES_MAX):
            if frame is None:
                break
            territory = self._partition.of_module(frame.f_globals.get("__name__", ""))
            if territory is not None:
                return territory, Place(Path(frame.f_code.co_filename), frame.f_lineno)
            frame = frame.f_back
        component, _ = getattr(_running, "handler", (None, None))
        names = {one.name for one in self._partition.territories}
        return (self._partition.territory(component) if component in names else None), Place()

    def _add(self, finding: Finding) -> None:
        with self._lock:
            self._found.setdefault((finding.key, finding.place), finding)


@contextmanager
def recording(
    system: System, urls: Mapping[str, str] | None = None, allowed: Sequence[str] = ()
) -> Generator[Recorder]:
    """Record all that runs in this process; `allowed` names `host:port` that handlers may call all the same."""
    recorder = Recorder(system, urls or {}, allowed)
    with ExitStack() as stack:
        _hook_machine()
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


def places(url: str) -> list[str]:
    """As what a connection to a database is seen: its file, or its server and the database on it."""
    parts = urlsplit(url)
    if parts.scheme.startswith("sqlite"):
        return [str(Path(parts.path.removeprefix("/")).absolute()), parts.path]
    return [where(url), server(url).removeprefix("postgresql://")]


def _tell(statement: object, connection: object = None) -> None:
    if getattr(_running, "telling", False):
        return
    _running.telling = True
    try:
        text = statement.decode() if isinstance(statement, bytes) else str(statement)
        for recorder in list(_recorders):
            recorder.ran(text, connection)
    finally:
        _running.telling = False


def _hook_machine() -> None:
    """Python's own audit tells of connections. Its hook stays, and is silent without recorders."""
    if not _hooks:
        _hooks.append(_audit)
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recorders or getattr(_running, "telling", False):
        return
    if event == "sqlite3.connect":
        target = str(arguments[0])
        _tell_connected(target if target.startswith(":") else str(Path(target.removeprefix("file:")).absolute()))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host, port = cast(tuple[str, int], arguments[1][:2])
        _tell_connected(f"{host}:{port}")


def _tell_connected(target: str) -> None:
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
    """Connections that are opened from now on tell what they run."""

    def around(connect: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*arguments: Any, **named: Any) -> Any:
            connection = connect(*arguments, **named)
            connection.set_trace_callback(_tell)
            return connection

        return traced

    with _replaced(sqlite3, "connect", around), _replaced(importlib.import_module("sqlite3.dbapi2"), "connect", around):
        yield


@contextmanager
def _hook_handlers() -> Generator[None]:
    """Note which handler runs in which thread."""

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(handling: Any, batch: Any, bound: Any, *others: Any, **named: Any) -> Any:
            before = getattr(_running, "handler", (None, None))
            _running.handler = (handling._component.name, bound.name)
            try:
                return call(handling, batch, bound, *others, **named)
            finally:
                _running.handler = before

        return noting

    with _replaced(Handling, "call", around):
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


@contextmanager
def _hook_psycopg() -> Generator[None]:
    """Cursors and connections of psycopg, where it is installed."""
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ModuleNotFoundError:
        yield
        return

    def cursor(execute: Callable[..., Any]) -> Callable[..., Any]:
        def telling(self: Any, query: Any, *others: Any, **named: Any) -> Any:
            text = query if isinstance(query, (str, bytes)) else query.as_string(self)
            _tell(text, self.connection)
            return execute(self, query, *others, **named)

        return telling

    before: Any = psycopg.Connection.__dict__["connect"]

    def connecting(cls: Any, conninfo: str = "", **named: Any) -> Any:
        given = {key: value for key, value in named.items() if key in ("host", "port", "dbname")}
        parts = conninfo_to_dict(conninfo, **given)
        host, port = parts.get("host") or "localhost", parts.get("port") or POSTGRES_PORT
        _tell_connected(where(f"postgresql://{host}:{port}/{parts.get('dbname', '')}"))
        return before.__func__(cls, conninfo, **named)

    with ExitStack() as stack:
        for kind in (psycopg.Cursor, psycopg.AsyncCursor):
            for name in ("execute", "executemany", "copy", "stream"):
                stack.enter_context(_replaced(kind, name, cursor))
        setattr(psycopg.Connection, "connect", classmethod(connecting))  # noqa: B010 - it is a class method
        stack.callback(setattr, psycopg.Connection, "connect", before)
        # What the module calls so was bound when it was imported.
        stack.enter_context(_replaced(psycopg, "connect", lambda _: psycopg.Connection.connect))
        yield


@contextmanager
def _hook_sqlalchemy() -> Generator[None]:
    """Engines of whatever driver."""
    if "sqlalchemy" not in sys.modules:
        yield
        return
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def before(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        _tell(statement, connection.connection.driver_connection)

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", before)


@contextmanager
def _hook_django() -> Generator[None]:
    """Django's connections, those that are open and those to come."""
    if "django" not in sys.modules:
        yield
        return
    connections: Any = importlib.import_module("django.db").connections
    created: Any = importlib.import_module("django.db.backends.signals").connection_created

    def wrapped(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        _tell(sql, context["connection"].connection)
        return execute(sql, parameters, many, context)

    def add(connection: Any, **_: Any) -> None:
        if wrapped not in connection.execute_wrappers:
            connection.execute_wrappers.append(wrapped)

    def opened() -> list[Any]:
        """None where Django was imported, and not set up."""
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
