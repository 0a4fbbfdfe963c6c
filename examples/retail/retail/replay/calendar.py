"""When Finance acts, and which baskets lie between. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from retail.replay.lines import Line

FINANCE_DAYS = (1, 15, 16, 24, 25, 26, 27)
DAY = timedelta(days=1)

Moment = datetime | Sequence[Line]
"""A midnight at which Finance acts, or a basket."""


def moments(baskets: Iterator[Sequence[Line]], first: datetime, last: datetime) -> Iterator[Moment]:
    """Midnights and baskets in order, from the month of the first line to the last day of the month after the last."""
    midnight, end = first_of_month(first), last_of_next_month(last)
    for basket in baskets:
        while midnight <= basket[0].at:
            if midnight.day in FINANCE_DAYS:
                yield midnight
            midnight += DAY
        yield basket
    while midnight <= end:
        if midnight.day in FINANCE_DAYS:
            yield midnight
        midnight += DAY


def first_of_month(at: datetime) -> datetime:
    """Midnight of the first day of this month."""
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def last_of_next_month(at: datetime) -> datetime:
    """Midnight of the last day of the following month."""
    next_month = first_of_month(first_of_month(at) + timedelta(days=32))
    return first_of_month(next_month + timedelta(days=32)) - DAY
