"""Django's statements are recorded, on open connections and on new ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django  # pyright: ignore[reportMissingTypeStubs]
import pytest
from django.conf import settings  # pyright: ignore[reportMissingTypeStubs]
from django.db import connections  # pyright: ignore[reportMissingTypeStubs]

from preterite import Component, System
from preterite.checks.recording import Recorder, recording

SALES = Component("sales", tables="create table purchase (id text)")
FINANCE = Component("finance", tables="create table bill (id text)")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    file = tmp_path_factory.mktemp("django") / "shop.sqlite"
    configured: Any = settings
    configured.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}})
    django.setup()
    yield connections["default"]
    connections.close_all()


class Listening(Recorder):
    """Keeps the statements."""

    def __init__(self) -> None:
        super().__init__(System("shop", [SALES, FINANCE]), {})
        self.texts: list[str] = []

    def ran(self, statement: str, connection: object = None, dialect: object = None) -> None:
        self.texts.append(statement)


@pytest.mark.parametrize("opened_before", [False, True])
def test_statements_of_django_are_recorded(database: Any, opened_before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from preterite.checks.recording import hooks as module

    database.close()
    if opened_before:
        database.ensure_connection()
    listening = Listening()
    with recording(System("shop", [SALES, FINANCE])), monkeypatch.context() as patched:
        patched.setattr(module, "_recorders", [listening])
        with database.cursor() as cursor:
            cursor.execute("select 1 as one")
    before = len(listening.texts)
    with database.cursor() as cursor:
        cursor.execute("select 2 as two")

    assert any("select 1 as one" in text for text in listening.texts)
    assert len(listening.texts) == before, "nothing is recorded after the recording has ended"
    assert Path(database.settings_dict["NAME"]).exists()
