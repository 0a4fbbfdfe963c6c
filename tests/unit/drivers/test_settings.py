"""What statements leave behind on a connection, read from their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preterite.drivers.settings import SettingsChanged, settings_changed

IN_SESSION = [
    "SET timezone TO  ",
    "set session authorization x",
    "SET ROLE x",
    "RESET ALL",
    "DISCARD TEMP",
    "LISTEN x",
    "PREPARE x AS SELECT 1",
    "DEALLOCATE ALL",
    "DO  ",
    "SELECT set_config( ,  , false)",
    "SELECT set_config(%s, %s, %s)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock_shared(1)",
    "SELECT pg_advisory_unlock_all()",
    "CREATE TEMP TABLE x (a int)",
    "create or replace temporary view x as select 1",
    "CREATE LOCAL TEMPORARY SEQUENCE x",
    "SELECT 1 INTO TEMP x",
]
IN_TRANSACTION = [
    "SET LOCAL timezone TO  ",
    "set constraints all deferred",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SELECT set_config( ,  , true)",
]
NOTHING = [
    "SELECT temp FROM reading",
    "INSERT INTO temp_reading (temp) VALUES (%s)",
    "INSERT INTO reset VALUES (1)",
    "UPDATE bill SET total = 1",
    "INSERT INTO bill VALUES (1) ON CONFLICT DO NOTHING",
    "INSERT INTO bill VALUES (1) ON CONFLICT (id) DO UPDATE SET total = 1",
    "ALTER TABLE bill ALTER total SET DEFAULT 1",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT load, prepare FROM engine",
    "DELETE FROM listen",
]


@given(st.sampled_from(IN_SESSION), st.lists(st.sampled_from(NOTHING + IN_TRANSACTION), max_size=3), st.integers(0, 3))
def test_what_changes_a_session_is_found_wherever_it_stands(one: str, others: list[str], at: int) -> None:
    statements = [*others[:at], one, *others[at:]]

    assert settings_changed(" ;\n ".join(statements)) is SettingsChanged.IN_SESSION


@given(st.sampled_from(IN_TRANSACTION), st.lists(st.sampled_from(NOTHING), max_size=3), st.integers(0, 3))
def test_what_changes_a_transaction_is_found_wherever_it_stands(one: str, others: list[str], at: int) -> None:
    statements = [*others[:at], one, *others[at:]]

    assert settings_changed("; ".join(statements)) is SettingsChanged.IN_TRANSACTION


@pytest.mark.parametrize("statement", NOTHING)
def test_other_statements_end_no_batch(statement: str) -> None:
    assert settings_changed(statement) is SettingsChanged.NO
