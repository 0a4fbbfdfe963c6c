"""PgQueuer: the job is enqueued in Sales' transaction; its worker reads Sales' database. At least once."""

from __future__ import annotations

import asyncio
import json

import psycopg
from pgqueuer import PgQueuer
from pgqueuer.db import PsycopgDriver, SyncPsycopgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries, SyncQueries

from benchmarks.peers import work

BATCH = 100
CONSUMERS = [["-m", "benchmarks.peers.with_pgqueuer"]]


def prepare() -> None:
    """Its tables."""
    asyncio.run(_install())


async def _install() -> None:
    async with await psycopg.AsyncConnection.connect(work.SALES_URL, autocommit=True) as connection:
        await Queries(PsycopgDriver(connection)).install()


def publish(count: int, first: int) -> None:
    """Sales: purchase and job in one transaction each."""
    with psycopg.connect(work.SALES_URL, autocommit=True) as connection:
        queries = SyncQueries(SyncPsycopgDriver(connection))
        for message in work.messages(count, first):
            with connection.transaction():
                connection.execute(
                    "INSERT INTO purchase (id, product, customer, at) VALUES (%s, %s, %s, %s)",
                    [message["purchase_id"], message["product_id"], message["customer_id"], message["purchased_at"]],
                )
                queries.enqueue("bill", json.dumps(message).encode())


async def _work() -> None:
    engine = work.async_finance_engine()
    async with await psycopg.AsyncConnection.connect(work.SALES_URL, autocommit=True) as connection:
        queuer = PgQueuer(PsycopgDriver(connection))

        @queuer.entrypoint("bill")
        async def bill(job: Job) -> None:
            await work.bill_async(engine, json.loads(job.payload or b"{}"))

        await queuer.run(batch_size=BATCH)


if __name__ == "__main__":
    asyncio.run(_work())
