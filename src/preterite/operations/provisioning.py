"""A database and two roles for each component on one PostgreSQL server; `proof.py` tests that they are closed.

The *owner* makes tables and runs migrations; the *runner* reads and writes rows, and owns nothing but the outbox, which
the relay vacuums. No other role can connect. `statements` decides what to do from what is there, without any access;
`provision` does it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from preterite import store as stores
from preterite.component import Component
from preterite.contracts import Message
from preterite.drivers import postgres as postgres_server
from preterite.drivers import postgres_guard
from preterite.drivers.postgres_place import Place, place_of
from preterite.drivers.private_folder import make_private_folder
from preterite.errors import ConfigurationError
from preterite.log.contract import LogIdentity
from preterite.log.postgres import rights as log_rights
from preterite.log.postgres.log import make_log
from preterite.settings import log_variable, owner_variable, url_variable
from preterite.store.contract import connected

__all__ = [
    "LogDeclaration",
    "Premises",
    "Present",
    "Server",
    "Statement",
    "access",
    "closed_to_others",
    "declared_log",
    "grants",
    "log_grants",
    "make_tables",
    "new_password",
    "owners_file",
    "premises_of",
    "provision",
    "statements",
    "write_urls",
]

PASSWORD_BYTES = 24
"""Random bytes of a generated password."""
NAME_CHARACTERS_MAX = 63
"""Length of a role's name in PostgreSQL."""
MAINTAIN_VERSION = 17
"""From this version of PostgreSQL on the right to vacuum can be given away without the table."""
KEPT_PARAMETERS = (
    *("sslmode", "sslrootcert", "sslcrl", "sslcrldir", "sslsni", "sslnegotiation", "ssl_min_protocol_version"),
    *("ssl_max_protocol_version", "channel_binding", "require_auth", "gssencmode", "target_session_attrs"),
)
"""Parameters of the administrator's URL that are kept in the components': how a connection is secured, and to whom."""
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


class LogDeclaration(NamedTuple):
    """What the declaration of a system says about its log."""

    identity: LogIdentity
    subscriptions: Mapping[str, Collection[str]]
    """By component: the publishers whose events it handles."""


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
    texts = [
        f"GRANT USAGE ON SCHEMA preterite TO {place.runner}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA preterite TO {place.runner}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {place.owner} IN SCHEMA preterite "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {place.runner}",
        f"REVOKE INSERT, UPDATE, DELETE ON preterite.migration FROM {place.runner}",
        # What operators did is added to, never changed.
        f"REVOKE UPDATE, DELETE ON preterite.audit FROM {place.runner}",
    ]
    if version < MAINTAIN_VERSION:
        texts.append(f"ALTER TABLE preterite.outbox OWNER TO {place.runner}")
    else:
        texts.append(f"GRANT MAINTAIN ON preterite.outbox TO {place.runner}")
        texts.append(f"GRANT SELECT ON preterite.outbox_id_seq TO {place.runner}")
    return [Statement(place.database, text, text) for text in texts]


def log_grants(log: Premises, components: Sequence[Premises]) -> list[Statement]:
    """What lets each component's runner append to its own streams of the log, and read those it subscribes to."""
    texts = log_rights.granted(log.runner, is_system=True)
    found = [Statement(log.database, text, text) for text in texts]
    for place in components:
        connect = f"GRANT CONNECT ON DATABASE {log.database} TO {place.runner}"
        found.append(Statement(None, connect, connect))
        found += [Statement(log.database, text, text) for text in log_rights.granted(place.runner, is_system=False)]
    return found


class Server:
    """A PostgreSQL server as its administrator sees it."""

    def __init__(self, admin_url: str) -> None:
        self._place = place_of(admin_url)
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
        """Run these statements, each in its database; those of one database together, or none of them.

        So no role has a right even for a moment that a later statement takes away.
        """
        for database in dict.fromkeys(step.database for step in steps):
            if database is None:
                self._run(self._admin, [step for step in steps if step.database is None])
                continue
            connection = self.connect(database)
            try:
                with connection.transaction():
                    self._run(connection, [step for step in steps if step.database == database])
            finally:
                connection.close()

    def _run(self, connection: postgres_guard.GuardedConnection, steps: Sequence[Statement]) -> None:
        for step in steps:
            postgres_server.run(connection, step.text)

    def url(self, role: str, password: str, database: str) -> str:
        """How this role reaches this database."""
        hosts = str(self._parts.get("host", "localhost")).split(",")
        ports = str(self._parts.get("port", 5432)).split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        place = ",".join(f"{_in_url(host)}:{port or 5432}" for host, port in zip(hosts, ports, strict=True))
        secure = {name: str(self._parts[name]) for name in KEPT_PARAMETERS if name in self._parts}
        query = f"?{urlencode(secure)}" if secure else ""
        return f"postgresql://{quote(role)}:{quote(password, safe='')}@{place}/{database}{query}"

    def close(self) -> None:
        """Leave the server."""
        self._admin.close()

    def connect(self, database: str) -> postgres_guard.GuardedConnection:
        """A connection to one database, as the administrator."""
        conninfo = make_conninfo(self._place.conninfo, dbname=database)
        return postgres_server.connect(Place(conninfo, database))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host, safe="")


