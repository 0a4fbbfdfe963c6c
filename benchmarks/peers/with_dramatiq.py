"""Dramatiq on RabbitMQ: commit, then enqueue. What is committed and not yet enqueued when the process ends is lost."""

from __future__ import annotations

from functools import cache

import dramatiq
import sqlalchemy
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from sqlalchemy.orm import Session

from benchmarks.peers import work

CONSUMERS = [["-m", "dramatiq", "benchmarks.peers.with_dramatiq", "--processes", "2", "--threads", "5"]]

dramatiq.set_broker(RabbitmqBroker(url=work.AMQP_URL, confirm_delivery=True))


@cache
def _engine() -> sqlalchemy.Engine:
    return work.finance_engine()


@dramatiq.actor(queue_name="dramatiq-bench")
def bill(message: work.Message) -> None:
    """What Finance does."""
    work.bill(_engine(), message)


def publish(count: int, first: int) -> None:
    """Sales: a transaction for each purchase, then its message."""
    engine = work.sales_engine()
    for message in work.messages(count, first):
        with Session(engine) as session:
            session.add(work.purchase_of(message))
            session.commit()
        bill.send(message)
