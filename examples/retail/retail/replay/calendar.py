"""Where the replay stops, which baskets lie between, and what is cancelled when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from retail.replay.lines import Line

FINANCE_DAYS = (1, 15, 16, 24, 25, 26, 27)
PACKING_HOUR = 22
DAY = timedelta(days=1)
CANCELLED_AFTER = timedelta(minutes=10)
CANCELLED_LINES = 100


@dataclass(frozen=True)
class Cancellation:
    """A customer takes back what one line was."""

    line: Line
    at: datetime


Moment = datetime | Cancellation | Sequence[Line]
"""A stop: a midnight at which Finance acts, or an evening at which Shipping packs; a cancellation; or a basket."""


def moments(baskets: Iterator[Sequence[Line]], first: datetime, last: datetime) -> Iterator[Moment]:
    """Everything in order, from the month of the first line to the last day of the month after the last.

    At one instant a stop comes first, then cancellations, then baskets.
    """
    waiting: list[Cancellation] = []
    stopping = stops(first, last)
    stop = next(stopping, None)
    for basket in baskets:
        at = basket[0].at
        while waiting or (stop is not None and stop <= at):
            if stop is not None and stop <= at and (not waiting or stop <= waiting[0].at):
                yield stop
                stop = next(stopping, None)
            elif waiting[0].at <= at:
                yield waiting.pop(0)
            else:
                break
        yield basket
        waiting += [Cancellation(one, at + CANCELLED_AFTER) for one in basket if one.number % CANCELLED_LINES == 0]
    yield from waiting
    while stop is not None:
        yield stop
        stop = next(stopping, None)


def stops(first: datetime, last: datetime) -> Iterator[datetime]:
    """Finance's midnights and Shipping's evenings."""
    midnight, end = first_of_month(first), last_of_next_month(last)
    while midnight <= end:
        if midnight.day in FINANCE_DAYS:
            yield midnight
        yield midnight.replace(hour=PACKING_HOUR)
        midnight += DAY


def first_of_month(at: datetime) -> datetime:
    """Midnight of the first day of this month."""
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def last_of_next_month(at: datetime) -> datetime:
    """Midnight of the last day of the following month."""
    next_month = first_of_month(first_of_month(at) + timedelta(days=32))
    return first_of_month(next_month + timedelta(days=32)) - DAY
