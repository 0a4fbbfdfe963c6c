"""Rights on PostgreSQL: log in as each component, and try to access the databases of the others."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

from preterite.checks.findings import Finding
from preterite.checks.partition import Ownership, Partition
from preterite.checks.sql.databases import server_of
from preterite.drivers.postgres_place import place_of, unreachable
from preterite.errors import StoreUnavailable

CONNECT_SECONDS = 5
"""How long a check of rights waits for a connection to another component's database."""


def check_rights(partition: Partition) -> Iterator[Finding]:
    """A finding for each access that the database allows; raises `StoreUnavailable` if a component cannot log in."""
    on_servers = [one for one in partition.ownerships if one.dialect == "postgres"]
    for one in on_servers:
        # Its own database first: that a role which cannot log in at all is refused elsewhere proves nothing.
        yield from _superuser(one, partition.urls[one.name])
        for other in on_servers:
            if other is not one and server_of(partition.urls[one.name]) == server_of(partition.urls[other.name]):
                yield from _excess(one, partition.urls[one.name], other, partition.urls[other.name])


def _excess(one: Ownership, url: str, other: Ownership, other_url: str) -> Iterator[Finding]:
    """What a component's role may do in the database of another component."""
    import psycopg
    from psycopg import sql

    target = urlunsplit(urlsplit(place_of(url).conninfo)._replace(path=urlsplit(other_url).path))
    try:
        connection = psycopg.connect(target, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError:
        return
    with connection:
        if target != place_of(url).conninfo:
            message = f"The role of {one.name} may connect to the database of {other.name}."
            yield Finding("excess-rights", one.name, other.name, "connect", message, one.place)
        for table in sorted(other.schema.tables, key=str):
            name = sql.Identifier(*([table.schema] if table.schema else []), table.table)
            for operation, statement in (
                ("read", sql.SQL("SELECT 1 FROM {} LIMIT 0")),
                ("write", sql.SQL("DELETE FROM {} WHERE false")),
            ):
                try:
                    connection.execute(statement.format(name))
                except psycopg.errors.InsufficientPrivilege:
                    continue
                except psycopg.errors.UndefinedTable:
                    break
                message = f"The role of {one.name} may {operation} {table}, a table of {other.name}."
                yield Finding("excess-rights", one.name, f"{other.name}.{table.table}", operation, message, one.place)


def _superuser(one: Ownership, url: str) -> Iterator[Finding]:
    import psycopg

    place = place_of(url)
    try:
        connection = psycopg.connect(place.conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        why = unreachable(place, error)
        raise StoreUnavailable(
            f"{one.name} cannot log in to its own database: {why} The check of rights was stopped."
        ) from None
    with connection:
        found = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if found is not None and found[0]:
        message = f"{one.name} logs in as a superuser: the database refuses it nothing."
        yield Finding("excess-rights", one.name, "everything", "superuser", message, one.place)
