"""Celery on RabbitMQ: commit, then enqueue. What is committed and not yet enqueued when the process ends is lost."""

from __future__ import annotations

from functools import cache

import sqlalchemy
from celery import Celery
from sqlalchemy.orm import Session

from benchmarks.peers import work

CONSUMERS = [["-m", "celery", "-A", "benchmarks.peers.with_celery", "worker", "--loglevel", "ERROR",
              "--pool", "prefork", "--concurrency", "4", "--prefetch-multiplier", "32",
              "--without-gossip", "--without-mingle", "--without-heartbeat"]]  # fmt: skip

app = Celery("bench", broker=work.AMQP_URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue="celery-bench",
    worker_detect_quorum_queues=False,
    broker_transport_options={"confirm_publish": True},
)


@cache
def _engine() -> sqlalchemy.Engine:
    return work.finance_engine()


@app.task
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
        bill.delay(message)
