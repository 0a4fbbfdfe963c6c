"""FastStream on RabbitMQ, with a hand-written outbox and inbox: nothing lost, nothing doubled, no order."""

from __future__ import annotations

import asyncio
import json
import sys

from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from benchmarks.peers import work

RELAY_BATCH = 100
POLL_SECONDS = 0.02
CONSUMERS = [
    ["-m", "faststream", "run", "benchmarks.peers.with_faststream:app", "--log-level", "error"],
    ["-m", "benchmarks.peers.with_faststream", "relay"],
]

broker = RabbitBroker(work.AMQP_URL, logger=None)
app = FastStream(broker)
_queue = RabbitQueue("faststream-bench", durable=True, queue_type=QueueType.QUORUM)
_finance = work.async_finance_engine()


@broker.subscriber(_queue, channel=Channel(prefetch_count=work.CONCURRENCY), ack_policy=AckPolicy.NACK_ON_ERROR)
async def bill(message: work.Message) -> None:
    """What Finance does; the key of its row is the inbox."""
    await work.bill_async(_finance, message)


def publish(count: int, first: int) -> None:
    """Sales: purchase and outbox row in one transaction each."""
    engine = work.sales_engine()
    for message in work.messages(count, first):
        with Session(engine) as session:
            session.add(work.purchase_of(message))
            session.add(work.Outbox(body=json.dumps(message)))
            session.commit()


async def relay() -> None:
    """Read the outbox in order, publish with confirms, delete what is confirmed."""
    engine = create_async_engine(work.driver_url(work.SALES_URL))
    async with broker:
        await broker.connect()
        while True:
            async with AsyncSession(engine) as session:
                rows = (await session.scalars(select(work.Outbox).order_by(work.Outbox.id).limit(RELAY_BATCH))).all()
                if not rows:
                    await asyncio.sleep(POLL_SECONDS)
                    continue
                await asyncio.gather(
                    *(broker.publish(json.loads(row.body), queue=_queue, persist=True) for row in rows)
                )
                await session.execute(delete(work.Outbox).where(work.Outbox.id.in_([row.id for row in rows])))
                await session.commit()


if __name__ == "__main__" and sys.argv[1:] == ["relay"]:
    asyncio.run(relay())
