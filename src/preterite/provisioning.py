"""A database and two roles for each component on one PostgreSQL server, and the proof that they keep to themselves.

The *owner* makes tables and runs migrations; the *runner* reads and writes rows, and owns nothing but the outbox, which
the relay vacuums. Nobody else may even connect. What to do is decided from what is there (`statements`), pure;
`provision` does it, `prove` logs in as every component and tries to reach the others.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from preterite import postgres_server, stores
from preterite.errors import ConfigurationError
from preterite.settings import owner_variable, url_variable

PASSWORD_BYTES = 24
NAME_CHARACTERS_MAX = 63
MAINTAIN_VERSION = 17
"""From this version of PostgreSQL on the right to vacuum can be given away without the table."""
LOG = "log"


@dataclass(frozen=True)
class Premises:
    """What one component, or the log, gets: a database and the names of its two roles."""

    component: str
    database: str

    @property
    def owner(self) -> str:
        """The role that makes tables."""
        return f"{self.database}_owner"

    @property
    def runner(self) -> str:
        """The role that reads and writes rows."""
        return self.database


class Present(NamedTuple):
    """What the server has already."""

    databases: frozenset[str]
    roles: frozenset[str]
    version: int


class Statement(NamedTuple):
    """SQL for one database of the server; nothing stands for the one that the administrator connects to.

    `shown` is what people see: without passwords.
    """

    database: str | None
    text: str
    shown: str


class Refusal(NamedTuple):
    """What a component's role tried to do to another's data, and how the server refused."""

    role: str
    tried: str
    refused: bool
    answer: str


def premises_of(system: str, components: Sequence[str]) -> list[Premises]:
    """What each component and the log get, by name."""
    places = [Premises(name, f"{system}_{name}".replace("-", "_")) for name in (*components, LOG)]
    for place in places:
        if len(place.owner) > NAME_CHARACTERS_MAX:
            raise ConfigurationError(f"The role {place.owner!r} has a name of over {NAME_CHARACTERS_MAX} characters.")
    return places


def statements(
    place: Premises, present: Present, passwords: Mapping[str, str], hidden: Callable[[str, str], str]
) -> list[Statement]:
    """What makes these premises, or keeps them so. `hidden` makes of role and password what is stored."""
    found: list[Statement] = []

    def say(database: str | None, text: str, shown: str | None = None) -> None:
        found.append(Statement(database, text, shown or text))

    for role in (place.owner, place.runner):
        limits = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION LOGIN"
        verb = "ALTER" if role in present.roles else "CREATE"
        if role in passwords:
            secret = hidden(role, passwords[role])
            say(None, f"{verb} ROLE {role} {limits} PASSWORD '{secret}'", f"{verb} ROLE {role} {limits} PASSWORD '…'")
    say(None, f"GRANT {place.runner} TO {place.owner}")
    if place.database not in present.databases:
        say(None, f"CREATE DATABASE {place.database} OWNER {place.owner} TEMPLATE template0 ENCODING 'UTF8'")
    say(None, f"REVOKE ALL ON DATABASE {place.database} FROM PUBLIC")
    say(None, f"GRANT CONNECT ON DATABASE {place.database} TO {place.runner}")
    say(None, f"ALTER DATABASE {place.database} SET synchronous_commit TO on")
    say(place.database, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    say(place.database, f"ALTER SCHEMA public OWNER TO {place.owner}")
    say(place.database, f"GRANT USAGE ON SCHEMA public TO {place.runner}")
    say(place.database, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {place.runner}")
    say(place.database, f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {place.runner}")
    default = f"ALTER DEFAULT PRIVILEGES FOR ROLE {place.owner} IN SCHEMA public GRANT"
    say(place.database, f"{default} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {place.runner}")
    say(place.database, f"{default} USAGE, SELECT ON SEQUENCES TO {place.runner}")
    return found


def grants(place: Premises, version: int) -> list[Statement]:
    """What lets the runner use Preterite's own tables, once the owner has made them."""
    schema = "preterite_log" if place.component == LOG else "preterite"
    texts = [
        f"GRANT USAGE ON SCHEMA {schema} TO {place.runner}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {place.runner}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {place.owner} IN SCHEMA {schema} "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {place.runner}",
    ]
    if place.component != LOG:
        texts.append(f"REVOKE INSERT, UPDATE, DELETE ON preterite.migration FROM {place.runner}")
        if version < MAINTAIN_VERSION:
            texts.append(f"ALTER TABLE preterite.outbox OWNER TO {place.runner}")
        else:
            texts.append(f"GRANT MAINTAIN ON preterite.outbox TO {place.runner}")
            texts.append(f"GRANT SELECT ON preterite.outbox_id_seq TO {place.runner}")
    return [Statement(place.database, text, text) for text in texts]


