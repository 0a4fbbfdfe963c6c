"""Rights on PostgreSQL: what a component's role may access in other databases is found by trying."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from support import postgres

from preterite import Component, System
from preterite.checks.partition import Partition
from preterite.checks.rights import check_rights
from preterite.errors import StoreUnavailable

SALES = Component("sales", tables="create table purchase (id text)")
FINANCE = Component("finance", tables="create table bill (id text)")


@pytest.fixture
def urls() -> Iterator[dict[str, str]]:
    """A database and a role for each component; no other role may connect."""
    postgres.require()
    names = {one.name: f"rights_{one.name}_{uuid4().hex[:8]}" for one in (SALES, FINANCE)}
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        for component in (SALES, FINANCE):
            name = sql.Identifier(names[component.name])
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(name))
            admin.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(name))
            admin.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name))
        made = {
            component: f"postgresql://{name}:secret@{postgres.HOST}:{postgres.PORT}/{name}"
            for component, name in names.items()
        }
        for component in (SALES, FINANCE):
            with psycopg.connect(made[component.name]) as own:
                own.execute(str(component.tables).encode())
        yield made
        for name in names.values():
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for name in names.values():
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def keys(urls: dict[str, str]) -> list[str]:
    return sorted(one.key for one in check_rights(Partition(System("shop", [SALES, FINANCE]), urls)))


def test_refused_access_is_not_a_finding(urls: dict[str, str]) -> None:
    assert keys(urls) == []


def test_excess_rights_are_found_with_their_extent(urls: dict[str, str]) -> None:
    sales, finance = (urls[name].rpartition("/")[2] for name in ("sales", "finance"))
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        admin.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(sales), sql.Identifier(finance))
        )
    connected = keys(urls)
    with psycopg.connect(urls["sales"], autocommit=True) as own:
        own.execute(sql.SQL("GRANT SELECT ON purchase TO {}").format(sql.Identifier(finance)))

    assert connected == ["excess-rights:finance:sales:connect"]
    assert keys(urls) == ["excess-rights:finance:sales.purchase:read", "excess-rights:finance:sales:connect"]


def test_a_role_that_cannot_log_in_stops_the_check(urls: dict[str, str]) -> None:
    with pytest.raises(StoreUnavailable, match="finance cannot log in to its own database"):
        keys({**urls, "finance": urls["finance"].replace(":secret@", ":forgotten@")})


def test_a_superuser_is_found(urls: dict[str, str]) -> None:
    admin = f"{postgres.ADMIN_URL.rpartition('/')[0]}/{urls['sales'].rpartition('/')[2]}"
    found = keys({**urls, "sales": admin})

    assert "excess-rights:sales:everything:superuser" in found
    assert "excess-rights:sales:finance.bill:write" in found
