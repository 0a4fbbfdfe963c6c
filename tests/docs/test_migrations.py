"""The page about migrations as it stands, for the shop of the README: on SQLite, and as the owners on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from support import postgres
from support.documents import Reader

from preterite.log.contract import LogIdentity
from preterite.operations import provisioning
from preterite.operations.provisioning import LogDeclaration, Server
from preterite.settings import owner_variable, url_variable

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "migrate-your-tables.md"


def follow(folder: Path, system: str, environment: Mapping[str, str]) -> Reader:
    """Do all that the page says; what it makes is in the folder."""
    shop = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL))
    reader = Reader(folder, environment)
    # As after a deployment: nothing but migrations makes tables.
    shop = shop.replace('System("shop"', f'System("{system}"').replace("create_tables=True", "")
    reader.write(f"# shop.py\n{shop}")
    reader.follow(PAGE.read_text(encoding="utf-8"))
    return reader


@pytest.mark.slow("processes")
def test_the_page_makes_the_tables_on_sqlite_and_leaves_preterites_alone(tmp_path: Path) -> None:
    reader = follow(tmp_path, "shop", {})

    assert reader.printed[-1] == "1 bill\n"
    assert [text for text in reader.printed if "No new upgrade operations detected." in text] == reader.printed[-3:-1]


@pytest.fixture
def roles() -> Iterator[tuple[str, dict[str, str]]]:
    """A system that was provisioned, by name, and the URLs of its roles as variables of the environment."""
    postgres.require()
    system, names = f"test{uuid4().hex[:8]}", ["sales", "finance"]
    places = provisioning.premises_of(system, names)
    passwords = {role: provisioning.new_password() for place in places for role in (place.owner, place.runner)}
    server = Server(postgres.ADMIN_URL)
    declared = LogDeclaration(LogIdentity(system, uuid4(), 8), {"finance": ["sales"]})
    provisioning.provision(server, places, passwords, lambda _name: None, declared)
    variables: dict[str, str] = {}
    for one in places:
        variables[url_variable(one.component)] = server.url(one.runner, passwords[one.runner], one.database)
        variables[owner_variable(one.component)] = server.url(one.owner, passwords[one.owner], one.database)
    server.close()
    yield system, variables
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        for place in places:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(place.database)))
        for role in (role for place in places for role in (place.owner, place.runner)):
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.mark.slow("PostgreSQL")
def test_the_page_makes_the_tables_on_postgresql_as_their_owners(
    roles: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    reader = follow(tmp_path, *roles)

    assert reader.printed[-1] == "1 bill\n"
    assert [text for text in reader.printed if "No new upgrade operations detected." in text] == reader.printed[-3:-1]