class Server:
    """A PostgreSQL server as its administrator sees it."""

    def __init__(self, admin_url: str) -> None:
        self._place = postgres_server.place_of(admin_url)
        self._parts = conninfo_to_dict(self._place.conninfo)
        self._admin = postgres_server.connect(self._place)

    def present(self) -> Present:
        """What there is."""
        databases = self._admin.execute("SELECT datname FROM pg_database").fetchall()
        roles = self._admin.execute("SELECT rolname FROM pg_roles").fetchall()
        return Present(
            frozenset(row[0] for row in databases),
            frozenset(row[0] for row in roles),
            self._admin.info.server_version // 10000,
        )

    def hidden(self, role: str, password: str) -> str:
        """What the server stores instead of a password; so no log of statements ever has one."""
        return self._admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()

    def run(self, steps: Sequence[Statement]) -> None:
        """Run these statements, each in its database."""
        for database in dict.fromkeys(step.database for step in steps):
            connection = self._admin if database is None else self._connect(database)
            try:
                for step in steps:
                    if step.database == database:
                        postgres_server.run(connection, step.text)
            finally:
                if connection is not self._admin:
                    connection.close()

    def url(self, role: str, password: str, database: str) -> str:
        """How this role reaches this database."""
        host, port = self._parts.get("host", "localhost"), self._parts.get("port", 5432)
        return f"postgresql://{quote(role)}:{quote(password, safe='')}@{host}:{port}/{database}"

    def close(self) -> None:
        """Leave the server."""
        self._admin.close()

    def _connect(self, database: str) -> postgres_server.GuardedConnection:
        conninfo = make_conninfo(self._place.conninfo, dbname=database)
        return postgres_server.connect(postgres_server.Place(conninfo, database))


def new_password() -> str:
    """A password that nobody has to type."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def write_urls(file: Path, server: Server, places: Sequence[Premises], passwords: Mapping[str, str]) -> None:
    """Write the URLs as variables of the environment, where nobody but the file's owner ever could read them.

    Whole or not at all: what was there before stays until the new one is complete.
    """
    lines: list[str] = []
    for one in places:
        lines.append(f"{url_variable(one.component)}={server.url(one.runner, passwords[one.runner], one.database)}\n")
        lines.append(f"{owner_variable(one.component)}={server.url(one.owner, passwords[one.owner], one.database)}\n")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = file.with_name(f"{file.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.writelines(lines)
    beside.replace(file)


def provision(
    server: Server, places: Sequence[Premises], passwords: Mapping[str, str], made: Callable[[str], None]
) -> None:
    """Make the premises, Preterite's tables in them, and the grants. `passwords` by role; `made` is told of each.

    May be run again: what is there is kept, and brought to what it should be.
    """
    for place in places:
        server.run(statements(place, server.present(), passwords, server.hidden))
        make_tables(place, server.url(place.owner, passwords[place.owner], place.database))
        server.run(grants(place, server.present().version))
        made(place.component)


def make_tables(place: Premises, owner_url: str) -> None:
    """Preterite's tables in a component's database or the log's, as their owner."""
    if place.component == LOG:
        from preterite.logs.postgres import make_log

        make_log(owner_url)
        return
    database = stores.connect(owner_url)
    connection = database.connect()
    try:
        database.store.migrate(connection)
    finally:
        connection.close()


def prove(server: Server, places: Sequence[Premises], passwords: Mapping[str, str]) -> list[Refusal]:
    """Log in as every role of every component, and try to reach what belongs to the others."""
    components = [place for place in places if place.component != LOG]
    found: list[Refusal] = []
    for place in components:
        for role in (place.runner, place.owner):
            for other in components:
                if other is not place:
                    url = server.url(role, passwords[role], other.database)
                    found.append(_tried(role, f"connect to {other.database}", url, "SELECT 1"))
            url = server.url(role, passwords[role], place.database)
            other = next((one for one in components if one is not place), None)
            found += [_tried(role, tried, url, text) for tried, text in _trespasses(role, place, other)]
    return found


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
        ways.append(("another's tables changed", "ALTER TABLE preterite.journal ADD COLUMN trespass text"))
    return ways


def _tried(role: str, tried: str, url: str, text: str) -> Refusal:
    """Whether the server refuses it; whatever was done is undone."""
    try:
        connection: Any = psycopg.connect(postgres_server.place_of(url).conninfo)
    except psycopg.OperationalError as error:
        answer = postgres_server.first_line(error).rpartition("FATAL:")[2].strip()
        return Refusal(role, tried, "permission denied" in answer, answer)
    try:
        if "DATABASE" in text.split()[1:2]:
            connection.autocommit = True
        connection.execute(text)
    except psycopg.Error as error:
        return Refusal(role, tried, True, postgres_server.first_line(error))
    finally:
        if not connection.autocommit:
            connection.rollback()
        connection.close()
    return Refusal(role, tried, False, "it was allowed")
