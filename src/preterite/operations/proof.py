"""The proof that the roles of provisioned components are closed to each other: every one tries, and is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from preterite.drivers.postgres_place import first_line, place_of
from preterite.log.contract import RECORD_BYTES_MAX
from preterite.operations.provisioning import LOG, Premises, Server

_STREAMS = "SELECT min(id), publisher FROM preterite_log.stream GROUP BY publisher ORDER BY publisher"
_READS = "SELECT publisher FROM preterite_log.access WHERE role = %s"
_REFUSALS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.CheckViolation,
    psycopg.errors.FeatureNotSupported,  # a query of another database
    psycopg.errors.UndefinedFile,  # an extension that is not installed
)
"""What counts as refused; a statement that fails in another way proves nothing."""
_OF_ROWS = (" WHERE ", "take_requests(")
"""What asks for another's rows; where the server shows none, it has refused."""
_FAR = 2**59
"""A number that stands in no stream, so that what refuses a record under it is no record that stands there."""
_TOO_LARGE = f"SELECT {{}}, {_FAR}, 'event', 1, '\\x00', 0, decode(repeat('00', {RECORD_BYTES_MAX + 1}), 'hex')"
_ADD_STREAM = "INSERT INTO preterite_log.stream (publisher, partition) VALUES"
_ASK = "SELECT preterite_log.request_resend"
_BIND = "INSERT INTO preterite_log.database (component, database_id) VALUES"
_LOG_WAYS = (
    ("a right of its own on the log", "INSERT INTO preterite_log.access VALUES (session_user, 'x', true)"),
    ("the rights of others read", "SELECT 1 FROM preterite_log.access WHERE role <> session_user"),
    ("another version of the log", "INSERT INTO preterite_log.migration VALUES (2)"),
    ("another identity of the log", "UPDATE preterite_log.identity SET partitions = partitions"),
    ("the database of any component", "UPDATE preterite_log.database SET database_id = database_id"),
    ("the databases of all components forgotten", "DELETE FROM preterite_log.database"),
    ("the clock of the log", "INSERT INTO preterite_log.clock VALUES (1, 0, 0)"),
    ("the log's tables changed", "ALTER TABLE preterite_log.record DISABLE ROW LEVEL SECURITY"),
    ("the log's functions changed", "ALTER FUNCTION preterite_log.appendable() SECURITY INVOKER"),
    ("the log emptied", "TRUNCATE preterite_log.record"),
    ("the log deleted", "DELETE FROM preterite_log.record"),
    ("what others asked for changed", "UPDATE preterite_log.asked SET number = number"),
    ("what others asked for deleted", "DELETE FROM preterite_log.asked"),
    ("what was published changed", "UPDATE preterite_log.record SET body = body"),
)


class Refusal(NamedTuple):
    """What a component's role tried to do to another's data, and how the server refused."""

    role: str
    tried: str
    refused: bool
    answer: str


def prove(server: Server, places: Sequence[Premises], passwords: Mapping[str, str]) -> list[Refusal]:
    """Log in as every role of every component, and try to reach what belongs to the others, also on the log."""
    components = [place for place in places if place.component != LOG]
    log = next((place for place in places if place.component == LOG), None)
    found: list[Refusal] = []
    for place in components:
        for role in (place.runner, place.owner):
            for other in components:
                if other is not place:
                    url = server.url(role, passwords[role], other.database)
                    found.append(_tried(role, f"connect to {other.database}", url, "SELECT 1"))
            for database in ("postgres", "template1"):
                url = server.url(role, passwords[role], database)
                found.append(_tried(role, f"connect to {database}", url, "SELECT 1"))
            url = server.url(role, passwords[role], place.database)
            other = next((one for one in components if one is not place), None)
            found += [_tried(role, tried, url, text) for tried, text in _trespasses(role, place, other)]
            if log is not None:
                url = server.url(role, passwords[role], log.database)
                attempts = _log_trespasses(server, log, place)
                found += [_tried(role, tried, url, text) for tried, text in attempts]
    for role in () if log is None else (log.runner, log.owner):
        for database in (*(place.database for place in components), "postgres", "template1"):
            url = server.url(role, passwords[role], database)
            found.append(_tried(role, f"connect to {database}", url, "SELECT 1"))
    return found


