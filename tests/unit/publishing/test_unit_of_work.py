"""Units of work: what waits for the end of a transaction goes with the savepoint in which it was published."""

from __future__ import annotations

import pytest
from support.shop import declare, purchased

from preterite.errors import ConfigurationError, UnitOfWorkSealed
from preterite.publishing.pending import PendingMessages
from preterite.publishing.transaction import transaction_on
from preterite.store.rows import OutboxRow
from preterite.testing import started


def row(name: str) -> OutboxRow:
    return OutboxRow(0, purchased(name).purchase_id.bytes, b"{}")


def test_what_a_savepoint_has_taken_back_is_not_among_the_rows_to_be_written() -> None:
    shop = declare()
    with started(shop.system) as opened, opened.session(shop.sales) as session:
        work = transaction_on(session)
        work.begin()
        outgoing = PendingMessages(work)
        outgoing.add(row("a"), "It was published")
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            outgoing.add(row("b"), "It was published")
            with session.begin_nested():
                outgoing.add(row("c"), "It was published")
            _ = 1 / 0
        with session.begin_nested():
            outgoing.add(row("d"), "It was published")

        assert outgoing.seal() == [row("a"), row("d")]
        work.rollback()


@pytest.mark.parametrize("module", ["psycopg2.extensions", "pymysql.connections", "builtins"])
def test_a_connection_of_another_driver_is_refused_in_one_sentence(module: str) -> None:
    other = type("connection", (), {"__module__": module})()

    with pytest.raises(ConfigurationError, match=r"give a sqlite3 or psycopg \(version 3\) connection"):
        transaction_on(other)


def test_nothing_more_is_taken_once_it_is_sealed() -> None:
    shop = declare()
    with started(shop.system) as opened, opened.session(shop.sales) as session:
        work = transaction_on(session)
        work.begin()
        outgoing = PendingMessages(work)
        before = outgoing.sealed
        outgoing.seal()

        # Another thread had found it open just before.
        with pytest.raises(UnitOfWorkSealed, match="It was published after its unit of work had ended"):
            outgoing.add(row("late"), "It was published")
        with pytest.raises(UnitOfWorkSealed, match="It was cancelled after its unit of work had ended"):
            outgoing.defer(lambda _store, _connection: None, "It was cancelled")

        assert (before, outgoing.sealed, outgoing.seal()) == (False, True, [])
        work.rollback()
