"""Rules about databases: components that share a database, a role or a declaration of tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations, zip_longest
from pathlib import Path
from urllib.parse import quote

from preterite.checks.findings import Finding
from preterite.checks.partition import Partition
from preterite.errors import ConfigurationError
from preterite.printing import urls

POSTGRES_PORT = 5432
"""The port of a PostgreSQL server whose address names none."""
SUPERUSERS = ("postgres", "root")
_LOCAL = ("", "localhost", "[::1]")
_HAS_PORT = re.compile(r":\d+\Z")


def check_databases(partition: Partition) -> Iterator[Finding]:
    """All findings about shared databases, roles and tables; opens nothing."""
    yield from _shared_databases(partition)
    yield from _shared_roles(partition)
    yield from _shared_metadata(partition)


def _shared_databases(partition: Partition) -> Iterator[Finding]:
    databases = {name: database_of(url) for name, url in _urls(partition).items()}
    for database, names in _shared(databases).items():
        for first, second in combinations(names, 2):
            message = f"{first} and {second} share the database {database}."
            yield Finding("database-shared", second, first, "share", message, partition.ownership(second).place)
            yield from _owned_twice(partition, first, second)


def _shared_roles(partition: Partition) -> Iterator[Finding]:
    roles = {name: role for name, url in _urls(partition).items() if (role := role_of(url)) is not None}
    for role, names in _shared(roles).items():
        for first, second in combinations(names, 2):
            message = f"{first} and {second} log in with the same role, {role.rpartition('/')[2]}."
            yield Finding("role-shared", second, first, "share", message, partition.ownership(second).place)
    for name, role in roles.items():
        user = role.rpartition("/")[2]
        if user in SUPERUSERS:
            message = f"{name} logs in as {user}, a superuser: the database refuses it nothing."
            yield Finding("role-shared", name, user, "superuser", message, partition.ownership(name).place)


def _shared_metadata(partition: Partition) -> Iterator[Finding]:
    """Components that declare the same metadata object: the owner of its tables is unknown."""
    with_metadata = [one for one in partition.ownerships if not isinstance(one.component.tables, str | None)]
    for first, second in combinations(with_metadata, 2):
        if first.component.tables is second.component.tables:
            message = f"{first.name} and {second.name} declare the same metadata; each of its tables has two owners."
            yield Finding("table-owned-twice", second.name, "metadata", first.name, message, second.place)


def _owned_twice(partition: Partition, first: str, second: str) -> Iterator[Finding]:
    tables = partition.ownership(first).schema.tables
    for table in sorted(partition.ownership(second).schema.tables & tables, key=str):
        message = f"{first} and {second} both declare {table}, in one database."
        yield Finding("table-owned-twice", second, str(table), first, message, partition.ownership(second).place)


def _urls(partition: Partition) -> dict[str, str]:
    return {one.name: partition.urls[one.name] for one in partition.ownerships if one.name in partition.urls}


def _shared(places: Mapping[str, str]) -> dict[str, list[str]]:
    """Places that several components have in common, and those components."""
    found: dict[str, list[str]] = {}
    for name, place in places.items():
        found.setdefault(place, []).append(name)
    return {place: names for place, names in found.items() if len(names) > 1}


def database_of(url: str) -> str:
    """The database of a URL, without role and password."""
    if not _is_postgres(url):
        return urls.shown(url)
    return f"{server_of(url)}/{_read(url).database}"


def is_database(file: str, url: str) -> bool:
    """Whether a file name, as ATTACH takes it, is that of a database's URL."""
    scheme, _, path = url.partition(":///")
    name = file.removeprefix("file:").partition("?")[0]
    return scheme.startswith("sqlite") and Path(name).absolute() == Path(path.partition("?")[0]).absolute()


def role_of(url: str) -> str | None:
    """Server and role of a URL; None if its database has no roles, or if the role may not be shown."""
    if not _is_postgres(url) or _read(url).user in ("", "…"):
        return None
    return f"{server_of(url)}/{_read(url).user}"


def server_of(url: str) -> str:
    """The server of a PostgreSQL URL; raises `ConfigurationError` if the URL can be read in two ways."""
    places: list[str] = []
    for place in _read(url).hosts.split(","):
        host, port = place, ""
        if _HAS_PORT.search(place):
            host, _, port = place.rpartition(":")
        places.append(_address(host, port))
    return f"postgresql://{','.join(places)}"


def database_at(hosts: str, ports: str, database: str) -> str:
    """The database at these hosts and ports, as libpq takes them: what `database_of` makes of a URL that names it."""
    some = hosts.split(",")
    given = ports.split(",") if "," in ports else [ports] * len(some)
    places = [_address(_in_url(host), port) for host, port in zip_longest(some, given[: len(some)], fillvalue="")]
    return f"postgresql://{','.join(places)}/{urls.name(database)}"


def _address(host: str, port: str) -> str:
    return f"{'127.0.0.1' if host in _LOCAL else host}:{port or POSTGRES_PORT}"


def _in_url(host: str) -> str:
    """A host as it is written in a URL: addresses with colons in brackets, paths of sockets with escapes."""
    return f"[{host}]" if ":" in host else quote(host, safe="")


def _is_postgres(url: str) -> bool:
    return url.startswith("postgres")


def _read(url: str) -> urls.Parts:
    parts = urls.read(url)
    if parts is None:
        raise ConfigurationError(f"{urls.shown(url)} names no PostgreSQL database; write {urls.EXAMPLE}.")
    return parts
