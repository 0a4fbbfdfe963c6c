"""Databases and roles: decided from what is there, made twice without harm, and closed to everybody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as some
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Column, Integer, MetaData, Table
from support import postgres

import preterite
from preterite import Component, System
from preterite.clock import SystemClock
from preterite.errors import ConfigurationError, StoreUnavailable, TablesMissing, WrongLog
from preterite.log.contract import RECORD_BYTES_MAX, ClockSetting, LogIdentity, Record, Stream
from preterite.log.postgres.log import PostgresLog, make_log
from preterite.operations import proof, provisioning
from preterite.operations.provisioning import LogDeclaration, Premises, Present, Server, Statement
from preterite.settings import log_variable, owner_variable, shared_names, url_variable

NOTHING = Present(frozenset(), frozenset(), 15)
METADATA = MetaData()
Table("bill", METADATA, Column("id", Integer))
COMPONENTS = ("sales", "finance", "shipping")
DECLARED = LogDeclaration(LogIdentity("shop", UUID(int=7), 2), {"finance": ["sales"], "shipping": ["finance"]})


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


def test_no_output_shows_a_password() -> None:
    place = provisioning.premises_of("shop", ["sales"])[0]

    assert "secret" not in "".join(words(place, NOTHING, {place.owner: "secret", place.runner: "secret"}))


def test_a_name_too_long_for_a_role_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="63 characters"):
        provisioning.premises_of("shop", ["s" * 60])


@given(some.lists(some.from_regex(r"[a-z](_|-|a|log|owner|admin){0,3}", fullmatch=True), max_size=4, unique=True))
def test_components_that_are_accepted_share_no_role_and_no_variable(names: list[str]) -> None:
    if shared_names(names):
        return
    places = provisioning.premises_of("shop", names)
    roles = [role for place in places for role in (place.owner, place.runner)]
    variables = [of(name) for name in (*names, "log") for of in (url_variable, owner_variable)]
    variables += ["PRETERITE_ADMIN_URL", *map(log_variable, names)]

    assert len(set(roles)) == len(roles)
    assert len(set(variables)) == len(variables)


@pytest.fixture
def system() -> Iterator[str]:
    """The name of a system whose databases and roles are removed at the end."""
    postgres.require()
    name = f"test{uuid4().hex[:8]}"
    yield name
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        places = provisioning.premises_of(name, COMPONENTS)
        for place in places:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(place.database)))
        for role in (role for place in places for role in (place.owner, place.runner)):
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.fixture
def server() -> Iterator[Server]:
    postgres.require()
    opened = Server(postgres.ADMIN_URL)
    yield opened
    opened.close()


def test_what_runs_with_the_rights_of_the_owner_takes_names_from_nobody_elses_schemas() -> None:
    """A role may make temporary tables, and set its search path."""
    scripts = [path.read_text(encoding="utf-8") for path in Path(preterite.__file__).parent.rglob("*.sql")]
    functions = [line for text in scripts for line in text.splitlines() if "SECURITY DEFINER" in line]

    assert len(functions) >= 4
    assert [line for line in functions if "SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS" not in line] == []


@pytest.mark.slow("PostgreSQL")
def test_every_component_is_refused_everything_of_every_other(server: Server, system: str) -> None:
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None, DECLARED)
    provisioning.provision(server, places, passwords, lambda _name: None, DECLARED)
    refusals = proof.prove(server, places, passwords)

    assert [refusal for refusal in refusals if not refusal.refused] == []
    assert {refusal.role for refusal in refusals} == {role for place in places for role in (place.owner, place.runner)}
    assert {"a foreign server", f"a foreign key to {system}_finance", f"a view of {system}_finance"} <= {
        refusal.tried for refusal in refusals
    }


@pytest.mark.slow("PostgreSQL")
def test_the_proof_finds_a_door_that_was_left_open(server: Server, system: str) -> None:
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None, DECLARED)
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO PUBLIC").format(sql.Identifier(f"{system}_finance")))
        admin.execute(
            sql.SQL("GRANT {} TO {}").format(
                sql.Identifier(f"{system}_sales_owner"), sql.Identifier(f"{system}_finance")
            )
        )
    allowed = {(one.role, one.tried) for one in proof.prove(server, places, passwords) if not one.refused}

    assert (f"{system}_sales", f"connect to {system}_finance") in allowed
    assert (f"{system}_finance", f"the rights of {system}_sales_owner") in allowed


@pytest.mark.slow("PostgreSQL")
def test_the_proof_finds_a_right_too_many_on_the_log_and_on_what_operators_did(server: Server, system: str) -> None:
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None, DECLARED)
    runner = sql.Identifier(f"{system}_shipping")
    with psycopg.connect(f"{postgres.ADMIN_URL.rpartition('/')[0]}/{system}_log", autocommit=True) as log:
        for table in ("record", "stream", "access", "asked", "database"):
            log.execute(
                sql.SQL("ALTER TABLE preterite_log.{} DISABLE ROW LEVEL SECURITY").format(sql.Identifier(table))
            )
        log.execute("ALTER TABLE preterite_log.stream DROP CONSTRAINT stream_epoch_check")
        log.execute("ALTER TABLE preterite_log.record DROP CONSTRAINT record_body_check")
        log.execute(sql.SQL("GRANT DELETE ON preterite_log.record TO {}").format(runner))
        log.execute(sql.SQL("GRANT UPDATE, DELETE ON preterite_log.asked TO {}").format(runner))
        log.execute(
            "CREATE OR REPLACE FUNCTION preterite_log.request_resend("
            "of_publisher text, of_partition int, from_number bigint) "
            "RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO preterite_log.asked VALUES ($1, $2, $3)'"
        )
    with psycopg.connect(f"{postgres.ADMIN_URL.rpartition('/')[0]}/{system}_shipping", autocommit=True) as own:
        own.execute(sql.SQL("GRANT UPDATE, DELETE ON preterite.audit TO {}").format(runner))
    refusals = proof.prove(server, places, passwords)
    allowed = {one.tried for one in refusals if one.role == f"{system}_shipping" and not one.refused}

    assert allowed == {
        "an event of sales forged",
        "an event of finance forged",
        "a record of over 1 MiB",
        "sales fenced",
        "sales fenced for ever",
        "finance fenced",
        "finance fenced for ever",
        "shipping fenced for ever",
        "sales locked",
        "finance locked",
        "a database of its own for sales",
        "a database of its own for finance",
        "a stream of sales made",
        "a stream of finance made",
        "sales asked beyond its partitions",
        "finance asked beyond its partitions",
        "sales asked to send again",
        "events of sales read",
        "the rights of others read",
        "the log deleted",
        "what others asked for changed",
        "what others asked for deleted",
        "the log's askeds locked",
        "the log's records locked",
        "what operators did changed",
        "what operators did deleted",
    }


@pytest.mark.slow("PostgreSQL")
def test_the_runner_adds_to_what_operators_did_and_changes_nothing_of_it(server: Server, system: str) -> None:
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None, DECLARED)
    sales = places[0]
    with psycopg.connect(server.url(sales.runner, passwords[sales.runner], sales.database), autocommit=True) as runner:
        columns = "at, operator, action, target, reason, before, after"
        runner.execute(f"INSERT INTO preterite.audit ({columns}) VALUES (0, 'ops', 'discard', '1', 'twice', '', '')")
        for change in ("UPDATE preterite.audit SET operator = 'x'", "DELETE FROM preterite.audit"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                runner.execute(change)

        assert runner.execute("SELECT operator, reason FROM preterite.audit").fetchall() == [("ops", "twice")]


@pytest.mark.slow("PostgreSQL")
def test_the_runner_reads_and_writes_rows_and_makes_no_tables(server: Server, system: str) -> None:
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None, DECLARED)
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


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("tables", ["create table bill (id integer)", METADATA], ids=["text", "metadata"])
def test_the_components_own_tables_are_created_as_their_owner(
    server: Server, system: str, tables: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = provisioning.premises_of(system, ["sales"])[0]
    passwords = {role: provisioning.new_password() for role in (place.owner, place.runner)}
    provisioning.provision(server, [place], passwords, lambda _name: None, DECLARED)
    monkeypatch.setenv("PRETERITE_SALES_URL", server.url(place.runner, passwords[place.runner], place.database))
    monkeypatch.setenv("PRETERITE_LOG_URL", f"sqlite:///{tmp_path}/log.sqlite")
    sales = Component("sales", tables=tables)

    with pytest.raises(TablesMissing) as refused:
        System(system, [sales]).open(create_tables=True)
    monkeypatch.setenv("PRETERITE_SALES_OWNER_URL", server.url(place.owner, passwords[place.owner], place.database))
    with System(system, [sales]).open(create_tables=True) as opened, opened.connection(sales) as connection:
        connection.execute("insert into bill values (1)")
        found = connection.execute("select id from bill").fetchall()

    assert re.fullmatch(
        r"The tables of 'sales' cannot be created in postgresql://\S+: permission denied for schema public\. None was "
        r"created\. Create them by your migrations, or set PRETERITE_SALES_OWNER_URL to the URL of the role that may "
        r"create them\.",
        str(refused.value),
    )
    assert found == [(1,)]


@pytest.fixture
def log_urls(server: Server, system: str) -> dict[str, str]:
    """The log's URL of each component, and of the role that runs all of them."""
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None, DECLARED)
    return {place.component: server.url(place.runner, passwords[place.runner], f"{system}_log") for place in places}


