"""Where recording begins and ends: the hooks on Preterite, on connections, and on the drivers of databases.

Whatever fails in a recorder is counted there, and never raised out of the call that is recorded.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from preterite.checks.recording import drivers
from preterite.checks.recording.attribution import running
from preterite.checks.recording.recorder import Recorder
from preterite.checks.sql.tables import Dialect
from preterite.contracts import Event
from preterite.handling.batch import BatchProcessor
from preterite.handling.invoker import HandlerInvoker
from preterite.open_system import OpenSystem
from preterite.publishing.unit_of_work import UnitOfWork
from preterite.receiving.parking import Parking
from preterite.system import System

_thread = threading.local()
_recorders: list[Recorder] = []
_hooks: list[object] = []


@contextmanager
def recording(
    system: System, urls: Mapping[str, str] | None = None, allowed: Sequence[str] = ()
) -> Generator[Recorder]:
    """Record what runs in this process; `allowed` names each `host:port` that handlers may connect to."""
    recorder = Recorder(system, urls or {}, allowed)
    with ExitStack() as stack:
        _hook_audit()
        stack.enter_context(_hook_handlers())
        stack.enter_context(_hook_batches())
        stack.enter_context(_hook_publishing())
        stack.enter_context(_hook_opening())
        for hooked in (drivers.hook_sqlite, drivers.hook_psycopg, drivers.hook_sqlalchemy, drivers.hook_django):
            stack.enter_context(hooked(_record_statement, _record_connection))
        _recorders.append(recorder)
        stack.callback(_recorders.remove, recorder)
        yield recorder


def _guarded(record: Callable[[Recorder], None]) -> None:
    """Let each recorder record something; what fails is counted and not raised. Nothing is recorded meanwhile."""
    if getattr(_thread, "is_recording", False):
        return
    _thread.is_recording = True
    for recorder in list(_recorders):
        try:
            record(recorder)
        except Exception as error:
            # Operations that call no Python code: the stack may be used up.
            fault = type(error).__name__
            recorder.faults[fault] = recorder.faults.get(fault, 0) + 1
    _thread.is_recording = False


def _record_statement(text: Callable[[], Any], connection: object, dialect: Dialect) -> None:
    def record(recorder: Recorder) -> None:
        statement = text()
        found = statement.decode(errors="replace") if isinstance(statement, bytes) else str(statement)
        recorder.ran(found, connection, dialect)

    _guarded(record)


def _record_connection(target: Callable[[], str]) -> None:
    _guarded(lambda recorder: recorder.connected(target()))


def _hook_audit() -> None:
    """Python's audit events report connections. The hook cannot be removed; without recorders it does nothing."""
    if not _hooks:
        _hooks.append(_audit)
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recorders:
        return
    if event == "sqlite3.connect":
        _record_connection(lambda: _file(str(arguments[0])))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host, port = cast(tuple[str, int], arguments[1][:2])
        _record_connection(lambda: f"{host}:{port}")


def _file(target: str) -> str:
    return target if target.startswith(":") else str(Path(target.removeprefix("file:")).absolute())


@contextmanager
def _hook_handlers() -> Generator[None]:
    """Note which handler each thread runs."""

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(handling: Any, batch: Any, bound: Any, *others: Any, **named: Any) -> Any:
            with running(handling._component.name, bound.name):
                return call(handling, batch, bound, *others, **named)

        return noting

    with drivers.replaced(HandlerInvoker, "call", around):
        yield


@contextmanager
def _hook_batches() -> Generator[None]:
    """Note for which component each thread applies events: some rows are written after their handler has returned."""

    def around(apply: Callable[..., Any]) -> Callable[..., Any]:
        def noting(applying: Any, *arguments: Any, **named: Any) -> Any:
            with running(applying._subscriptions.component.name):
                return apply(applying, *arguments, **named)

        return noting

    with drivers.replaced(BatchProcessor, "handle", around), drivers.replaced(Parking, "run_due", around):
        yield


@contextmanager
def _hook_publishing() -> Generator[None]:
    def around(publish: Callable[..., Any]) -> Callable[..., Any]:
        def noting(unit: Any, event: Event, **named: Any) -> Any:
            found = publish(unit, event, **named)
            _guarded(lambda recorder: recorder.published(unit._identity.component, event))
            return found

        return noting

    with drivers.replaced(UnitOfWork, "publish", around):
        yield


@contextmanager
def _hook_opening() -> Generator[None]:
    def around(begin: Callable[..., None]) -> Callable[..., None]:
        def noting(system: Any, *arguments: Any, **named: Any) -> None:
            begin(system, *arguments, **named)
            for name, database in system.databases.items():
                _guarded(lambda recorder, name=name, url=database.url: recorder.opened(name, url))

        return noting

    with drivers.replaced(OpenSystem, "__init__", around):
        yield
