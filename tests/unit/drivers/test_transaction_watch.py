"""The watch over a transaction: which statements end it, and which positions a savepoint has taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preterite.drivers.transaction_watch import TransactionWatch, controls
from preterite.errors import UnitOfWorkBroken


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SAVEPOINT sa_savepoint_1", [("begun", "sa_savepoint_1")]),
        ("savepoint 'a'", [("begun", "a")]),
        ('savepoint "A"', [("begun", "a")]),
        ("release a", [("released", "a")]),
        ("RELEASE SAVEPOINT a", [("released", "a")]),
        ("rollback transaction to savepoint a", [("undone", "a")]),
        ("ROLLBACK TO a", [("undone", "a")]),
        ("-- why\n /* so */ Commit", [("end", "")]),
        ("  END", [("end", "")]),
        ("rollback", [("end", "")]),
        ("ABORT WORK", [("end", "")]),
        ("prepare transaction 'x'", [("end", "")]),
        ("savepoint a; insert into t values (';commit'); rollback to a", [("begun", "a"), ("undone", "a")]),
        ("insert into t values (1); commit; begin", [("end", "")]),
        ("select 1; $$ ; commit $$", []),
        ("update t set ended = 'a; commit' where commit = 1", []),
        ("endless", []),
        ("releases", []),
        ("prepare plan as select 1", []),
        ("select 'savepoint a'", []),
    ],
)
def test_statements_that_move_savepoints_or_end_the_transaction_are_found(
    text: str, found: list[tuple[str, str]]
) -> None:
    assert [tuple(control) for control in controls(text)] == found


def run(watch: TransactionWatch, text: str) -> None:
    watch.before_statement(text, in_transaction=True)
    watch.after_statement()


@given(st.lists(st.tuples(st.sampled_from(["savepoint", "release", "rollback to", "write"]), st.sampled_from("ab"))))
def test_what_is_live_is_what_a_database_would_keep(steps: list[tuple[str, str]]) -> None:
    watch = TransactionWatch(refuses=False)
    positions: list[int] = []
    kept: list[int] = []
    stack: list[tuple[str, int]] = []
    for word, name in steps:
        if word == "write":
            positions.append(watch.position())
            kept.append(positions[-1])
            continue
        depths = [at for at, (known, _) in enumerate(stack) if known == name]
        if word == "savepoint":
            stack.append((name, len(kept)))
        elif not depths:
            continue
        elif word == "release":
            del stack[depths[-1] :]
        else:
            del kept[stack[depths[-1]][1] :]
            del stack[depths[-1] + 1 :]
        run(watch, f"{word} {name}")

    assert [position for position in positions if watch.is_live(position)] == kept


def test_what_is_refused_is_remembered_and_a_rollback_is_the_end() -> None:
    watch = TransactionWatch(refuses=True, may_roll_back=True)
    with pytest.raises(UnitOfWorkBroken, match="tried to commit"):
        watch.before_commit()
    run(watch, "insert into t values (1)")
    watch.before_rollback()

    with pytest.raises(UnitOfWorkBroken, match="tried to commit"):
        run(watch, "insert into t values (2)")


def test_a_statement_after_an_unseen_end_is_refused_and_says_that_rows_may_stand_without_events() -> None:
    watch = TransactionWatch(refuses=True)

    with pytest.raises(UnitOfWorkBroken, match="or committed it: then its rows stand without their events"):
        watch.before_statement("insert into t values (1)", in_transaction=False)
