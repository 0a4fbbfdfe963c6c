"""One SQLite file: its settings, what they promise, and the traps of the library and of POSIX."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy
from sqlalchemy.orm import Session
from support.shop import bills, declare, publish, purchased, texts

from preterite.drivers import sqlite as sqlite_file
from preterite.errors import (
    ConfigurationError,
    NotDurable,
    OwnTableRefused,
    StoreUnavailable,
    UnitOfWorkBroken,
    WrongDatabase,
)
from preterite.store.sqlite.store import SqliteDatabase
from preterite.testing import started

NOBODY = 65534


def setting(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"pragma {name}").fetchone()[0]


def test_every_connection_is_durable(tmp_path: Path) -> None:
    connection = sqlite_file.open_file(tmp_path / "a.sqlite")

    assert setting(connection, "journal_mode") == "wal"
    assert setting(connection, "synchronous") == 2
    assert setting(connection, "busy_timeout") == sqlite_file.BUSY_TIMEOUT_MS
    assert sqlite_file.promise(connection).startswith(f"SQLite {sqlite3.sqlite_version}, wal, synchronous=FULL")
    connection.close()


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 54, 1), False),
    ],
)
def test_which_libraries_have_the_wal_reset_bug(version: tuple[int, int, int], affected: bool) -> None:
    assert sqlite_file.has_wal_reset_bug(version) is affected


def test_settings_that_may_lose_commits_are_refused(tmp_path: Path) -> None:
    connection = sqlite_file.open_file(tmp_path / "a.sqlite")
    connection.execute("pragma synchronous=normal")

    with pytest.raises(NotDurable, match="commits are only safe with wal and 2"):
        sqlite_file.promise(connection)
    connection.close()


def test_a_connection_of_the_users_own_is_made_durable_before_it_writes(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    connection.execute("pragma synchronous=off")
    sqlite_file.prepare(connection)

    assert setting(connection, "synchronous") == 2
    connection.close()


def test_a_weak_connection_inside_a_transaction_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    connection.execute("pragma synchronous=normal")
    connection.execute("begin")
    connection.execute("create table a (b)")

    with pytest.raises(NotDurable, match="a commit could be lost on power failure"):
        sqlite_file.prepare(connection)
    connection.close()


def test_the_users_own_engine_does_not_checkpoint_by_itself_where_that_may_lose_commits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite_file, "has_wal_reset_bug", lambda: True)
    shop = declare(bills=False)
    with started(shop.system) as opened:
        engine = sqlalchemy.create_engine(opened.databases["sales"].url)
        with Session(engine) as session:
            with shop.sales.unit_of_work(session) as unit_of_work:
                unit_of_work.publish(purchased("a"))
            pages = session.execute(sqlalchemy.text("pragma wal_autocheckpoint")).scalar()
        engine.dispose()

    assert pages == 0


def test_files_and_folders_are_their_owners_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "deep" / "a.sqlite"
        connection = sqlite_file.open_file(path)
        connection.execute("create table a (b)")
        modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.with_name("a.sqlite-wal"), path.parent)]
        connection.close()
    finally:
        os.umask(before)

    assert modes == [0o600, 0o600, 0o700]


def test_opening_a_file_again_does_not_drop_the_locks_that_this_process_holds_on_it(tmp_path: Path) -> None:
    """POSIX drops every lock of a process on a file when it closes any descriptor of it.

    Another process would then think itself the last one, and delete the write-ahead log that is in use here.
    """
    path = tmp_path / "a.sqlite"
    first = sqlite_file.open_file(path)
    first.execute("create table a (b)")
    sqlite_file.open_file(path).close()
    insert = "c = sqlite3.connect(sys.argv[1]); c.execute('insert into a values (1)'); c.commit(); c.close()"
    seen: list[int] = []
    for _ in range(3):
        subprocess.run([sys.executable, "-c", f"import sqlite3, sys; {insert}", path], check=True)
        seen.append(first.execute("select count(*) from a").fetchone()[0])
    first.close()

    assert seen == [1, 2, 3]
    assert path.with_name("a.sqlite-wal").exists() is False, "and the last one to close tidies up"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql:///x", "x.sqlite"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="names no SQLite file"):
        sqlite_file.path_of(url)


def test_the_drivers_of_sqlalchemy_name_the_same_file() -> None:
    assert {sqlite_file.path_of(f"sqlite{driver}:///a/b") for driver in ("", "+pysqlite", "+aiosqlite")} == {
        Path("a/b").absolute()
    }


def test_being_locked_or_full_is_not_the_callers_fault_but_a_bad_statement_is(tmp_path: Path) -> None:
    holder, other = sqlite_file.open_file(tmp_path / "a.sqlite"), sqlite_file.open_file(tmp_path / "a.sqlite")
    other.execute("pragma busy_timeout=0")
    holder.execute("begin immediate")
    with pytest.raises(sqlite3.OperationalError) as locked:
        other.execute("begin immediate")
    with pytest.raises(sqlite3.OperationalError) as wrong:
        other.execute("select from")
    holder.close()
    other.close()

    assert sqlite_file.is_unavailable(locked.value)
    assert not sqlite_file.is_unavailable(wrong.value)
    assert not sqlite_file.is_unavailable(ValueError("database is locked"))


def test_a_file_that_is_no_database_is_said_so_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, and no database at all\n" * 100)

    with pytest.raises(WrongDatabase, match=r"notes\.txt is no SQLite database that can be read"):
        sqlite_file.open_file(path)
    assert path.read_text().startswith("these are my notes")


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="cannot be opened: "):
        sqlite_file.open_file(tmp_path / "file" / "a.sqlite")


def test_a_file_that_cannot_be_opened_on_a_full_disk_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.sqlite").mkdir()
    full = os.statvfs_result((4096, 4096, 100, 0, 0, 10, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", {tmp_path: full}.__getitem__)

    with pytest.raises(StoreUnavailable, match="and no space is left on its disk"):
        sqlite_file.open_file(tmp_path / "a.sqlite")


def test_connections_that_open_a_new_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    meeting = Barrier(4)

    def open_file(number: int) -> str:
        connection = sqlite3.connect(tmp_path / f"{number // 4}.sqlite", isolation_level=None)
        meeting.wait()
        sqlite_file.configure(connection)
        mode = connection.execute("pragma journal_mode").fetchone()[0]
        connection.close()
        return mode

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(open_file, range(4 * 50))) == {"wal"}


def test_closing_a_connection_gives_up_its_locks_though_a_cursor_was_not_read_to_its_end(tmp_path: Path) -> None:
    first, second = (sqlite_file.open_file(tmp_path / "sales.sqlite") for _ in range(2))
    first.execute("begin immediate")
    unread = first.execute("values (1), (2)")
    unread.fetchone()

    first.close()

    second.execute("pragma busy_timeout = 0")
    second.execute("begin immediate")
    second.close()


ENDLESS = "with recursive n(x) as (select stopping() union all select x + 1 from n) select count(*) from n"


def test_a_connection_that_is_given_up_begins_no_statement_that_waited_for_its_thread(tmp_path: Path) -> None:
    connection = sqlite_file.open_file(tmp_path / "shop.db")
    connection.execute("create table bill (id integer primary key)")
    connection.execute("begin immediate")
    connection.execute("insert into bill values (1)")

    connection.give_up()

    for statement in (ENDLESS.replace("stopping()", "1"), "insert into bill (id) values (2)", "commit"):
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            connection.execute(statement)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        connection.commit()
    connection.close()
    with closing(sqlite_file.open_file(tmp_path / "shop.db")) as after:
        assert after.execute("select count(*) from bill").fetchone() == (0,)


def test_a_statement_that_no_interrupt_has_reached_stops_once_its_connection_is_given_up(tmp_path: Path) -> None:
    connection = sqlite_file.open_file(tmp_path / "shop.db")

    def stopping() -> int:
        # As where the interrupt comes between the look at the statement and its first step.
        connection.is_given_up = True
        return 1

    connection.create_function("stopping", 0, stopping)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        connection.execute(ENDLESS).fetchone()
    connection.close()


def as_another_user(act: Callable[[], object]) -> str:
    """What `act` raises, in a process of a user who is not root, whom no right stops."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = ""
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            act()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with open(reading, "rb") as answer:
        return answer.read().decode()


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A database whose folder every user may enter and only its owner may write, and whose file every user may read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sales.sqlite"
        sqlite_file.open_file(path).close()
        Path(folder).chmod(0o555)
        path.chmod(0o444)
        yield path
        Path(folder).chmod(0o755)


