"""`preterite migrate`, `recover`, `provision`, and who does what: what operators do with databases."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from support import lossy_logs, postgres, process_shop
from support.backups import Backup
from support.command_line import Run
from support.processes import RunningShop

from preterite.clock import SystemClock
from preterite.errors import ConfigurationError, WrongDatabase
from preterite.log import find
from preterite.log.contract import ANY_SYSTEM, LogIdentity, Stream
from preterite.operations.provisioning import premises_of

APP = "support.process_shop:system"
FILES = ("shop.env", "shop.owners.env")


def change(url: str, *statements: str) -> None:
    """Do to a database what no component does."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_migrate_says_what_is_missing_prints_it_and_runs_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SALES", "FINANCE", "SHIPPING"):
        monkeypatch.setenv(f"PRETERITE_{name}_URL", f"sqlite:///{tmp_path}/{name}.sqlite")
    before, _, hint = run("migrate", "status", "-A", APP)
    _, script, _ = run("migrate", "sql", "-A", APP)
    done, table, _ = run("migrate", "up", "-A", APP)
    after, _, _ = run("migrate", "status", "-A", APP)
    _, nothing, why = run("migrate", "sql", "-A", APP)

    assert (before, done, after) == (1, 0, 0)
    assert "CREATE TABLE preterite_outbox" in script
    assert "INSERT INTO preterite_migration (number) VALUES (1);" in script
    assert hint == "3 scripts are missing; preterite migrate up runs them\n"
    assert (nothing, why) == ("", "no script is missing\n")
    assert [line.split()[0] for line in table.splitlines()] == ["component", "sales", "finance", "shipping"]


def test_recover_shows_what_was_forgotten_and_accepts_it(run: Run, shop: RunningShop) -> None:
    backup = Backup(shop.folder)
    shop.publish()
    shop.opened.settle()
    backup.save(shop.urls["sales"])
    shop.publish()
    shop.opened.settle()
    shop.opened.close()
    backup.restore(shop.urls["sales"])
    planned, plan, _ = run("recover", "plan", "-A", APP)
    accepted, taken, _ = run("recover", "accept", "-A", APP, "sales", "--reason", "restored")
    again, over, _ = run("recover", "plan", "-A", APP)
    refused, _, why = run("recover", "accept", "-A", APP, "sales")

    assert (planned, accepted, again, refused) == (1, 0, 0, 1)
    assert "sales has published 1 event that its database does not contain" in plan
    assert "sales.ItemPurchased" in plan
    assert "preterite recover accept sales" in plan
    assert "sales took over 1 event from" in taken
    assert over == "no component lacks events, no stream went back, and nothing is gone\n"
    assert "nothing was changed" in why


