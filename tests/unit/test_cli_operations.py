"""`preterite migrate`, `recover`, `provision`, and who does what: what operators do with databases."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import lossy_logs
import postgres
import psycopg
import pytest
from backups import Backup
from command_line import Run
from processes import RunningShop
from psycopg import sql

from preterite.log import Stream
from preterite.provisioning import premises_of

APP = "process_shop:system"


def test_migrate_says_what_is_missing_prints_it_and_runs_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SALES", "FINANCE", "SHIPPING"):
        monkeypatch.setenv(f"PRETERITE_{name}_URL", f"sqlite:///{tmp_path}/{name}.sqlite")
    before, _, _ = run("migrate", "status", APP)
    _, script, _ = run("migrate", "sql", APP)
    done, table, _ = run("migrate", "up", APP)
    after, _, _ = run("migrate", "status", APP)
    _, nothing, _ = run("migrate", "sql", APP)

    assert (before, done, after) == (1, 0, 0)
    assert "CREATE TABLE preterite_outbox" in script
    assert "INSERT INTO preterite_migration (number) VALUES (1);" in script
    assert nothing == ""
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
    planned, plan, _ = run("recover", "plan", APP)
    accepted, told, _ = run("recover", "accept", APP, "sales", "--reason", "restored")
    again, over, _ = run("recover", "plan", APP)
    refused, _, why = run("recover", "accept", APP, "sales")

    assert (planned, accepted, again, refused) == (1, 0, 0, 1)
    assert "sales has published 1 events that its database does not know" in plan
    assert "sales.ItemPurchased" in plan
    assert "preterite recover accept sales" in plan
    assert "sales knows 1 more events" in told
    assert over == "nothing was forgotten, and nobody went back\n"
    assert "nothing was changed" in why


def test_recover_lets_a_subscriber_follow_a_publisher_that_went_back(run: Run, shop: RunningShop) -> None:
    shop.publish()
    shop.opened.settle()
    stream = next(Stream("sales", n) for n in range(8) if shop.opened.log.end(Stream("sales", n)).number)
    lossy_logs.lose(shop.opened.log, stream, [1])
    planned, plan, _ = run("recover", "plan", APP)
    followed, told, _ = run("recover", "follow", APP, "finance", "sales")

    assert (planned, followed) == (1, 0)
    assert f"finance has read {stream} up to 1; it ends at 0 now" in plan
    assert "finance goes on in 1 streams of sales" in told


def test_status_says_who_does_what(run: Run, shop: RunningShop) -> None:
    shop.publish()
    shop.opened.settle()
    _, shown, _ = run("status", APP, "--work")
    row = next(line for line in shown.splitlines() if line.startswith("finance") and ":" in line)

    assert f":{os.getpid()}" in row
    assert row.endswith("relay      0 1 2 3 4 5 6 7")


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """`process_shop`'s system, whose databases and roles are removed at the end."""
    postgres.require()
    monkeypatch.chdir(tmp_path)
    yield "shop"
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        for place in premises_of("shop", ("sales", "finance", "shipping")):
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(place.database)))
            for role in (place.owner, place.runner):
                admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def test_provision_prints_makes_proves_and_changes_nothing_the_second_time(
    run: Run, system: str, tmp_path: Path
) -> None:
    dry, printed, _ = run("provision", APP, "--admin", postgres.ADMIN_URL, "--dry-run")
    file = tmp_path / ".preterite" / "shop.env"
    nothing_yet = file.exists()
    first, proof, _ = run("provision", APP, "--admin", postgres.ADMIN_URL)
    urls = file.read_text()
    second, _, _ = run("provision", APP, "--admin", postgres.ADMIN_URL)
    same = file.read_text()
    file.unlink()
    lost, _, why = run("provision", APP, "--admin", postgres.ADMIN_URL)
    dry_again, _, _ = run("provision", APP, "--admin", postgres.ADMIN_URL, "--dry-run")

    assert (dry, nothing_yet, first, second, lost, dry_again) == (0, False, 0, 0, 2, 0)
    assert 'permission denied for database "shop_finance"\n' in proof
    assert "CREATE ROLE shop_sales NOSUPERUSER" in printed
    assert " 0 allowed" in proof
    assert same == urls
    assert stat.S_IMODE(tmp_path.joinpath(".preterite").stat().st_mode) == 0o700
    assert {line.partition("=")[0] for line in urls.splitlines()} == {
        f"PRETERITE_{name}_{kind}" for name in ("SALES", "FINANCE", "SHIPPING", "LOG") for kind in ("URL", "OWNER_URL")
    }
    assert "--new-passwords" in why


def test_the_urls_are_for_their_owner_only(run: Run, system: str, tmp_path: Path) -> None:
    run("provision", APP, "--admin", postgres.ADMIN_URL, "--urls", str(tmp_path / "urls"))

    assert stat.S_IMODE((tmp_path / "urls").stat().st_mode) == 0o600
