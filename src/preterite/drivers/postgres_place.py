"""Where a PostgreSQL database is: what its URL means to the driver, and what may be shown of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from preterite.errors import ConfigurationError, StoreUnavailable
from preterite.printing import urls
from preterite.printing.text import clause


@dataclass(frozen=True)
class Place:
    """A URL as the driver needs it, and as it may be shown."""

    conninfo: str = field(repr=False)
    shown: str


def place_of(url: str) -> Place:
    """The database that a `postgresql://…` URL names (`postgresql+psycopg:` too).

    Raises `ConfigurationError` for a URL that can be read in two ways: one that has an unescaped character in its
    password, for example. Nothing of such a URL is in the message.
    """
    parts = urls.read(url)
    if parts is None or not parts.database:
        raise ConfigurationError(
            f"{urls.shown(url)} names no PostgreSQL database; write {urls.EXAMPLE}. "
            "In a password, write @ : / ? # [ ] % and spaces as %40 %3A %2F %3F %23 %5B %5D %25 %20."
        )
    conninfo = urlunsplit(urlsplit(url)._replace(scheme="postgresql"))
    try:
        conninfo_to_dict(conninfo)
    except (psycopg.Error, UnicodeDecodeError):
        # The messages contain what could not be read.
        raise ConfigurationError(
            f"{urls.shown(url)} cannot be read by PostgreSQL's library: a parameter behind the ? is unknown, "
            "or a % is not followed by two hexadecimal digits, or stands for a part of a character."
        ) from None
    return Place(conninfo, urls.shown(url))


def unreachable(place: Place, error: psycopg.Error) -> StoreUnavailable:
    """An error with the driver's message, unless that contains a part of the URL that is not shown."""
    said = first_line(error)
    secrets = [str(value) for value in conninfo_to_dict(place.conninfo).values() if str(value) not in place.shown]
    if any(secret in said for secret in secrets):
        said = "the server or its library refused it, with a message that contains a part of the URL which is not shown"
    return StoreUnavailable(f"{place.shown} cannot be reached: {clause(said)}. Nothing was written.")


def only_reads(what: str) -> StoreUnavailable:
    """The error for a server, or a session on it, that refuses to write."""
    return StoreUnavailable(
        f"{what} only reads: it is a replica, or default_transaction_read_only is on. Nothing was written; it is tried "
        "again."
    )


def first_line(error: BaseException) -> str:
    """The first line of a driver's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def secrecy(ssl_in_use: bool, host: str, address: str) -> str:
    """What a promise says of a connection that others on the network may read; nothing of one that they may not. Pure.

    `host` is a socket's folder, a name or an address; `address` is the one that it was found at.
    """
    if ssl_in_use or host.startswith(("/", "@")) or host in ("", "localhost"):
        return ""
    try:
        if ip_address(address or host).is_loopback:
            return ""
    except ValueError:
        pass
    return "; WITHOUT TLS: passwords and events can be read on the network (add ?sslmode=verify-full to the URL)"