def test_recovering_passes_over_a_component_that_was_never_started(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unstarted, _, why = run("recover", "new-log", "-A", APP)
    with process_shop.system.open(only=[process_shop.sales], create_tables=True) as opened:
        opened.settle()
    planned, plan, _ = run("recover", "plan", "-A", APP)
    run("migrate", "up", "-A", APP)
    rehearsed, _, no_rehearsal = run("replay", "rehearse", "-A", APP, "--to", "finance")

    assert (unstarted, planned, rehearsed) == (1, 0, 2)
    assert no_rehearsal == "preterite: Component 'finance' was never started. preterite run starts it.\n"
    assert why == "preterite: No component was ever started, so no log is missing; nothing was changed.\n"
    assert plan == "no component lacks events, no stream went back, and nothing is gone\n"


def test_commands_that_read_the_log_make_none_where_it_is_gone(run: Run, shop: RunningShop) -> None:
    """One that they made would belong to no system, and no component would start with it."""
    shop.publish()
    shop.opened.settle()
    shop.opened.close()
    for file in shop.folder.glob("log.sqlite*"):
        file.unlink()
    said = [
        run(*command, "-A", APP)
        for command in (
            ("recover", "plan"),
            ("recover", "accept", "sales"),
            ("replay", "plan", "--to", "finance"),
            ("describe", "--observed"),
        )
    ]

    assert [(code, out) for code, out, _ in said] == [(4, "")] * len(said)
    assert all("There is no log " in why for _, _, why in said)
    assert list(shop.folder.glob("log.sqlite*")) == []


def test_recover_makes_a_new_log_and_says_what_the_journals_hold(run: Run, shop: RunningShop) -> None:
    shop.publish()
    shop.opened.settle()
    shop.opened.close()
    for file in shop.folder.glob("log.sqlite*"):
        file.unlink()
    made, table, _ = run("recover", "new-log", "-A", APP, "--reason", "the disk died")
    planned, plan, _ = run("recover", "plan", "-A", APP)
    _, audit, _ = run("dead-letters", "audit", "-A", APP)

    assert (made, planned) == (0, 1)
    assert "if sales publishes them again, it recovers" in plan
    assert [line.split()[1:] for line in table.splitlines() if line.startswith("sales/")] == [["0", "1"]]
    assert "then: preterite recover plan" in table
    assert audit.count("a new log in place of one that was lost") == 3
    assert audit.count("the disk died") == 3


def test_recover_lets_a_component_begin_anew_whose_database_was_lost(run: Run, shop: RunningShop) -> None:
    shop.publish()
    shop.opened.settle()
    shop.opened.close()
    for file in shop.folder.glob("finance.sqlite*"):
        file.unlink()
    planned, plan, _ = run("recover", "plan", "-A", APP)
    shown, status, _ = run("status", "-A", APP)
    unmade = list(shop.folder.glob("finance.sqlite*"))
    made, said, _ = run("recover", "new-database", "-A", APP, "finance", "--reason", "the disk died")
    _, again, _ = run("recover", "plan", "-A", APP)
    refused, _, why = run("recover", "new-database", "-A", APP, "finance")
    _, audit, _ = run("dead-letters", "audit", "-A", APP)

    assert (planned, shown, made, refused) == (1, 4, 0, 1)
    assert "the log knows" not in again
    assert "finance.sqlite is not the database of finance that the log knows" in plan
    assert "preterite recover new-database finance" in plan
    assert "is not the database of 'finance' that the log knows" in status
    assert unmade == [], "what only reads makes no database"
    assert "is the database of finance from now on" in said
    assert "that the log knows; nothing was changed" in why
    assert audit.count("a new database in place of one that was lost") == 1
    assert audit.count("the disk died") == 1


def test_recover_lets_a_subscriber_follow_a_publisher_that_went_back(run: Run, shop: RunningShop) -> None:
    shop.publish()
    shop.opened.settle()
    stream = next(Stream("sales", n) for n in range(8) if shop.opened.log.end(Stream("sales", n)).number)
    lossy_logs.lose(shop.opened.log, stream, [1])
    planned, plan, _ = run("recover", "plan", "-A", APP)
    followed, told, _ = run("recover", "reset", "-A", APP, "finance", "sales")

    assert (planned, followed) == (1, 0)
    assert f"finance has read {stream} up to 1; it ends at 0 now" in plan
    assert "finance continues at the end of 1 stream of sales" in told


def test_recover_fills_what_the_log_has_lost_and_the_journal_no_longer_holds(run: Run, shop: RunningShop) -> None:
    shop.publish()
    shop.opened.settle()
    stream = next(Stream("sales", n) for n in range(8) if shop.opened.log.end(Stream("sales", n)).number)
    change(shop.urls["sales"], "delete from preterite_journal")
    lossy_logs.lose(shop.opened.log, stream, [1])
    planned, plan, _ = run("recover", "plan", "-A", APP)
    filled, told, _ = run("recover", "fill", "-A", APP, "sales", "--reason", "a broken disk")
    again, _, _ = run("recover", "plan", "-A", APP)
    refused, _, why = run("recover", "fill", "-A", APP, "sales")
    _, audit, _ = run("dead-letters", "audit", "-A", APP)

    assert (planned, filled, again, refused) == (1, 0, 0, 1)
    assert "the log has lost 1 event of sales that its journal no longer holds:" in plan
    assert [str(stream), "1", "1", "1"] in [line.split() for line in plan.splitlines()]
    assert "preterite recover fill sales" in plan
    assert told == "sales: readers go on without 1 event that the log had lost\n"
    assert "nothing was changed" in why
    assert "a broken disk" in audit


def test_recover_lets_a_subscriber_go_on_after_what_is_gone(run: Run, shop: RunningShop) -> None:
    shop.publish()
    shop.opened.settle()
    stream = next(Stream("sales", n) for n in range(8) if shop.opened.log.end(Stream("sales", n)).number)
    change(shop.urls["sales"], "delete from preterite_journal")
    shop.opened.close()
    of_sales = "publisher = 'sales'"
    change(
        shop.log_url,
        f"delete from log_record where stream in (select id from log_stream where {of_sales})",
        f"update log_stream set forgotten = 1 where {of_sales} and last_number > 0",
    )
    unread = "update preterite_cursor set number = 0, event_id = x'', epoch = 0"
    change(shop.urls["finance"], f"{unread} where {of_sales} and number = 1")
    with process_shop.system.open(databases=shop.urls, log=shop.log_url) as opened:
        relay = opened.runtime.relay("sales")
        relay.step()
        relay.close()
    planned, plan, _ = run("recover", "plan", "-A", APP)
    accepted, told, _ = run("recover", "accept-loss", "-A", APP, "finance", "sales", "--reason", "it was off")
    again, _, _ = run("recover", "plan", "-A", APP)
    refused, _, why = run("recover", "accept-loss", "-A", APP, "finance", "sales")

    assert (planned, accepted, again, refused) == (1, 0, 0, 1)
    assert "finance has not read 1 event of sales that neither the log nor a journal holds any more:" in plan
    assert [str(stream), "1", "1", "1"] in [line.split() for line in plan.splitlines()]
    assert "preterite recover accept-loss finance sales" in plan
    assert told == "finance continues without 1 event of sales\n"
    assert "nothing was changed" in why


def test_status_shows_which_process_does_what(run: Run, shop: RunningShop) -> None:
    shop.publish()
    shop.opened.settle()
    _, shown, _ = run("status", "-A", APP, "--workers")
    row = next(line for line in shown.splitlines() if line.startswith("finance") and ":" in line)

    assert f":{os.getpid()}" in row
    assert row.endswith("yes        0 1 2 3 4 5 6 7")


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """`process_shop`'s system, whose databases and roles are removed at the end."""
    postgres.require()
    monkeypatch.chdir(tmp_path)
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        # Roles belong to the whole server: another process of this test run may be making the same ones.
        admin.execute("SELECT pg_advisory_lock(hashtext('roles of shop'))")
        yield "shop"
        places = premises_of("shop", ("sales", "finance", "shipping"))
        for place in places:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(place.database)))
        for role in (role for place in places for role in (place.owner, place.runner)):
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.mark.slow("PostgreSQL")
def test_provision_prints_makes_proves_and_changes_nothing_the_second_time(
    run: Run, system: str, tmp_path: Path
) -> None:
    dry, printed, _ = run("provision", "-A", APP, "--admin", postgres.ADMIN_URL, "--dry-run")
    file = tmp_path / ".preterite" / "shop.env"
    nothing_yet = file.exists()
    first, proof, _ = run("provision", "-A", APP, "--admin", postgres.ADMIN_URL)
    urls = file.read_text()
    second, _, _ = run("provision", "-A", APP, "--admin", postgres.ADMIN_URL)
    same = file.read_text()
    for one in file.parent.iterdir():
        one.unlink()
    lost, _, why = run("provision", "-A", APP, "--admin", postgres.ADMIN_URL)
    dry_again, _, _ = run("provision", "-A", APP, "--admin", postgres.ADMIN_URL, "--dry-run")

    assert (dry, nothing_yet, first, second, lost, dry_again) == (0, False, 0, 0, 2, 0)
    assert 'permission denied for database "shop_finance"\n' in proof
    assert "CREATE ROLE shop_sales NOSUPERUSER" in printed
    assert " 0 allowed" in proof
    assert same == urls
    assert stat.S_IMODE(tmp_path.joinpath(".preterite").stat().st_mode) == 0o700
    assert {line.partition("=")[0] for line in urls.splitlines()} == {
        *(f"PRETERITE_{name}_URL" for name in ("SALES", "FINANCE", "SHIPPING", "LOG")),
        *(f"PRETERITE_{name}_LOG_URL" for name in ("SALES", "FINANCE", "SHIPPING")),
    }
    assert "--new-passwords" in why


