"""Inserting rows that may be there already, in the words of whichever database it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session


def insert_into(session: Session, model: type[DeclarativeBase]) -> Any:
    """An INSERT that can be told what to do with rows that are there."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return insert(model)


def add_missing(session: Session, model: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> None:
    """Add these rows, but for those whose primary key is there: they stay as they are."""
    if rows:
        session.execute(insert_into(session, model).on_conflict_do_nothing(), list(rows))
