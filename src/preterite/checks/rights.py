"""Rights on PostgreSQL, proved: log in as each component, and try whatever belongs to another."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

from preterite.checks.data import server
from preterite.checks.findings import Finding
from preterite.checks.partition import Partition, Territory
from preterite.errors import StoreUnavailable

CONNECT_SECONDS = 5


def check_rights(partition: Partition) -> Iterator[Finding]:
    """A finding for everything that is not refused; raises `StoreUnavailable` where a component cannot log in."""
    on_servers = [one for one in partition.territories if one.dialect == "postgres"]
    for one in on_servers:
        # First its own door: a role that cannot log in at all is refused nothing, it is only not there.
        yield from _superuser(one, partition.urls[one.name])
        for other in on_servers:
            if other is not one and server(partition.urls[one.name]) == server(partition.urls[other.name]):
                yield from _reached(one, partition.urls[one.name], other, partition.urls[other.name])


def _reached(one: Territory, url: str, other: Territory, other_url: str) -> Iterator[Finding]:
    """What a component's role reaches of another's database."""
    import psycopg
    from psycopg import sql

    theirs = urlunsplit(urlsplit(url)._replace(path=urlsplit(other_url).path))
    try:
        connection = psycopg.connect(theirs, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError:
        return
    with connection:
        if theirs != url:
            sentence = f"{one.name}'s role may connect to the database of {other.name}."
            yield Finding("rights-reach", one.name, other.name, "connect", sentence, one.place)
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
                sentence = f"{one.name}'s role may {operation} {table}, a table of {other.name}."
                yield Finding("rights-reach", one.name, f"{other.name}.{table.table}", operation, sentence, one.place)


def _superuser(one: Territory, url: str) -> Iterator[Finding]:
    import psycopg

    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        why = str(error).strip().splitlines()[-1]
        raise StoreUnavailable(
            f"{one.name} cannot log in to its own database just now: {why}. Tried no more."
        ) from error
    with connection:
        found = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if found is not None and found[0]:
        sentence = f"{one.name} logs in as a superuser, whom nothing is refused."
        yield Finding("rights-reach", one.name, "everything", "superuser", sentence, one.place)
