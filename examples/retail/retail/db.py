"""What queries run on, and inserts that skip rows that exist, for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

Queryable: TypeAlias = Session | Connection
"""A session, or a plain SQLAlchemy connection, which is faster and which pages use."""


def table_of(model: type[DeclarativeBase]) -> Table:
    """The table of a model. Statements on it go past the mapper, which takes less time where no object is wanted."""
    return cast(Table, model.__table__)


def insert_into(session: Session, model: type[DeclarativeBase]) -> Any:
    """An INSERT into the model's table, of the session's database, which accepts ON CONFLICT."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return insert(table_of(model))


def add_missing(session: Session, model: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert these rows, except those whose primary key exists: they stay unchanged."""
    if rows:
        session.execute(insert_into(session, model).on_conflict_do_nothing(), list(rows))
