"""Backups of whole databases, taken and put back as an operator does: files are copied, servers are dumped."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from support import postgres


class Backup:
    """Keeps one backup of each database in a folder. Nobody has the database open while it is put back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, url: str) -> None:
        """Take a backup, instead of the one before."""
        if url.startswith("sqlite"):
            _copy_file(Path(url.removeprefix("sqlite:///")), self._file(url))
        else:
            _run("pg_dump", "--format=custom", f"--file={self._file(url)}", url)

    def restore(self, url: str) -> None:
        """Put the backup in the place of the database."""
        if url.startswith("sqlite"):
            path = Path(url.removeprefix("sqlite:///"))
            for beside in path.parent.glob(f"{path.name}*"):
                beside.unlink()
            shutil.copyfile(self._file(url), path)
        else:
            _empty(url)
            _run("pg_restore", "--no-owner", f"--dbname={url}", str(self._file(url)))

    def replace(self, url: str, *, ends_connections: bool) -> None:
        """Put it in the place of a server's database that is in use: of the database itself, or of what is in it."""
        if ends_connections:
            put_in_place(self._file(url), url)
        else:
            _run("pg_restore", "--no-owner", "--clean", "--single-transaction", f"--dbname={url}", str(self._file(url)))

    def copy(self, url: str, target: str) -> None:
        """Make another database that is the same."""
        self.save(url)
        if url.startswith("sqlite"):
            path = Path(target.removeprefix("sqlite:///"))
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(self._file(url), path)
        else:
            _empty(target)
            _run("pg_restore", "--no-owner", f"--dbname={target}", str(self._file(url)))

    def _file(self, url: str) -> Path:
        return self._folder / f"backup of {Path(urlsplit(url).path).name}"


def put_in_place(dump: Path, url: str) -> None:
    """Make a database of a dump, and let it take the place of a server's; who has that open is disconnected."""
    server, _, database = url.rpartition("/")
    made = f"{database}_restored"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(made)))
        _run("pg_restore", "--no-owner", f"--dbname={server}/{made}", str(dump))
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database)))
        admin.execute(sql.SQL("alter database {} rename to {}").format(sql.Identifier(made), sql.Identifier(database)))


def _copy_file(path: Path, target: Path) -> None:
    source, made = sqlite3.connect(path), sqlite3.connect(target)
    source.backup(made)
    made.close()
    source.close()


def _empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        postgres.drop_schemas(connection)
        connection.execute("CREATE SCHEMA public")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
