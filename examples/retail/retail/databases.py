"""Where the demo's databases are: SQLite files in a folder, or one for each component on a PostgreSQL server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from preterite.clock import SystemRandomness
from preterite.log.contract import LogIdentity
from preterite.operations import provisioning
from retail.system import system

ADMIN_URL = "postgresql://postgres:preterite@127.0.0.1:54321/postgres"
"""The server that `scripts/servers` starts."""


def on_sqlite(folder: Path, *, resume: bool) -> Mapping[str, str] | None:
    """Use files in this folder. Return {} if tables are to be created, None if they exist."""
    if not resume:
        for name in (*_names(), "log"):
            for file in folder.glob(f"{name}.sqlite*"):
                file.unlink()
    _set_urls({name: f"sqlite:///{folder.absolute()}/{name}.sqlite" for name in (*_names(), "log")})
    return None if (folder / "log.sqlite").exists() else {}


def on_postgres(admin_url: str, urls: Path, *, resume: bool) -> Mapping[str, str] | None:
    """Use five databases and one for the log, each with its roles; the passwords are new each time, and go to a file.

    The components work as roles that own no tables. Return the owners' URLs if tables are to be created.
    """
    places = provisioning.premises_of(system.name, _names())
    server = provisioning.Server(admin_url)
    try:
        new = not (resume and all(place.database in server.present().databases for place in places))
        if new:
            drops = [f"DROP DATABASE IF EXISTS {place.database} WITH (FORCE)" for place in places]
            server.run([provisioning.Statement(None, drop, drop) for drop in drops])
        passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
        declared = provisioning.declared_log(
            LogIdentity(system.name, SystemRandomness().uuid(), system.partitions), system.components
        )
        provisioning.provision(server, places, passwords, lambda _name: None, declared)
        provisioning.write_urls(urls, server, places, passwords)
        owners = {one.component: server.url(one.owner, passwords[one.owner], one.database) for one in places}
        _set_urls({one.component: server.url(one.runner, passwords[one.runner], one.database) for one in places})
    finally:
        server.close()
    return owners if new else None


def create_tables(owners: Mapping[str, str]) -> None:
    """Create the components' tables. The demo's clock is set before, so that calendars start with its month."""
    databases = {name: url for name, url in owners.items() if name != provisioning.LOG}
    system.open(databases=databases, log=owners.get(provisioning.LOG), create_tables=True).close()


def _names() -> list[str]:
    return [component.name for component in system.components]


def _set_urls(urls: Mapping[str, str]) -> None:
    """Set the URLs for this process and the workers that it starts."""
    for name, url in urls.items():
        os.environ[f"PRETERITE_{name.upper()}_URL"] = url