def _provisioned(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, str], dict[str, str]]:
    """Make databases and roles, and use them: the URLs of the roles that run, and of the owners."""
    run("provision", "-A", APP, "--admin", postgres.ADMIN_URL)
    lines = [(folder / ".preterite" / name).read_text().splitlines() for name in FILES]
    urls, owners = ({name: url.strip("'") for name, _, url in (line.partition("=") for line in of)} for of in lines)
    for name, url in {**urls, "PRETERITE_SALES_OWNER_URL": owners["PRETERITE_SALES_OWNER_URL"]}.items():
        monkeypatch.setenv(name, url)
    return urls, owners


@pytest.mark.slow("PostgreSQL")
def test_a_new_log_on_a_server_with_roles_is_made_by_its_owner_alone(
    run: Run, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, owners = _provisioned(run, tmp_path, monkeypatch)
    run("migrate", "up", "-A", APP)
    process_shop.system.open(only=["sales"], create_tables=True).close()
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        admin.execute("DROP DATABASE shop_log WITH (FORCE)")
    run("provision", "-A", APP, "--admin", postgres.ADMIN_URL)
    with pytest.raises(WrongDatabase):
        process_shop.system.open(only=["sales"])
    refused, _, why = run("recover", "new-log", "-A", APP)
    monkeypatch.setenv("PRETERITE_LOG_OWNER_URL", owners["PRETERITE_LOG_OWNER_URL"])
    made, _, said = run("recover", "new-log", "-A", APP)

    assert (refused, made) == (3, 0), said
    assert "Only the owner of the log may do this" in why
    process_shop.system.open(only=["sales"], create_tables=True).close()


@pytest.mark.slow("PostgreSQL")
def test_a_components_role_binds_its_database_once_and_the_logs_owner_alone_replaces_it(
    run: Run, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls, owners = _provisioned(run, tmp_path, monkeypatch)
    monkeypatch.setenv("PRETERITE_LOG_URL", urls["PRETERITE_SALES_LOG_URL"])
    process_shop.system.open(only=["sales"], create_tables=True).close()
    with (
        closing(find(urls["PRETERITE_SALES_LOG_URL"], LogIdentity("shop", ANY_SYSTEM, 8), SystemClock())) as log,
        pytest.raises(ConfigurationError, match="may not act for 'finance'"),
    ):
        log.databases.bind("finance", UUID(int=1))
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        admin.execute("DROP DATABASE shop_sales WITH (FORCE)")
    run("provision", "-A", APP, "--admin", postgres.ADMIN_URL)
    with pytest.raises(WrongDatabase, match="not the database of 'sales' that the log knows"):
        process_shop.system.open(only=["sales"])
    refused, _, why = run("recover", "new-database", "-A", APP, "sales")
    monkeypatch.setenv("PRETERITE_LOG_OWNER_URL", owners["PRETERITE_LOG_OWNER_URL"])
    made, _, said = run("recover", "new-database", "-A", APP, "sales")

    assert (refused, made) == (3, 0), said
    assert "Only the owner of the log may do this" in why
    process_shop.system.open(only=["sales"], create_tables=True).close()


@pytest.mark.slow("PostgreSQL")
def test_the_urls_are_for_their_owner_only(run: Run, system: str, tmp_path: Path) -> None:
    run("provision", "-A", APP, "--admin", postgres.ADMIN_URL, "--urls", str(tmp_path / "urls"))

    assert stat.S_IMODE((tmp_path / "urls").stat().st_mode) == 0o600