def opened(url: str) -> PostgresLog:
    return PostgresLog(url, DECLARED.identity, SystemClock())


def read(log: PostgresLog, stream: Stream) -> list[int]:
    reader = log.reader({stream: 0})
    try:
        return [record.number for record in reader.read(10) if record.kind == "event"]
    finally:
        reader.close()


def event(publisher: str, number: int, epoch: int = 2) -> Record:
    return Record(Stream(publisher, 0), "event", epoch, number, number.to_bytes(16), b"{}")


@pytest.mark.slow("PostgreSQL")
def test_a_component_publishes_and_reads_with_its_own_rights(log_urls: dict[str, str]) -> None:
    """The whole of what a worker does on the log, and each promise line says what its role may do."""
    sales, finance, everything = (opened(log_urls[name]) for name in ("sales", "finance", "log"))
    stream = Stream("sales", 0)
    sales.take_over({stream: 0, Stream("sales", 1): 0}, 1, b"nonce")
    sales.take_over({stream: 0}, 2, b"nonce")
    sales.append([event("sales", 1), event("sales", 2)])
    sales.append([event("sales", 2), event("sales", 3)])
    sales.append([Record(stream, "head", 2, 3, event("sales", 3).event_id, b"")])
    finance.request_resend(stream, 2)
    finance.request_resend(stream, 1)

    assert read(finance, stream) == [1, 2, 3]
    assert finance.resend_requests("sales") == {}
    assert sales.resend_requests("sales") == {stream: 1}
    assert finance.end(stream).number == 3
    assert sales.promise.endswith("this role may append for sales")
    assert everything.promise.endswith("this role may append for finance, sales, shipping")
    for one in (sales, finance, everything):
        one.close()


