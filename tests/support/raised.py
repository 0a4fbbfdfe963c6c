"""What handlers may raise: everything that Python lets them, also what fails when it is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from preterite.errors import Fenced, LogError, StoreUnavailable, TransactionConflict


class Panic(BaseException):
    """As libraries in Rust raise it."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit("the text of this exception ends the process")


class NoText(Exception):
    def __str__(self) -> str:
        return cast(str, 7)


class Timeout(BaseException):
    """As gevent raises it."""

    def __str__(self) -> str:
        return "5 seconds"


class Unequal(Exception):
    """Nothing can be done with it but to raise it."""

    def _no(self, *_arguments: object) -> Any:
        raise ZeroDivisionError("it is not to be looked at")

    __repr__ = __eq__ = __hash__ = __reduce__ = __bool__ = __getattr__ = _no


class Pretending(Exception):
    """What `isinstance` asks for cannot be read."""

    @property
    def __class__(self) -> Any:
        raise ZeroDivisionError("its class is not to be looked at")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class _Nameless(type):
    @property
    def __name__(cls) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - that is what it is for
        raise ZeroDivisionError("its name is not to be looked at")


class WithoutName(Exception, metaclass=_Nameless):
    pass


class _Text(str):
    def _no(self, *_arguments: object) -> Any:
        raise ZeroDivisionError("its characters are not to be looked at")

    replace = encode = __getitem__ = cast(Any, _no)


class OwnText(Exception):
    def __str__(self) -> str:
        return _Text("a text of its own kind")


class NotATuple(Exception):
    """Its arguments, notes and origin are not what they are for others."""

    orig = sqlstate = sqlite_errorcode = property(lambda self: self)
    __notes__ = cast(Any, property(lambda self: 1 / 0))


def noted() -> Exception:
    """An exception whose notes are no texts."""
    error = ValueError("noted")
    error.__notes__ = cast(Any, 7)
    return error


def made_up(error: type[Exception], **attributes: object) -> Exception:
    """A database's exception that no database has raised."""
    made = error("made up")
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


def chain(length: int) -> Exception:
    """An exception with so many causes."""
    error: Exception = ValueError("the first")
    for number in range(length):
        following = ValueError(f"number {number}")
        following.__cause__ = error
        error = following
    return error


def ring() -> Exception:
    """An exception that is the cause of its cause."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


RAISED: dict[str, Callable[[], BaseException]] = {
    "GeneratorExit": GeneratorExit,
    "Panic": lambda: Panic("called unwrap on a None value"),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("many", [SystemExit(1), Panic()]),
    "ExceptionGroup": lambda: ExceptionGroup("many", [ValueError(1)]),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "MemoryError": MemoryError,
    "ValueError": lambda: ValueError("bad \x00 byte, file \udcff name"),
    "UnicodeEncodeError": lambda: UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
    "OSError": lambda: OSError("x" * 10_000_000),
    "Unprintable": Unprintable,
    "NoText": NoText,
    "N" * 200: type("N" * 100_000, (Exception,), {}),
    "RecursionError": RecursionError,
    "Timeout": Timeout,
    "Unequal": Unequal,
    "Pretending": Pretending,
    "(the exception's name cannot be read)": WithoutName,
    "NotATuple": NotATuple,
    "OwnText": OwnText,
    "StoreUnavailable": lambda: StoreUnavailable("another database of this program"),
    "HandlerFailed": lambda: TransactionConflict("another unit of work of this program"),
    "Fenced": lambda: Fenced("another lease of this program"),
    "LogError": lambda: LogError("another log of this program"),
}
"""What is raised, by the name that the dead letter gives it."""