def new_password() -> str:
    """A random password, for files and environments."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def write_urls(file: Path, server: Server, places: Sequence[Premises], passwords: Mapping[str, str]) -> None:
    """Write the URLs as variables of the environment, in files that only their owner can read, from their creation on.

    `file` has the runners' URLs; beside it are one with the owners' and one for each component with what its worker
    needs. Each is written whole or not at all: what was there before stays until the new one is complete.
    """
    runners = {one.component: server.url(one.runner, passwords[one.runner], one.database) for one in places}
    owners = {one.component: server.url(one.owner, passwords[one.owner], one.database) for one in places}
    log = next((one for one in places if one.component == LOG), None)
    make_private_folder(file.parent)
    every = {url_variable(name): url for name, url in runners.items()}
    for one in places:
        if log is not None and one is not log:
            own_log = server.url(one.runner, passwords[one.runner], log.database)
            every[log_variable(one.component)] = own_log
            own = {url_variable(one.component): runners[one.component], url_variable(LOG): own_log}
            _write(file.with_name(f"{file.stem}.{one.component}{file.suffix}"), own)
    _write(file, every)
    _write(owners_file(file), {owner_variable(name): url for name, url in owners.items()})


def owners_file(file: Path) -> Path:
    """The file with the URLs of the owners' roles, beside the one with the runners'."""
    return file.with_name(f"{file.stem}.owners{file.suffix}")


def _write(file: Path, variables: Mapping[str, str]) -> None:
    beside = file.with_name(f"{file.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.writelines(f"{name}={url}\n" for name, url in variables.items())
    beside.replace(file)


def provision(
    server: Server,
    places: Sequence[Premises],
    passwords: Mapping[str, str],
    made: Callable[[str], None],
    declared: LogDeclaration,
) -> None:
    """Make the premises, Preterite's tables in them, and the grants.

    `passwords` holds a password for each role; `made` is called with each component; `declared` says which component
    reads the log of which. May be run again: what exists is kept and updated.
    """
    components = [place for place in places if place.component != LOG]
    for place in places:
        server.run(statements(place, server.present(), passwords, server.hidden))
        owner_url = server.url(place.owner, passwords[place.owner], place.database)
        if place.component == LOG:
            make_log(owner_url, declared.identity, [one.component for one in components], access(places, declared))
            server.run(log_grants(place, components))
        else:
            make_tables(owner_url)
            server.run(grants(place, server.present().version))
        made(place.component)
    server.run(closed_to_others())


def declared_log(identity: LogIdentity, components: Sequence[Component]) -> LogDeclaration:
    """The log of a system, with this identity unless it has one, and which component subscribes to which."""
    publishers: dict[type[Message], str] = {event: one.name for one in components for event in one.publishes}
    read = {
        one.name: {publishers[handler.message_type] for handler in one.handlers if handler.message_type in publishers}
        for one in components
    }
    return LogDeclaration(identity, read)


def access(places: Sequence[Premises], declared: LogDeclaration) -> Mapping[str, Mapping[str, bool]]:
    """What each role may do on the log: a component's appends for itself and reads what it subscribes to. Pure."""
    components = [place.component for place in places if place.component != LOG]
    found: dict[str, dict[str, bool]] = {}
    for place in places:
        if place.component == LOG:
            found[place.runner] = dict.fromkeys(components, True)
        else:
            read = declared.subscriptions.get(place.component, ())
            found[place.runner] = {**dict.fromkeys(read, False), place.component: True}
    return found


def closed_to_others() -> list[Statement]:
    """The statements that close the server's own databases to roles without a grant."""
    texts = [f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC" for name in ("postgres", "template1")]
    return [Statement(None, text, text) for text in texts]


def make_tables(owner_url: str) -> None:
    """Preterite's tables in a component's database, as their owner."""
    database = stores.connect(owner_url)
    with connected(database) as connection:
        database.store.migrate(connection)