@pytest.mark.slow("PostgreSQL")
def test_a_component_neither_writes_nor_fences_the_streams_of_another_nor_reads_what_it_does_not_handle(
    log_urls: dict[str, str],
) -> None:
    sales, shipping = opened(log_urls["sales"]), opened(log_urls["shipping"])
    stream = Stream("sales", 0)
    sales.take_over({stream: 0}, 1, b"nonce")
    sales.append([event("sales", 1, epoch=1)])
    sales.request_resend(stream, 1)
    attempts = [
        lambda: shipping.append([event("sales", 2, epoch=1)]),
        lambda: shipping.append([event("sales", 2, epoch=9)]),
        lambda: shipping.take_over({stream: 0}, 2**62, b"nonce"),
        lambda: shipping.take_over({Stream("unheard", 0): 0}, 1, b"nonce"),
        lambda: shipping.request_resend(stream, 1),
        lambda: shipping.set_clock(ClockSetting(0.0, 0.0)),
    ]
    for attempt in attempts:
        with pytest.raises((psycopg.errors.InsufficientPrivilege, StoreUnavailable, KeyError, WrongLog)):
            attempt()

    assert read(shipping, stream) == []
    assert shipping.resend_requests("sales") == {}
    assert sales.end(stream) == (1, event("sales", 1).event_id, 1)
    assert sales.resend_requests("sales") == {stream: 1}
    sales.close()
    shipping.close()