@pytest.mark.parametrize("closed", ["the file", "the folder"])
def test_a_user_who_may_not_open_it_is_told_what_is_closed(theirs: Path, closed: str) -> None:
    (theirs if closed == "the file" else theirs.parent).chmod(0)
    connect = SqliteDatabase(f"sqlite:///{theirs}").connect

    said = as_another_user(connect)
    theirs.parent.chmod(0o755)

    assert said.startswith(f"StoreUnavailable: {theirs} cannot be opened")
    assert "Permission denied" in said or f"may not write {theirs.parent}, {theirs}" in said


def test_a_database_in_a_folder_that_is_closed_is_not_taken_for_a_new_one(theirs: Path) -> None:
    theirs.parent.chmod(0)

    def look() -> None:
        assert SqliteDatabase(f"sqlite:///{theirs}").exists()

    said = as_another_user(look)
    theirs.parent.chmod(0o755)

    assert said == ""


def deny(*_details: object) -> int:
    return sqlite3.SQLITE_DENY


HOOKS: dict[str, Callable[[sqlite3.Connection], None]] = {
    "no authorizer": lambda connection: connection.set_authorizer(None),
    "an authorizer": lambda connection: connection.set_authorizer(deny),
    "a progress handler": lambda connection: connection.set_progress_handler(lambda: 1, 1),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_unit_of_work_cannot_replace_what_keeps_its_transaction_and_own_tables(hook: str) -> None:
    shop = declare()
    with started(shop.system) as opened:
        with pytest.raises(UnitOfWorkBroken, match="Inside a unit of work something tried to"):
            with opened.session(shop.sales) as session, shop.sales.unit_of_work(session) as unit_of_work:
                unit_of_work.publish(purchased("a"))
                HOOKS[hook](session.connection().connection.dbapi_connection)  # pyright: ignore[reportArgumentType]
        publish(opened, shop.sales, purchased("b"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("b")


@pytest.mark.parametrize("hook", HOOKS)
def test_what_a_session_puts_in_their_place_ends_with_its_use_of_the_connection(hook: str) -> None:
    shop = declare()
    with started(shop.system) as opened:
        with opened.session(shop.sales) as session:
            HOOKS[hook](session.connection().connection.dbapi_connection)  # pyright: ignore[reportArgumentType]
        with pytest.raises(OwnTableRefused):
            with opened.session(shop.sales) as session, shop.sales.unit_of_work(session) as unit_of_work:
                unit_of_work.publish(purchased("a"))
                session.execute(sqlalchemy.text("delete from preterite_outbox"))
        publish(opened, shop.sales, purchased("b"))
        opened.settle()

        assert bills(opened, shop.finance) == texts("b")
