"""Databases and roles: decided from what is there, made twice without harm, and closed to everybody else."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import postgres
import psycopg
import pytest
from psycopg import sql

from preterite import provisioning
from preterite.errors import ConfigurationError
from preterite.provisioning import Premises, Present, Server

NOTHING = Present(frozenset(), frozenset(), 15)
COMPONENTS = ("sales", "finance")


def words(place: Premises, present: Present, passwords: dict[str, str]) -> list[str]:
    return [
        step.shown for step in provisioning.statements(place, present, passwords, lambda _role, _password: "hidden")
    ]


def test_what_is_missing_is_made_and_what_is_there_is_kept() -> None:
    place = provisioning.premises_of("shop", ["sales"])[0]
    passwords = {place.owner: "secret", place.runner: "secret"}
    new = words(place, NOTHING, passwords)
    again = words(place, Present(frozenset({place.database}), frozenset({place.owner, place.runner}), 15), passwords)

    assert "CREATE DATABASE shop_sales OWNER shop_sales_owner TEMPLATE template0 ENCODING 'UTF8'" in new
    assert "REVOKE ALL ON DATABASE shop_sales FROM PUBLIC" in new
    assert any(statement.startswith("CREATE ROLE shop_sales_owner") for statement in new)
    assert not any(statement.startswith("CREATE") for statement in again)


def test_nobody_sees_a_password() -> None:
    place = provisioning.premises_of("shop", ["sales"])[0]

    assert "secret" not in "".join(words(place, NOTHING, {place.owner: "secret", place.runner: "secret"}))


def test_a_name_too_long_for_a_role_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="63 characters"):
        provisioning.premises_of("shop", ["s" * 60])


@pytest.fixture
def system() -> Iterator[str]:
    """The name of a system whose databases and roles are removed at the end."""
    postgres.require()
    name = f"test{uuid4().hex[:8]}"
    yield name
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        for place in provisioning.premises_of(name, COMPONENTS):
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(place.database)))
            for role in (place.owner, place.runner):
                admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.fixture
def server() -> Iterator[Server]:
    postgres.require()
    opened = Server(postgres.ADMIN_URL)
    yield opened
    opened.close()


def test_every_component_is_refused_everything_of_every_other(server: Server, system: str) -> None:
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None)
    provisioning.provision(server, places, passwords, lambda _name: None)
    refusals = provisioning.prove(server, places, passwords)

    assert [refusal for refusal in refusals if not refusal.refused] == []
    assert {refusal.role for refusal in refusals} == {r for p in places[:2] for r in (p.owner, p.runner)}
    assert {"a foreign server", f"a foreign key to {system}_finance", f"a view of {system}_finance"} <= {
        refusal.tried for refusal in refusals
    }


def test_the_proof_finds_a_door_that_was_left_open(server: Server, system: str) -> None:
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None)
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO PUBLIC").format(sql.Identifier(f"{system}_finance")))
        admin.execute(
            sql.SQL("GRANT {} TO {}").format(
                sql.Identifier(f"{system}_sales_owner"), sql.Identifier(f"{system}_finance")
            )
        )
    allowed = {(one.role, one.tried) for one in provisioning.prove(server, places, passwords) if not one.refused}

    assert (f"{system}_sales", f"connect to {system}_finance") in allowed
    assert (f"{system}_finance", f"the rights of {system}_sales_owner") in allowed


def test_the_runner_reads_and_writes_rows_and_makes_no_tables(server: Server, system: str) -> None:
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None)
    sales = places[0]
    with psycopg.connect(server.url(sales.owner, passwords[sales.owner], sales.database)) as owner:
        owner.execute("CREATE TABLE purchase (id bigint)")
    with psycopg.connect(server.url(sales.runner, passwords[sales.runner], sales.database), autocommit=True) as runner:
        runner.execute("INSERT INTO purchase VALUES (1)")
        runner.execute("VACUUM preterite.outbox")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            runner.execute("CREATE TABLE another (id bigint)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            runner.execute("DELETE FROM preterite.migration")