@pytest.mark.slow("PostgreSQL")
def test_no_reader_takes_back_what_another_has_asked_for(log_urls: dict[str, str]) -> None:
    """It asks through a function that lowers the number only; the table is closed to it."""
    sales, finance = opened(log_urls["sales"]), opened(log_urls["finance"])
    stream = Stream("sales", 0)
    sales.take_over({stream: 0}, 1, b"nonce")
    finance.request_resend(stream, 3)
    finance.request_resend(stream, 2**59)
    with psycopg.connect(log_urls["finance"], autocommit=True) as connection:
        for statement in (
            "UPDATE preterite_log.asked SET number = 999",
            "DELETE FROM preterite_log.asked",
            "INSERT INTO preterite_log.asked VALUES ('sales', 1, 1)",
            "SELECT preterite_log.request_resend('shipping', 0, 1)",
            "SELECT preterite_log.request_resend('sales', 1000000, 1)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())

    assert sales.resend_requests("sales") == {stream: 3}
    sales.close()
    finance.close()


@pytest.mark.slow("PostgreSQL")
def test_no_advisory_lock_of_a_component_holds_up_the_owner_of_the_log(server: Server, system: str) -> None:
    places = provisioning.premises_of(system, COMPONENTS)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    provisioning.provision(server, places, passwords, lambda _name: None, DECLARED)
    log, sales = places[-1], places[0]
    owner = f"{server.url(log.owner, passwords[log.owner], log.database)}?options=-c%20lock_timeout%3D1000"
    with psycopg.connect(server.url(sales.runner, passwords[sales.runner], log.database), autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(hashtext('preterite_log'))")
        make_log(owner, DECLARED.identity, COMPONENTS, provisioning.access(places, DECLARED))


@pytest.mark.slow("PostgreSQL")
def test_a_retention_is_refused_where_the_role_may_not_delete(log_urls: dict[str, str]) -> None:
    """Else its relay would stop with the server's refusal when the first records have become old."""
    with pytest.raises(ConfigurationError, match="may not delete from the log"):
        PostgresLog(log_urls["sales"], DECLARED.identity, SystemClock(), timedelta(days=1))
    everything = PostgresLog(log_urls["log"], DECLARED.identity, SystemClock(), timedelta(days=1))
    everything.maintain()
    everything.close()


@pytest.mark.slow("PostgreSQL")
def test_what_no_reader_expects_is_refused_by_the_log_itself_also_in_ones_own_streams(
    log_urls: dict[str, str],
) -> None:
    """Such a head or time would end its readers, or keep its records for ever."""
    head = "UPDATE preterite_log.stream SET head_epoch = {}, head_number = {}, head_id = {}, head_body = {}"
    record = "INSERT INTO preterite_log.record SELECT id, 1, 'event', 1, '\\x00', {}, '' FROM preterite_log.stream"
    with psycopg.connect(log_urls["sales"], autocommit=True) as sales:
        for statement in [
            head.format(2**63 - 1, 1, "'\\x00'", "''"),
            head.format(1, 2**63 - 1, "'\\x00'", "''"),
            head.format(1, "NULL", "'\\x00'", "''"),
            head.format(1, 1, "'\\x00'", "'x'"),
            head.format(1, 1, "'\\x00'", f"'{'9' * 19}'"),
            record.format("'NaN'"),
            record.format("'Infinity'"),
            record.format("-1"),
            "SELECT preterite_log.request_resend('sales', -1, 1)",
            "SELECT preterite_log.request_resend('sales', 0, 0)",
        ]:
            with pytest.raises(psycopg.errors.CheckViolation):
                sales.execute(statement.encode())


@pytest.mark.slow("PostgreSQL")
def test_a_record_beyond_the_limits_is_refused_by_the_log_itself(log_urls: dict[str, str]) -> None:
    with psycopg.connect(log_urls["sales"], autocommit=True) as sales:
        number = sales.execute("SELECT id FROM preterite_log.stream WHERE publisher = 'sales'").fetchall()[0][0]
        insert = "INSERT INTO preterite_log.record VALUES (%s, %s, %s, %s, %s, 0, %s)"
        for row in [
            (number, 1, "event", 1, b"1", b"x" * (RECORD_BYTES_MAX + 1)),
            (number, 1, "event", 1, b"x" * 65, b""),
            (number, 0, "event", 1, b"1", b""),
            (number, 1, "claim", 1, b"1", b""),
            (number, 1, "event", 2**63 - 1, b"1", b""),
        ]:
            with pytest.raises(psycopg.errors.CheckViolation):
                sales.execute(insert, row)
        with pytest.raises(psycopg.errors.CheckViolation):
            sales.execute("UPDATE preterite_log.stream SET epoch = %s", [2**63 - 1])


@pytest.mark.slow("PostgreSQL")
def test_the_statements_of_one_database_are_run_together_or_not_at_all(server: Server, system: str) -> None:
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"{system}_sales")))
    texts = ["CREATE TABLE public.first (id bigint)", "GRANT SELECT ON public.first TO nobody_at_all"]
    with pytest.raises(psycopg.errors.UndefinedObject):
        server.run([Statement(f"{system}_sales", text, text) for text in texts])
    connection = server.connect(f"{system}_sales")
    found = connection.execute("SELECT to_regclass('public.first')").fetchone()
    connection.close()

    assert found == (None,)


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("query", ["", "?sslmode=prefer&target_session_attrs=read-write&require_auth=scram-sha-256"])
@pytest.mark.parametrize("hosts", ["127.0.0.1:{0}", "127.0.0.1:{0},[::1]:1", "127.0.0.1:{0},localhost:{0}"])
def test_urls_lead_to_the_same_hosts_in_the_same_way(hosts: str, query: str) -> None:
    asked = postgres.ADMIN_URL.replace(f"{postgres.HOST}:{postgres.PORT}", hosts.format(postgres.PORT)) + query
    server = Server(asked)
    made = conninfo_to_dict(server.url("shop_sales", "a/b@c", "shop_sales"))
    server.close()
    expected = {**conninfo_to_dict(asked), "user": "shop_sales", "password": "a/b@c", "dbname": "shop_sales"}

    assert made == expected


@pytest.mark.slow("PostgreSQL")
def test_urls_keep_how_the_connection_is_secured_and_each_file_has_what_its_reader_needs(tmp_path: Path) -> None:
    server = Server(f"{postgres.ADMIN_URL}?sslmode=prefer")
    try:
        places = provisioning.premises_of("shop", COMPONENTS)
        passwords = {role: f"{role}-secret" for place in places for role in (place.owner, place.runner)}
        provisioning.write_urls(tmp_path / "new" / "shop.env", server, places, passwords)
    finally:
        server.close()
    files = {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "new").iterdir()}

    assert set(files) == {f"shop{part}.env" for part in ("", ".owners", ".sales", ".finance", ".shipping")}
    assert all(line.endswith("?sslmode=prefer") for text in files.values() for line in text.splitlines())
    assert re.findall(r"(\w+)=postgresql://(\w+):", files["shop.sales.env"]) == [
        ("PRETERITE_SALES_URL", "shop_sales"),
        ("PRETERITE_LOG_URL", "shop_sales"),
    ]
    assert "_owner-secret" not in "".join(text for name, text in files.items() if name != "shop.owners.env")
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "new").iterdir()} == {0o600}