def _log_trespasses(server: Server, log: Premises, place: Premises) -> list[tuple[str, str]]:
    """Ways to speak for another component on the log, or to stop it, each in words and in SQL."""
    connection = server.connect(log.database)
    try:
        streams = connection.execute(_STREAMS).fetchall()
        reads = {row[0] for row in connection.execute(_READS, (place.runner,))}
    finally:
        connection.close()
    ways = [*_LOG_WAYS]
    for table in ("stream", "record", "asked", "access", "identity", "clock", "database"):
        ways.append((f"the log's {table}s locked", f"LOCK TABLE preterite_log.{table} IN SHARE ROW EXCLUSIVE MODE"))
    for number, publisher in streams:
        its, row = f"WHERE id = {number}", f"({number}, {_FAR}, 'event', 1, '\\x00', 0, '\\x7b7d')"
        ways.append((f"{publisher} fenced for ever", f"UPDATE preterite_log.stream SET epoch = {2**63 - 1} {its}"))
        if publisher == place.component:
            ways.append(("a record of over 1 MiB", f"INSERT INTO preterite_log.record {_TOO_LARGE.format(number)}"))
            continue
        ways += [
            (f"an event of {publisher} forged", f"INSERT INTO preterite_log.record VALUES {row} RETURNING 1"),
            (f"{publisher} fenced", f"UPDATE preterite_log.stream SET epoch = epoch + 1 {its} RETURNING 1"),
            (f"{publisher} locked", f"SELECT 1 FROM preterite_log.stream {its} FOR SHARE"),
            (f"a stream of {publisher} made", f"{_ADD_STREAM} ('{publisher}', 1000000)"),
            (f"a database of its own for {publisher}", f"{_BIND} ('{publisher}', decode(repeat('00', 16), 'hex'))"),
            (
                f"the database of {publisher} read",
                f"SELECT 1 FROM preterite_log.database WHERE component = '{publisher}'",
            ),
            (f"what {publisher} is asked for taken", f"SELECT 1 FROM preterite_log.take_requests('{publisher}')"),
            (f"{publisher} asked beyond its partitions", f"{_ASK} ('{publisher}', 1000000, 1)"),
        ]
        if publisher not in reads:
            ways.append((f"events of {publisher} read", f"SELECT 1 FROM preterite_log.stream {its}"))
            ways.append((f"{publisher} asked to send again", f"{_ASK} ('{publisher}', 0, 1)"))
    return ways


def _trespasses(role: str, place: Premises, other: Premises | None) -> list[tuple[str, str]]:
    """Ways from one's own database into another's, each in words and in SQL."""
    ways = [
        ("a foreign server", "CREATE EXTENSION postgres_fdw"),
        ("a link to another database", "CREATE EXTENSION dblink"),
        ("a program on the server", "COPY (SELECT 1) TO PROGRAM 'true'"),
        ("a file on the server", "COPY (SELECT 1) TO '/tmp/preterite'"),
        ("a role of its own", "CREATE ROLE preterite_trespasser"),
        ("a database of its own", "CREATE DATABASE preterite_trespass"),
    ]
    if other is not None:
        table = f"{other.database}.preterite.outbox"
        ways += [
            (f"a query of {other.database}", f"SELECT * FROM {table}"),
            (f"a view of {other.database}", f"CREATE TEMPORARY VIEW trespass AS SELECT * FROM {table}"),
            (
                f"a foreign key to {other.database}",
                f"CREATE TABLE trespass (id bigint REFERENCES {table} (id))",
            ),
            (f"the rights of {other.runner}", f"SET ROLE {other.runner}"),
            (f"the rights of {other.owner}", f"SET ROLE {other.owner}"),
            (f"a grant from {other.owner}", f"GRANT {other.owner} TO {role}"),
        ]
    if role == place.runner:
        ways.append(("tables of its own", "CREATE TABLE public.trespass (id bigint)"))
        ways += [
            ("another's tables changed", "ALTER TABLE preterite.journal ADD COLUMN trespass text"),
            ("what operators did changed", "UPDATE preterite.audit SET operator = operator"),
            ("what operators did deleted", "DELETE FROM preterite.audit"),
            ("what operators did emptied", "TRUNCATE preterite.audit"),
            ("its own migrations changed", "DELETE FROM preterite.migration"),
        ]
    return ways


def _tried(role: str, tried: str, url: str, text: str) -> Refusal:
    """Whether the server refuses it; whatever was done is undone."""
    try:
        connection: Any = psycopg.connect(place_of(url).conninfo)
    except psycopg.OperationalError as error:
        answer = first_line(error).rpartition("FATAL:")[2].strip()
        return Refusal(role, tried, "permission denied" in answer, answer)
    try:
        if "DATABASE" in text.split()[1:2]:
            connection.autocommit = True
        if connection.execute(text).rowcount == 0 and any(word in text for word in _OF_ROWS):
            return Refusal(role, tried, True, "no row of it is there for this role")
    except psycopg.Error as error:
        return Refusal(role, tried, isinstance(error, _REFUSALS), first_line(error))
    finally:
        if not connection.autocommit:
            connection.rollback()
        connection.close()
    return Refusal(role, tried, False, "it was allowed")
