"""What of a batch runs, and what is parked instead: decided before anything runs. Pure; it reads and writes nothing.

Order is kept per lane, publisher and key: behind an event that is parked, later events of the same key park too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from preterite.handling.delivery import Delivery
from preterite.handling.failure import failure_of
from preterite.handling.sagas import waited_for
from preterite.handling.sources import Source
from preterite.recoverability import DeadLetter, RetryLater
from preterite.store.rows import Parked
from preterite.topology import BoundHandler

NO_HANDLER = ""
LaneKey = tuple[str, str, str]
"""What is kept in order: lane, publisher, key."""


class HandlerCall(NamedTuple):
    """An event, by its place in the batch, and a handler."""

    delivery: int
    handler: str


@dataclass
class Plan:
    """Which handlers run on which delivery, what is parked instead, and which lanes are blocked."""

    runs: list[Sequence[BoundHandler]]
    parked: list[tuple[int, Parked]]
    blocked: set[LaneKey]


def plan_batch(
    deliveries: Sequence[Delivery],
    failed: Mapping[HandlerCall, Parked],
    blocked: set[LaneKey],
    source: Source,
    now: float,
) -> Plan:
    """Decide what runs. `failed` are the calls that failed in this batch, `blocked` the lanes that hold parked rows."""
    plan = Plan([], [], blocked)
    for index, delivery in enumerate(deliveries):
        if delivery.fault is not None:
            _set_aside(plan, index, delivery, source, now)
        elif plan.blocked or failed:
            _sort(plan, index, delivery, failed, source)
        else:
            plan.runs.append(source.handlers(delivery))
    return plan


def _set_aside(plan: Plan, index: int, delivery: Delivery, source: Source, now: float) -> None:
    """What cannot be decoded runs for no handler, and blocks its lane if that is known."""
    rows = parked_rows(delivery, source, now)
    plan.parked += [(index, row) for row in rows]
    plan.blocked |= {(row.lane, delivery.record.stream.publisher, row.key) for row in rows if row.key is not None}
    plan.runs.append(())


def _sort(plan: Plan, index: int, delivery: Delivery, failed: Mapping[HandlerCall, Parked], source: Source) -> None:
    """Per handler: in a blocked lane the event parks; a call that failed parks and blocks its lane from here on."""
    running: list[BoundHandler] = []
    newly_blocked: set[LaneKey] = set()
    for bound in source.handlers(delivery):
        failed_row = failed.get(HandlerCall(index, bound.name))
        lane_key = (bound.handler.lane, delivery.record.stream.publisher, delivery.key or "")
        if delivery.key is not None and lane_key in plan.blocked:
            plan.parked.append((index, parked_row(delivery, bound, source)))
        elif failed_row is not None:
            plan.parked.append((index, failed_row))
            if delivery.key is not None:
                newly_blocked.add(lane_key)
        else:
            running.append(bound)
    plan.blocked |= newly_blocked
    plan.runs.append(running)


def segments(deliveries: Sequence[Delivery]) -> Iterator[tuple[int, int]]:
    """The batch cut into single deliveries and runs of one type with a batch handler, in order.

    A run ends before a key comes again if the type has another handler: later events of a key wait for all handlers
    of the earlier ones.
    """
    start = 0
    while start < len(deliveries):
        end = start + 1
        subscription = deliveries[start].subscription
        if subscription is not None and subscription.in_runs:
            alone = len(subscription.handlers) == 1
            keys = {deliveries[start].key}
            while end < len(deliveries) and deliveries[end].subscription is subscription:
                if not alone:
                    if deliveries[end].key in keys:
                        break
                    keys.add(deliveries[end].key)
                end += 1
        yield start, end
        start = end


def parked_rows(delivery: Delivery, source: Source, now: float) -> list[Parked]:
    """The delivery parked for each of its handlers; one that cannot be decoded once, for no handler."""
    if delivery.subscription is not None:
        rows = [parked_row(delivery, bound, source) for bound in source.handlers(delivery)]
        if delivery.fault is None:
            return rows
        return [replace(row, state="undecodable", failure=delivery.fault, failed_at=now) for row in rows]
    if delivery.fault is None or source.is_replay:
        # What has no handler was set aside when it was read live; history does not bring it back.
        return []
    row = Parked(handler=NO_HANDLER, lane="", record=delivery.record, key=None, type=delivery.record.kind)
    return [replace(row, state="dead", failure=delivery.fault, failed_at=now)]


def parked_row(delivery: Delivery, bound: BoundHandler, source: Source) -> Parked:
    """The delivery parked for one handler, due now."""
    assert delivery.subscription is not None, "only a known type has handlers"
    return Parked(
        handler=bound.name,
        lane=bound.handler.lane,
        record=delivery.record,
        key=delivery.key,
        type=delivery.subscription.wire_name,
        due_at=source.due_at(delivery),
        saga=waited_for(bound, delivery),
        replay=source.mode(delivery),
    )


def failed_row(
    delivery: Delivery, bound: BoundHandler, error: BaseException, source: Source, now: float, fraction: float
) -> Parked:
    """The delivery parked after its first failed attempt: due as the handler's recoverability says, or dead."""
    row = replace(parked_row(delivery, bound, source), attempts=1, failure=failure_of(error), failed_at=now)
    decision = bound.recoverability.decide(1, fraction, error=error)
    if isinstance(decision, DeadLetter):
        return replace(row, state="dead")
    return replace(row, due_at=now + (decision.seconds if isinstance(decision, RetryLater) else 0.0))


def skipped(deliveries: Sequence[Delivery]) -> Mapping[tuple[str, str], int]:
    """How many deliveries, by publisher and type, are of types that no component declares."""
    return Counter(
        (delivery.record.stream.publisher, delivery.envelope.type)
        for delivery in deliveries
        if delivery.unknown and delivery.envelope
    )
