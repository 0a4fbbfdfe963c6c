"""What was raised is seen by its class alone, whatever it does when it is looked at."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import OperationalError
from support.raised import RAISED, Pretending, Unequal, made_up

from preterite.drivers import postgres, sqlite
from preterite.printing.raised import is_a, original_of
from preterite.recoverability import DeadLetter, Recoverability


@pytest.mark.parametrize("name", RAISED, ids=lambda name: name[:30])
def test_no_question_about_what_was_raised_raises(name: str) -> None:
    error = RAISED[name]()

    assert not sqlite.is_unavailable(error)
    assert not postgres.is_unavailable(error)
    assert not postgres.is_conflict(error)
    assert not isinstance(Recoverability(unrecoverable=(LookupError,)).decide(1, 0.0, error=error), DeadLetter)


@pytest.mark.parametrize("code", [None, "a text", -1.5, object()])
def test_codes_that_no_database_gives_mean_nothing(code: object) -> None:
    assert not sqlite.is_unavailable(made_up(sqlite3.OperationalError, sqlite_errorcode=code))
    assert not postgres.is_conflict(made_up(psycopg.OperationalError, sqlstate=code))
    assert not postgres.is_unavailable(made_up(psycopg.DataError, sqlstate=code))


def test_a_class_counts_and_not_what_an_exception_pretends_to_be() -> None:
    assert is_a(Pretending(), Exception)
    assert not is_a(Pretending(), ValueError)


def test_the_drivers_exception_is_found_where_sqlalchemy_has_wrapped_it() -> None:
    inner, other = sqlite3.OperationalError("locked"), Unequal()

    assert original_of(OperationalError("select 1", {}, inner)) is inner
    assert original_of(other) is other
