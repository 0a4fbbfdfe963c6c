"""DBOS: a workflow enqueued after the commit, its bill in a transaction that notes its own completion."""

from __future__ import annotations

import threading

from dbos import DBOS, DBOSClient, SQLAlchemyDatasource
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.peers import work

POLL_SECONDS = 0.1
CONSUMERS = [["-m", "benchmarks.peers.with_dbos"]]


def prepare() -> None:
    """Its tables, in Sales' database."""
    DBOSClient(system_database_url=work.SALES_URL)
    _start()
    DBOS.destroy()


def publish(count: int, first: int) -> None:
    """Sales: a transaction for each purchase, then its workflow."""
    engine = work.sales_engine()
    client = DBOSClient(system_database_url=work.SALES_URL)
    for message in work.messages(count, first):
        with Session(engine) as session:
            session.add(work.purchase_of(message))
            session.commit()
        client.enqueue(
            {"queue_name": "bench", "workflow_name": "bill", "workflow_id": message["purchase_id"], "app_version": "1"},
            message,
        )


def _start() -> None:
    DBOS(config={"name": "bench", "system_database_url": work.SALES_URL, "application_version": "1",
                 "run_admin_server": False, "log_level": "ERROR"})  # fmt: skip
    finance = SQLAlchemyDatasource.create(work.FINANCE_URL)

    @finance.transaction(isolation_level="READ COMMITTED")
    def write(message: work.Message) -> None:
        session = finance.sql_session()
        price = session.scalars(select(work.Price).where(work.Price.product == message["product_id"])).one()
        session.add(work.billable_of(message, price))

    @DBOS.workflow(name="bill")
    def bill(message: work.Message) -> None:
        write(message)

    _ = bill
    DBOS.launch()
    DBOS.register_queue("bench", worker_concurrency=work.CONCURRENCY, polling_interval_sec=POLL_SECONDS)


if __name__ == "__main__":
    _start()
    threading.Event().wait()
