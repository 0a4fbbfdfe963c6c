"""A component's own tables, as it declares them: which are missing in its database, and creating them.

They are the user's; migrations are the usual way to make them. Preterite creates them for demos and tests only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from preterite.component import Component
from preterite.errors import PreteriteError, TablesMissing
from preterite.printing.raised import original_of
from preterite.printing.text import clause
from preterite.settings import owner_variable
from preterite.store.contract import Database, connected

_NAME = r"""(?:"[^"]+"|`[^`]+`|\[[^\]]+\]|\w+)"""
_CREATES = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"
    r"\bcreate\s+(?:unlogged\s+|virtual\s+)?table\s+(?:if\s+not\s+exists\s+)?"
    rf"(?:{_NAME}\s*\.\s*)?(?P<name>{_NAME})",
    re.IGNORECASE | re.DOTALL,
)
NAMES_SHOWN = 3
"""Missing tables that are named."""


def declared(tables: Any) -> list[str]:
    """The names of the tables that SQL text creates, or that SQLAlchemy metadata holds, without their schemas. Pure."""
    if isinstance(tables, str):
        return [match["name"].strip('"`[]') for match in _CREATES.finditer(tables) if match["name"]]
    return [] if tables is None else [table.name for table in tables.tables.values()]


def missing(component: Component, database: Database) -> list[str]:
    """The declared tables of which the database has none; those of every schema count."""
    names = declared(component.tables)
    if not names:
        return []
    with connected(database) as connection:
        present = {name.casefold() for name in database.store.table_names(connection)}
    return [name for name in names if name.casefold() not in present]


def are_missing(component: str, url: str, names: Sequence[str]) -> str:
    """What is the matter, in a sentence, and what to do about it."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (
        f"Tables of {component!r} are missing in {url}: {', '.join(names[:NAMES_SHOWN])}{more}. Create them by your "
        "migrations; for a demo or a test, by preterite run --create-tables or System.open(create_tables=True). "
        "Nothing was started."
    )


def create(component: Component, database: Database, context: Any, *, as_owner: bool) -> None:
    """Create the tables of a component that are missing; raises `TablesMissing` where the database refuses that."""
    try:
        if isinstance(component.tables, str):
            database.create_tables(component.tables)
            return
        engine = database.engine(context)
        try:
            component.tables.create_all(engine)
        finally:
            engine.dispose()
    except PreteriteError:
        raise
    except Exception as error:
        if database.store.is_unavailable(error):
            raise
        if declared(component.tables) and not missing(component, database):
            return  # Another process has made them at the same time.
        raise TablesMissing(_not_created(component.name, database.url, original_of(error), as_owner=as_owner)) from None


def _not_created(component: str, url: str, error: BaseException, *, as_owner: bool) -> str:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    owner = "" if as_owner else f", or set {owner_variable(component)} to the URL of the role that may create them"
    return (
        f"The tables of {component!r} cannot be created in {url}: {clause(reason)}. None was created. Create them by "
        f"your migrations{owner}."
    )
