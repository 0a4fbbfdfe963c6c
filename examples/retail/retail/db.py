"""What queries run on, and inserts that skip rows that exist, for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

Queryable: TypeAlias = Session | Connection
"""A session, or a plain SQLAlchemy connection, which is faster and which pages use."""


def insert_into(session: Session, model: type[DeclarativeBase]) -> Any:
    """An INSERT into the model's table, of the session's database, which accepts ON CONFLICT."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return insert(cast(Table, model.__table__))


def add_missing(session: Session, model: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert these rows, except those whose primary key exists: they stay unchanged."""
    if rows:
        session.execute(insert_into(session, model).on_conflict_do_nothing(), list(rows))
