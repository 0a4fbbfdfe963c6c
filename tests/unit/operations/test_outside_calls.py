"""What a rehearsed handler does outside of its database is refused and counted; what it needs to work is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from preterite.errors import OutsideCallRefused, PreteriteError
from preterite.operations.outside_calls import OutsideCalls

OUTSIDE = Path(__file__).parent / "written by a test that has failed"
"""A file that must not come to be; not in the folder for temporary files."""


def _connect() -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))


def _send() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.sendto(b"mail", ("127.0.0.1", 9))


def _connect_in_a_task() -> None:
    async def connect() -> None:
        await asyncio.open_connection("127.0.0.1", 9)

    asyncio.run(connect())


def _connect_in_a_thread_that_is_awaited() -> None:
    asyncio.run(asyncio.to_thread(_connect))


REFUSED: dict[str, Callable[[], object]] = {
    "connect": _connect,
    "send": _send,
    "connect in a task": _connect_in_a_task,
    "connect in a thread that is awaited": _connect_in_a_thread_that_is_awaited,
    "run a program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "a shell": lambda: subprocess.run("true", shell=True, check=True),
    "fork": os.fork,
    "write": lambda: OUTSIDE.write_text("mail"),
    "append": lambda: OUTSIDE.open("a").close(),
    "append to a temporary file that is there": lambda: (Path(tempfile.gettempdir()) / "mails").open("a").close(),
    "rename": lambda: OUTSIDE.rename(OUTSIDE.with_suffix(".old")),
    "remove": OUTSIDE.unlink,
    "remove a folder": lambda: shutil.rmtree(OUTSIDE),
    "another SQLite file": lambda: sqlite3.connect(OUTSIDE),
    "make a folder": OUTSIDE.mkdir,
    "remove an empty folder": OUTSIDE.rmdir,
    "a symbolic link": lambda: OUTSIDE.symlink_to(__file__),
    "a hard link": lambda: OUTSIDE.hardlink_to(__file__),
    "rename a temporary file to it": lambda: Path(tempfile.gettempdir(), "mails").rename(OUTSIDE),
    "rights": lambda: OUTSIDE.chmod(0),
    "times": lambda: os.utime(OUTSIDE),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_reaches_outside_is_refused_and_counted(what: str, tmp_path: Path) -> None:
    calls = OutsideCalls(tmp_path / "copies")
    with calls.refusing("mail"), pytest.raises(OutsideCallRefused, match="A rehearsal of mail refused") as caught:
        REFUSED[what]()
    assert isinstance(caught.value, PreteriteError)
    assert [handler for handler, _ in calls.refused] == ["mail"]
    assert not OUTSIDE.exists()


def test_what_is_caught_by_the_handler_is_counted_all_the_same(tmp_path: Path) -> None:
    calls = OutsideCalls(tmp_path)
    with calls.refusing("mail"), contextlib.suppress(OSError):
        _connect()
    assert dict(calls.refused) == {("mail", "a connection to 127.0.0.1:9"): 1}


def _use_temporary_files() -> None:
    folder = tempfile.mkdtemp()
    (Path(folder) / "page").open("x").close()
    shutil.rmtree(folder)
    with tempfile.NamedTemporaryFile() as one:
        one.write(b"page")


ALLOWED: dict[str, Callable[[Path], object]] = {
    "read": lambda _folder: Path(__file__).read_text(),
    "write in the folder of the copies": lambda folder: (folder / "log").write_text("x"),
    "the copies": lambda folder: sqlite3.connect(folder / "first").close(),
    "a database in memory": lambda _folder: sqlite3.connect(":memory:").close(),
    "new temporary files": lambda _folder: _use_temporary_files(),
    "the null device": lambda _folder: Path(os.devnull).write_text("x"),
    "an event loop": lambda _folder: asyncio.run(asyncio.sleep(0)),
}


@pytest.mark.parametrize("what", ALLOWED)
def test_what_stays_inside_is_allowed(what: str, tmp_path: Path) -> None:
    calls = OutsideCalls(tmp_path)
    with calls.refusing("bill"):
        ALLOWED[what](tmp_path)
    assert not calls.refused


def test_other_threads_and_what_comes_after_are_left_alone(tmp_path: Path) -> None:
    calls = OutsideCalls(tmp_path / "copies")
    with calls.refusing("mail"):
        thread = threading.Thread(target=(tmp_path / "other").write_text, args=["x"])
        thread.start()
        thread.join()
    (tmp_path / "later").write_text("x")
    assert (tmp_path / "other").exists()
    assert not calls.refused


def test_all_other_threads_are_refused_where_the_process_only_rehearses(tmp_path: Path) -> None:
    calls = OutsideCalls(tmp_path / "copies")
    with ThreadPoolExecutor(1) as before, ThreadPoolExecutor(1) as meanwhile:
        before.submit(int).result()
        with calls.refusing_elsewhere():
            (tmp_path / "by the command itself").touch()
            with calls.refusing("mail"):
                for pool in (before, meanwhile):
                    with pytest.raises(OutsideCallRefused, match="A rehearsal of mail refused"):
                        pool.submit(OUTSIDE.write_text, "mail").result()
            with pytest.raises(OutsideCallRefused):
                before.submit(OUTSIDE.write_text, "mail").result()
        with pytest.raises(OutsideCallRefused):
            meanwhile.submit(OUTSIDE.write_text, "mail").result()
        before.submit((tmp_path / "by another thread afterwards").touch).result()
    assert calls.refused == {("mail", f"a write to {OUTSIDE}"): 4}
    assert len(list(tmp_path.iterdir())) == 2
