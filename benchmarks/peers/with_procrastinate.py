"""Procrastinate: the job is deferred in Sales' transaction; its worker reads Sales' database. At least once."""

from __future__ import annotations

import asyncio

import procrastinate
import psycopg

from benchmarks.peers import work

CONSUMERS = [["-m", "benchmarks.peers.with_procrastinate"]]

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=work.SALES_URL))
_finance = work.async_finance_engine()


@app.task(name="bill", queue="bench")
async def bill(**message: str) -> None:
    """What Finance does."""
    await work.bill_async(_finance, message)


def prepare() -> None:
    """Its tables."""
    with app.replace_connector(procrastinate.SyncPsycopgConnector(conninfo=work.SALES_URL)) as synchronous:
        synchronous.open()
        synchronous.schema_manager.apply_schema()
        synchronous.close()


def publish(count: int, first: int) -> None:
    """Sales: purchase and job in one transaction each."""
    connector = procrastinate.SyncPsycopgConnector(conninfo=work.SALES_URL)
    with app.replace_connector(connector) as synchronous, psycopg.connect(work.SALES_URL) as connection:
        synchronous.open()
        for message in work.messages(count, first):
            with connection.transaction():
                connection.execute(
                    "INSERT INTO purchase (id, product, customer, at) VALUES (%s, %s, %s, %s)",
                    [message["purchase_id"], message["product_id"], message["customer_id"], message["purchased_at"]],
                )
                synchronous.tasks["bill"].configure(connection=connection).defer(**message)
        synchronous.close()


async def _work() -> None:
    async with app.open_async():
        await app.run_worker_async(queues=["bench"], concurrency=work.CONCURRENCY, delete_jobs="successful")


if __name__ == "__main__":
    asyncio.run(_work())
