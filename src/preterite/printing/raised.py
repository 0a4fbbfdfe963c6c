"""What was raised, seen by its class alone: an exception of the application may raise when it is looked at."""

from __future__ import annotations

import sys
from typing import Any


def is_a(error: BaseException, kinds: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    """Whether an exception is one of these. Its own code is never run, as `isinstance` does for its `__class__`."""
    return issubclass(type(error), kinds)


def original_of(error: Any) -> Any:
    """The driver's exception, where SQLAlchemy has wrapped it; else the exception itself."""
    # SQLAlchemy is an extra: where it is not loaded it has wrapped nothing.
    wrapping: Any = getattr(sys.modules.get("sqlalchemy.exc"), "DBAPIError", None)
    original: Any = error.orig if wrapping is not None and is_a(error, wrapping) else None
    return error if original is None else original
