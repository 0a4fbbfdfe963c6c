"""A unit of work in an endpoint commits before the response is sent, or the client gets an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
import sqlalchemy
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from support import any_store
from support.shop import ItemPurchased, id_of, purchased, texts

from preterite import Component, System
from preterite.errors import UsageError
from preterite.integrations.fastapi import (
    AsyncUnitOfWorkDependency,
    UnitOfWorkDependency,
    in_async_unit_of_work,
    in_unit_of_work,
    lifespan,
)

TABLES = any_store.sql("""
create table customer (id text primary key);
create table purchase (id text primary key, customer text references customer (id) deferrable initially deferred)
""")
INSERT = sqlalchemy.text("insert into purchase values (:id, :customer)")


class Web:
    """A shop with endpoints, and a client of it."""

    def __init__(self, folder: Path) -> None:
        self.sales = Component("sales", publishes=[ItemPurchased], tables=TABLES)
        self.system = System("shop", [self.sales])
        self.urls = dict(any_store.places(folder, ["sales"]))
        self.log = any_store.log_place(folder)
        self.seen: list[int] = []
        self.app = FastAPI(
            lifespan=lifespan(self.system, databases=self.urls, log=self.log, create_tables=True),
        )
        self.app.post("/purchases/{name}", status_code=201)(self._endpoint())
        self.app.post("/async/{name}", status_code=201)(self._async_endpoint())

    def _endpoint(self) -> Any:
        def purchase(
            name: str, work: Annotated[UnitOfWorkDependency, in_unit_of_work(self.sales)], customer: UUID | None = None
        ) -> str:
            work.session.execute(INSERT, {"id": str(id_of(name)), "customer": customer and str(customer)})
            work.unit_of_work.publish(purchased(name))
            if name == "refused":
                raise HTTPException(409, "the customer is blocked")
            if name == "broken":
                raise RuntimeError("a bug")
            return "purchased"

        purchase.__annotations__["work"] = Annotated[UnitOfWorkDependency, in_unit_of_work(self.sales)]
        return purchase

    def _async_endpoint(self) -> Any:
        async def purchase(name: str, work: AsyncUnitOfWorkDependency, customer: UUID | None = None) -> str:
            await work.session.execute(INSERT, {"id": str(id_of(name)), "customer": customer and str(customer)})
            work.unit_of_work.publish(purchased(name))
            if name == "refused":
                raise HTTPException(409, "the customer is blocked")
            return "purchased"

        purchase.__annotations__["work"] = Annotated[AsyncUnitOfWorkDependency, in_async_unit_of_work(self.sales)]
        return purchase

    def published(self) -> list[str]:
        with self.system.open(databases=self.urls, log=self.log) as shop:
            shop.settle()
            return sorted(str(event.purchase_id) for event in shop.published(ItemPurchased))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with any_store.closing_databases():
        yield Web(tmp_path)


@pytest.mark.parametrize("path", ["purchases", "async"])
def test_what_an_endpoint_publishes_is_committed_when_the_response_is_there(web: Web, path: str) -> None:
    with TestClient(web.app) as client:
        answer = client.post(f"/{path}/a")
        published = web.published()

    assert (answer.status_code, answer.json()) == (201, "purchased")
    assert published == texts("a")


@pytest.mark.parametrize("path", ["purchases", "async"])
def test_a_failing_commit_gives_status_500_and_publishes_nothing(web: Web, path: str) -> None:
    with TestClient(web.app, raise_server_exceptions=False) as client:
        answer = client.post(f"/{path}/a", params={"customer": str(id_of("nobody"))})

    assert answer.status_code == 500
    assert web.published() == []


@pytest.mark.parametrize("path", ["purchases", "async"])
def test_what_an_endpoint_refuses_is_answered_so_and_publishes_nothing(web: Web, path: str) -> None:
    with TestClient(web.app) as client:
        answer = client.post(f"/{path}/refused")

    assert (answer.status_code, answer.json()) == (409, {"detail": "the customer is blocked"})
    assert web.published() == []


def test_an_endpoint_that_raises_publishes_nothing(web: Web) -> None:
    with TestClient(web.app, raise_server_exceptions=False) as client:
        answer = client.post("/purchases/broken")

    assert answer.status_code == 500
    assert web.published() == []


def test_an_application_that_has_not_opened_the_system_gets_an_error_that_names_the_fix(web: Web) -> None:
    client = TestClient(web.app)  # without "with" the lifespan does not run
    with pytest.raises(Exception, match="lifespan=lifespan"):
        client.post("/purchases/a")


def test_an_application_starts_while_the_database_of_another_component_is_away(tmp_path: Path) -> None:
    sales = Component("sales", publishes=[ItemPurchased])
    system = System("shop", [sales, Component("finance")])
    away = tmp_path / "away"
    away.mkdir()
    urls = {"sales": f"sqlite:///{tmp_path}/sales.sqlite", "finance": f"sqlite:///{away}"}
    app = FastAPI(lifespan=lifespan(system, databases=urls, log=f"sqlite:///{tmp_path}/log.sqlite"))

    def purchase(name: str, work: UnitOfWorkDependency) -> None:
        work.unit_of_work.publish(purchased(name))

    purchase.__annotations__["work"] = Annotated[UnitOfWorkDependency, in_unit_of_work(sales)]
    app.post("/{name}")(purchase)
    with TestClient(app) as client:
        assert client.post("/a").status_code == 200


def test_an_application_that_has_ended_writes_nothing_more(web: Web) -> None:
    with TestClient(web.app) as client:
        client.post("/purchases/a")

    with pytest.raises(UsageError, match="in tests `with TestClient"):
        client.post("/purchases/b")
    assert web.published() == texts("a")
