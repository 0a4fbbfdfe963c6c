"""Django's statements are recorded, on open connections and on new ones."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
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


CODE = {
    "__init__.py": "",
    "shared.py": "class Lazy:\n    def __init__(self, database):\n        self.database = database\n"
    "    def __str__(self):\n        with self.database.cursor() as cursor:\n"
    "            cursor.execute('select * from ' + 'purchase')\n        return ''\n",
    "sales/__init__.py": "from preterite import Component\n"
    "sales = Component('sales', tables='create table purchase (id text)')\n",
    "finance/__init__.py": "from preterite import Component\nfinance = Component('finance')\n",
    "finance/page.html": "\n\n{{ purchases }}\n",
    "finance/views.py": "from django.template import engines\nfrom django.template.response import TemplateResponse\n"
    "def view(request, database, shared, page):\n"
    "    return TemplateResponse(request, page, {'purchases': shared.Lazy(database)})\n",
}


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in CODE.items():
        file = tmp_path / "asked" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path / "asked"
    for name in [name for name in sys.modules if name.partition(".")[0] == "asked"]:
        del sys.modules[name]


@pytest.mark.parametrize("in_a_file", [True, False])
def test_what_is_rendered_after_the_view_has_returned_belongs_to_its_template_or_to_the_view(
    database: Any, code: Path, in_a_file: bool
) -> None:
    from django.core.handlers.base import BaseHandler  # pyright: ignore[reportMissingTypeStubs]
    from django.http import HttpRequest  # pyright: ignore[reportMissingTypeStubs]
    from django.template import Engine  # pyright: ignore[reportMissingTypeStubs]
    from django.template.backends.django import Template  # pyright: ignore[reportMissingTypeStubs]
    from django.urls import path  # pyright: ignore[reportMissingTypeStubs]

    some: dict[str, Any] = {name: importlib.import_module(f"asked.{name}") for name in ("sales", "finance", "shared")}
    view = importlib.import_module("asked.finance.views").view
    engine: Any = Engine(dirs=[str(code / "finance")])
    found: Any = engine.get_template("page.html") if in_a_file else engine.from_string("{{ purchases }}")
    backend: Any = SimpleNamespace(engine=engine, template_context_processors=())
    page: Any = Template(found, backend)
    configured: Any = settings
    configured.MIDDLEWARE, configured.ROOT_URLCONF = [], ""
    handler: Any = BaseHandler()
    handler.load_middleware()
    request: Any = HttpRequest()
    request.path_info, request.method = "/", "GET"
    given = {"database": database, "shared": some["shared"], "page": page}
    urls: Any = ModuleType("urls")
    urls.urlpatterns = [path("", view, given)]
    request.urlconf = urls
    with database.cursor() as cursor:
        cursor.execute("create table if not exists purchase (id text)")
    with recording(System("shop", [some["sales"].sales, some["finance"].finance])) as recorder:
        assert handler.get_response(request).status_code == 200

    (one,) = recorder.findings()
    assert one.key == "cross-component-sql-at-runtime:finance:sales.purchase:read"
    assert one.place == ((code / "finance/page.html", 3) if in_a_file else (code / "finance/views.py", 3))
