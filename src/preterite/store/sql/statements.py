"""The SQL of stores, one named constant per statement, in SQLite's dialect.

Another dialect overrides the statements that differ, and translates names and marks in all others.
"""

from __future__ import annotations

from preterite.store.sql.dead_letter_statements import DeadLetterStatements

NOW = "((julianday('now') - 2440587.5) * 86400.0)"
"""The time by the database's clock, in seconds since 1970."""


class Statements(DeadLetterStatements):
    """Statements with `?` for each value, on tables called `preterite_…`."""

    ANY_VIEW_OR_TRIGGER = "SELECT 1 FROM sqlite_schema WHERE type IN ('view', 'trigger') LIMIT 1"
    OWN_TABLES = r"""
SELECT name FROM main.sqlite_schema WHERE type = 'table'
AND name NOT LIKE 'preterite\_%' ESCAPE '\' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
"""
    COLUMNS = "SELECT name FROM pragma_table_info(?)"
    # The n-th of equal rows differs from the others by n: a table without a key may hold a row twice.
    ROWS_ADDED = """
SELECT count(*) FROM (
    SELECT {columns}, row_number() OVER (PARTITION BY {columns}) FROM {one}."{table}"
    EXCEPT SELECT {columns}, row_number() OVER (PARTITION BY {columns}) FROM {two}."{table}")
"""
    HAS_TABLES = "SELECT 1 FROM sqlite_schema WHERE name = 'preterite_migration'"
    SCHEMA_VERSION = "SELECT max(number) FROM preterite_migration"
    ADD_MIGRATION = "INSERT INTO preterite_migration (number) VALUES (?)"
    IDENTITY = "SELECT component, component_id, system, system_id, partitions FROM preterite_component"
    ADD_IDENTITY = """
INSERT INTO preterite_component (id, component, component_id, system, system_id, partitions) VALUES (1, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
    ADD_STREAM = "INSERT INTO preterite_stream (partition) VALUES (?)"

    HAS_OUTBOX = "SELECT 1 FROM preterite_outbox LIMIT 1"
    OUTBOX = "SELECT envelope FROM preterite_outbox ORDER BY id"
    ADD_TO_OUTBOX = "INSERT INTO preterite_outbox (partition, event_id, envelope) VALUES (?, ?, ?)"
    LAST_TO_NUMBER = """
SELECT coalesce((SELECT id FROM preterite_outbox ORDER BY id LIMIT 1 OFFSET ?), (SELECT max(id) FROM preterite_outbox))
"""
    # What was published before the database was restored is never numbered: the statement itself leaves it out, so that
    # nothing that commits after `take_forgotten` slips through (rule 14).
    _NEW = "NOT EXISTS (SELECT 1 FROM preterite_forgotten f WHERE f.event_id = o.event_id)"
    # Numbers follow the order of the outbox, by row_number: no other clause promises an order here.
    NUMBER = f"""
INSERT INTO preterite_journal (partition, number, event_id, numbered_at, envelope)
SELECT o.partition, s.last_number + row_number() OVER (PARTITION BY o.partition ORDER BY o.id),
    o.event_id, ?, o.envelope
FROM preterite_outbox o JOIN preterite_stream s USING (partition)
WHERE o.id <= ? AND {_NEW}
RETURNING partition, number, event_id, envelope
"""
    ADVANCE_STREAMS = f"""
UPDATE preterite_stream AS s SET
    last_number = s.last_number + moved.count,
    last_id = (SELECT event_id FROM preterite_outbox WHERE id = moved.last)
FROM (
    SELECT partition, count(*) AS count, max(id) AS last FROM preterite_outbox o WHERE id <= ? AND {_NEW}
    GROUP BY partition
) AS moved
WHERE s.partition = moved.partition
"""
    REMOVE_NUMBERED = f"DELETE FROM preterite_outbox AS o WHERE id <= ? AND {_NEW}"
    STREAM_NUMBERS = "SELECT partition, last_number, last_id, confirmed, epoch FROM preterite_stream ORDER BY partition"
    JOURNAL = """
SELECT number, event_id, envelope, void FROM preterite_journal
WHERE partition = ? AND number > ? ORDER BY number LIMIT ?
"""
    JOURNAL_ID = "SELECT event_id FROM preterite_journal WHERE partition = ? AND number = ?"
    CONFIRM = f"""
UPDATE preterite_stream SET confirmed = ?, confirmed_at = CASE WHEN confirmed = ? THEN confirmed_at ELSE {NOW} END
WHERE partition = ?
"""
    SET_RELAY_HALT = "UPDATE preterite_component SET relay_halt = ?"
    SET_STREAM_EPOCH = "UPDATE preterite_stream SET epoch = ?"
    VOID = "UPDATE preterite_journal SET void = ? WHERE partition = ? AND number = ?"
    ADOPT = """
INSERT INTO preterite_journal (partition, number, event_id, numbered_at, envelope, void) VALUES (?, ?, ?, ?, ?, ?)
"""
    ADVANCE_ADOPTED = """
UPDATE preterite_stream SET last_number = ?, last_id = ?, confirmed = ? WHERE partition = ?
"""
    ADD_FORGOTTEN = "INSERT INTO preterite_forgotten (event_id, envelope) VALUES (?, ?) ON CONFLICT DO NOTHING"
    HAS_FORGOTTEN = "SELECT 1 FROM preterite_forgotten LIMIT 1"
    FORGOTTEN_IN_OUTBOX = """
SELECT o.id, o.partition, o.event_id, o.envelope, f.envelope FROM preterite_outbox o
JOIN preterite_forgotten f USING (event_id) ORDER BY o.id
"""
    REMOVE_FROM_OUTBOX = "DELETE FROM preterite_outbox WHERE id = ?"
    # The first numbers of a partition, up to the first that is younger: clocks may be set back.
    LAST_TO_PRUNE = """
SELECT max(number) FROM (
    SELECT number, max(numbered_at) OVER (ORDER BY number) AS newest FROM (
        SELECT j.number, j.numbered_at FROM preterite_journal j JOIN preterite_stream s USING (partition)
        WHERE j.partition = ? AND j.number <= s.confirmed ORDER BY j.number LIMIT ?
    ) AS first
) AS seen WHERE newest < ?
"""
    PRUNE_JOURNAL = "DELETE FROM preterite_journal WHERE partition = ? AND number <= ?"
    # Where nothing is kept, it will begin with the next number.
    JOURNAL_STARTS = """
SELECT s.partition, coalesce(
    (SELECT min(j.number) FROM preterite_journal j WHERE j.partition = s.partition), s.last_number + 1)
FROM preterite_stream s
"""

    LEASES = "SELECT name, owner, epoch, expires_at, renewals FROM preterite_lease"
    ADD_LEASE = "INSERT INTO preterite_lease (name) VALUES (?) ON CONFLICT DO NOTHING"
    TAKE_LEASE = """
UPDATE preterite_lease SET owner = ?, epoch = epoch + 1, expires_at = ?, renewals = 0
WHERE name = ? AND epoch = ? AND owner IS ?
"""
    RENEW = (
        "UPDATE preterite_lease SET expires_at = ?, renewals = renewals + 1 WHERE name = ? AND owner = ? AND epoch = ?"
    )
    RELEASE = "UPDATE preterite_lease SET owner = NULL, expires_at = 0 WHERE name = ? AND owner = ? AND epoch = ?"
    HOLDS_LEASE = "SELECT 1 FROM preterite_lease WHERE name = ? AND owner = ? AND epoch = ?"

    REMOVE_DEAD_WORKERS = "DELETE FROM preterite_worker WHERE until < ?"
    HEARTBEAT = """
INSERT INTO preterite_worker (owner, until) VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET until = excluded.until
"""
    WORKERS = "SELECT owner, until FROM preterite_worker ORDER BY owner"
    DEREGISTER = "DELETE FROM preterite_worker WHERE owner = ?"

    REGISTER_HANDLER = """
INSERT INTO preterite_handler (name, event_type, first_name, lane, registered_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
    RENAME_HANDLER = """
UPDATE preterite_handler SET name = ? WHERE name = ? AND NOT EXISTS (SELECT 1 FROM preterite_handler WHERE name = ?)
"""
    SET_HANDLER_LANE = "UPDATE preterite_handler SET lane = ? WHERE name = ? AND lane <> ?"
    SET_PARKED_LANE = "UPDATE preterite_parked SET lane = ? WHERE handler = ?"
    RENAME_STARTS = "UPDATE preterite_handler_start SET handler = ? WHERE handler = ?"
    RENAME_PARKED = "UPDATE preterite_parked SET handler = ? WHERE handler = ?"
    # One name a line.
    RENAME_REPLAYED = """
UPDATE preterite_replay SET handlers = trim(replace(
    char(10) || handlers || char(10), char(10) || ? || char(10), char(10) || ? || char(10)), char(10))
WHERE state IN ('running', 'paused')
"""
    RETIRE_HANDLER = "UPDATE preterite_handler SET retired_at = ? WHERE name = ? AND retired_at IS NULL"
    ORPHAN_PARKED = """
UPDATE preterite_parked SET state = 'dead', running = 0,
    error = 'HandlerRetired', error_text = 'its handler was retired', error_place = '', error_trace = ''
WHERE handler = ?
"""
    ORPHAN_SCHEDULED = """
INSERT INTO preterite_parked (handler, lane, publisher, partition, number, epoch, kind, event_id, key, type,
    envelope, state, attempts, running, due_at, error, error_text, error_place, error_trace, failed_at)
SELECT h.name, h.lane, ?, l.partition, l.id, 0, 'command', l.token, l.key, l.type,
    l.envelope, 'dead', 0, 0, 0, 'HandlerRetired', 'its handler was retired', '', '', ?
FROM preterite_scheduled l JOIN preterite_handler h ON h.event_type = l.type WHERE h.name = ?
"""
    REMOVE_SCHEDULED = """
DELETE FROM preterite_scheduled WHERE type = (SELECT event_type FROM preterite_handler WHERE name = ?)
"""
    HANDLERS_CHANGED = "UPDATE preterite_component SET handlers_version = handlers_version + 1"
    HANDLERS_VERSION = "SELECT handlers_version FROM preterite_component"
    HANDLERS_VERSION_LOCKED = HANDLERS_VERSION
    # Everything that a batch checks before it begins, at once: a row per lease.
    FENCE = """
SELECT l.name, l.owner, l.epoch, c.handlers_version, EXISTS (SELECT 1 FROM preterite_parked)
FROM preterite_component c LEFT JOIN preterite_lease l
"""
    FIRST_NAMES = "SELECT name, first_name FROM preterite_handler"
    HANDLERS = "SELECT name, event_type, lane, retired_at IS NOT NULL FROM preterite_handler ORDER BY name"

    START_CURSOR = """
INSERT INTO preterite_cursor (publisher, partition, number, event_id, epoch) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
    START_HANDLERS = """
INSERT INTO preterite_handler_start (handler, publisher, partition, number)
SELECT h.name, c.publisher, c.partition, c.number + 1 FROM preterite_handler h CROSS JOIN preterite_cursor c
WHERE h.retired_at IS NULL ON CONFLICT DO NOTHING
"""
    HANDLER_STARTS = "SELECT handler, publisher, partition, number FROM preterite_handler_start"
    CURSORS = "SELECT publisher, partition, number, event_id, epoch, stall FROM preterite_cursor"
    SET_CURSOR = f"""
UPDATE preterite_cursor SET number = ?, event_id = ?, epoch = ?, moved_at = {NOW}, stall = NULL
WHERE publisher = ? AND partition = ? AND number = ? AND event_id = ?
"""
    MOVE_CURSOR = f"""
UPDATE preterite_cursor SET number = ?, event_id = ?, epoch = ?, moved_at = {NOW}
WHERE publisher = ? AND partition = ? AND number = ? AND event_id = ?
"""
    SET_STREAM_STALL = "UPDATE preterite_cursor SET stall = ? WHERE publisher = ? AND partition = ?"
    COUNT_HANDLED = """
INSERT INTO preterite_activity (minute, handled) VALUES (?, ?)
ON CONFLICT (minute) DO UPDATE SET handled = preterite_activity.handled + excluded.handled RETURNING handled
"""
    PRUNE_ACTIVITY = "DELETE FROM preterite_activity WHERE minute < ?"
    COUNT_SKIPPED = """
INSERT INTO preterite_skipped (publisher, what, count, first_at, last_at)
SELECT ?, CASE WHEN EXISTS (SELECT 1 FROM preterite_skipped WHERE publisher = ? AND what = ?)
    OR (SELECT count(*) FROM preterite_skipped WHERE publisher = ?) < ? THEN ? ELSE ? END, ?, ?, ?
WHERE true
ON CONFLICT (publisher, what) DO UPDATE
SET count = preterite_skipped.count + excluded.count, last_at = excluded.last_at
"""

    ADD_SCHEDULED = """
INSERT INTO preterite_scheduled (token, partition, due_at, saga_id, key, type, envelope)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (token) DO NOTHING
"""
    CANCEL_SCHEDULED = "DELETE FROM preterite_scheduled WHERE token = ?"
    CANCEL_PARKED_COMMAND = "DELETE FROM preterite_parked WHERE publisher = ? AND event_id = ? AND kind = 'command'"
    RESCHEDULE = "UPDATE preterite_scheduled SET due_at = ? WHERE token = ?"
    # A saga's timeout waits while an event that its instance has not seen is parked (protocol rule 21).
    _NOT_HELD_UP = """
(l.saga_id IS NULL OR NOT EXISTS (SELECT 1 FROM preterite_parked p WHERE p.saga = l.key))
"""
    DUE_SCHEDULED = f"""
SELECT id, token, partition, due_at, envelope FROM preterite_scheduled l
WHERE due_at <= ? AND partition IN ({{partitions}}) AND {_NOT_HELD_UP} ORDER BY due_at, id LIMIT ?
"""
    TAKE_SCHEDULED = "DELETE FROM preterite_scheduled WHERE id = ? AND due_at <= ?"
    FIND_SAGA = """
SELECT id, saga, correlation, revision, version, state FROM preterite_saga WHERE saga = ? AND correlation = ?
"""
    GET_SAGA = "SELECT id, saga, correlation, revision, version, state FROM preterite_saga WHERE id = ?"
    ADD_SAGA = """
INSERT INTO preterite_saga (saga, correlation, version, state, begun_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING id
"""
    WAKE_PARKED_FOR_SAGA = "UPDATE preterite_parked SET due_at = 0 WHERE saga = ? AND state = 'parked'"
    SAVE_SAGA = """
UPDATE preterite_saga SET version = ?, state = ?, revision = revision + 1 WHERE id = ? AND revision = ?
"""
    END_SAGA = "DELETE FROM preterite_saga WHERE id = ? AND revision = ?"
    REMEMBER_ENDED = """
INSERT INTO preterite_saga_ended (saga, correlation, ended_at) VALUES (?, ?, ?)
ON CONFLICT (saga, correlation) DO UPDATE SET ended_at = excluded.ended_at
"""
    HAS_ENDED = "SELECT 1 FROM preterite_saga_ended WHERE saga = ? AND correlation = ?"
    FORGET_ENDED = """
DELETE FROM preterite_saga_ended WHERE (saga, correlation) IN (
    SELECT saga, correlation FROM preterite_saga_ended WHERE ended_at < ? ORDER BY ended_at LIMIT ?)
"""
    END_TIMEOUTS = "DELETE FROM preterite_scheduled WHERE saga_id = ?"
    END_PARKED_TIMEOUTS = "DELETE FROM preterite_parked WHERE publisher = ? AND key = ? AND kind = 'command'"
    CALENDARS = "SELECT name, schedule FROM preterite_calendar"
    SET_CALENDAR = """
INSERT INTO preterite_calendar (name, schedule) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET schedule = excluded.schedule
"""
    REMOVE_CALENDAR = "DELETE FROM preterite_calendar WHERE name = ?"
    DROP_TICKS = "DELETE FROM preterite_scheduled WHERE key = ? AND saga_id IS NULL RETURNING due_at"

    _PARKED_COLUMNS = """handler, lane, publisher, partition, number, epoch, kind, event_id, key, type, envelope,
    state, attempts, running, due_at, error, error_text, error_place, error_trace, failed_at, saga, replay, original"""
    # A replay cannot park again what is parked already: that runs from its own row.
    PARK = f"""
INSERT INTO preterite_parked ({_PARKED_COLUMNS}) VALUES ({", ".join("?" * 23)})
ON CONFLICT DO NOTHING
"""
    ANY_PARKED = "SELECT 1 FROM preterite_parked LIMIT 1"
    PARKED_LANES = "SELECT DISTINCT lane FROM preterite_parked WHERE publisher = ? AND key = ?"
    PARKED_IN_LANE = "SELECT count(*) FROM preterite_parked WHERE publisher = ? AND key = ? AND lane = ?"
    PARKED_COUNT = "SELECT count(*) FROM preterite_parked"
    # The head of a lane is computed, never marked: the row left with the lowest number is the head.
    _IS_HEAD = """
(p.key IS NULL OR NOT EXISTS (
    SELECT 1 FROM preterite_parked before
    WHERE before.publisher = p.publisher AND before.key = p.key
    AND before.lane = p.lane AND before.number < p.number))
"""
    DUE_HEADS = f"""
SELECT id, {_PARKED_COLUMNS} FROM preterite_parked p
WHERE state = 'parked' AND running = 0 AND due_at <= ? AND partition IN ({{partitions}}) AND {_IS_HEAD}
ORDER BY due_at, publisher, partition, number, id LIMIT ?
"""
    # Each of the two by its own index: the least of a few heads, and the first scheduled command.
    _NEXT_SCHEDULED = f"SELECT due_at FROM preterite_scheduled l WHERE {_NOT_HELD_UP} ORDER BY due_at LIMIT 1"
    NEXT_SCHEDULED = f"SELECT min(due_at) FROM ({_NEXT_SCHEDULED}) AS scheduled"
    _NEXT_DUE = f"""
SELECT min(at) FROM (
    SELECT min(due_at) AS at FROM preterite_parked p WHERE state = 'parked' AND {_IS_HEAD}
    UNION ALL SELECT * FROM ({_NEXT_SCHEDULED}) AS scheduled) AS due
"""
    LANE_HEAD = f"""
SELECT id, {_PARKED_COLUMNS} FROM preterite_parked
WHERE publisher = ? AND key = ? AND lane = ? ORDER BY number, id LIMIT 1
"""
    START_ATTEMPT = """
UPDATE preterite_parked SET attempts = attempts + 1, running = 1 WHERE id = ? AND attempts = ? AND state = 'parked'
"""
    TAKE_PARKED = "DELETE FROM preterite_parked WHERE id = ? AND attempts = ? AND state = 'parked'"
    SETTLE_ATTEMPT = """
UPDATE preterite_parked SET state = ?, due_at = ?, running = 0, attempts = ?,
    error = ?, error_text = ?, error_place = ?, error_trace = ?, failed_at = ?
WHERE id = ? AND attempts = ?
"""
    INTERRUPTED = (
        f"SELECT id, {_PARKED_COLUMNS} FROM preterite_parked WHERE running = 1 AND partition IN ({{partitions}})"
    )
    SET_CONTRACTS = "UPDATE preterite_component SET contracts = ? WHERE contracts <> ?"
    RETRY_UNDECODABLE = "UPDATE preterite_parked SET state = 'parked', due_at = 0 WHERE state = 'undecodable'"
    LIST_PARKED = f"SELECT id, {_PARKED_COLUMNS} FROM preterite_parked WHERE state IN ({{states}}) ORDER BY id LIMIT ?"
    GET_PARKED = f"SELECT id, {_PARKED_COLUMNS} FROM preterite_parked WHERE id = ?"
    REMOVE_PARKED = "DELETE FROM preterite_parked WHERE id = ?"
    ADD_REPLAY = """
INSERT INTO preterite_replay (handlers, again, publishes, rate, from_time, state, reason, replayed, started_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
"""
    # The live cursor is stored in the same transaction.
    ADD_REPLAY_CURSOR = """
INSERT INTO preterite_replay_cursor (replay_id, publisher, partition, number, event_id, epoch, live_number)
SELECT ?, publisher, partition, ?, ?, ?, number FROM preterite_cursor WHERE publisher = ? AND partition = ?
"""
    _REPLAY_COLUMNS = "id, handlers, again, publishes, rate, from_time, state, reason, replayed, started_at, cancelled"
    ACTIVE_REPLAYS = f"SELECT {_REPLAY_COLUMNS} FROM preterite_replay WHERE state IN ('running', 'paused') ORDER BY id"
    REPLAYS = f"SELECT {_REPLAY_COLUMNS} FROM preterite_replay ORDER BY id DESC"
    REPLAY_CURSORS = """
SELECT replay_id, publisher, partition, number, event_id, epoch, live_number FROM preterite_replay_cursor
ORDER BY replay_id, publisher, partition
"""
    MOVE_REPLAY = """
UPDATE preterite_replay_cursor SET number = ?, event_id = ?, epoch = ?
WHERE replay_id = ? AND publisher = ? AND partition = ? AND number = ?
"""
    COUNT_REPLAYED = "UPDATE preterite_replay SET replayed = replayed + ? WHERE id = ?"
    # Compare-and-set on both cursors (protocol rule 7).
    JOIN_REPLAY = """
DELETE FROM preterite_replay_cursor AS r WHERE replay_id = ? AND publisher = ? AND partition = ? AND number = ?
AND number = (SELECT number FROM preterite_cursor c WHERE c.publisher = r.publisher AND c.partition = r.partition)
"""
    END_REPLAY = """
UPDATE preterite_replay SET state = CASE WHEN cancelled = 1 THEN 'cancelled' ELSE 'done' END, reason = ''
WHERE id = ? AND NOT EXISTS (SELECT 1 FROM preterite_replay_cursor WHERE replay_id = ?)
"""
    SET_REPLAY_STATE = (
        "UPDATE preterite_replay SET state = ?, reason = ? WHERE id = ? AND state IN ('running', 'paused')"
    )
    CANCEL_REPLAY = """
UPDATE preterite_replay SET state = 'running', reason = '', cancelled = 1
WHERE id = ? AND state IN ('running', 'paused')
"""
    NOTE_REPLAY = "UPDATE preterite_replay SET reason = ? WHERE id = ? AND state = 'running'"
    SKIP_REPLAY = """
UPDATE preterite_replay_cursor SET number = live_number, event_id = x'' WHERE replay_id = ? AND number < live_number
"""
    COUNTS = f"""
SELECT
    (SELECT count(*) FROM preterite_outbox),
    (SELECT count(*) FROM preterite_parked WHERE state = 'parked'),
    (SELECT count(*) FROM preterite_parked p WHERE state = 'parked' AND due_at <= ? AND {_IS_HEAD})
        + (SELECT count(*) FROM preterite_scheduled l WHERE due_at <= ? AND {_NOT_HELD_UP}),
    (SELECT count(*) FROM preterite_parked WHERE state <> 'parked'),
    (SELECT count(*) FROM preterite_discarded),
    (SELECT count(*) FROM preterite_journal WHERE void IS NOT NULL),
    (SELECT coalesce(sum(count), 0) FROM preterite_skipped),
    (SELECT coalesce(sum(handled), 0) FROM preterite_activity),
    (SELECT coalesce(sum(handled), 0) FROM preterite_activity WHERE minute = ?),
    (SELECT coalesce(sum(handled), 0) FROM preterite_activity WHERE minute = ?),
    ({_NEXT_DUE}),
    (SELECT relay_halt FROM preterite_component),
    (SELECT count(*) FROM preterite_scheduled),
    (SELECT count(*) FROM preterite_saga),
    (SELECT count(*) FROM preterite_replay_cursor JOIN preterite_replay ON id = replay_id WHERE state = 'running')
"""
    AGES = f"""
SELECT
    (SELECT {NOW} - added_at FROM preterite_outbox ORDER BY id LIMIT 1),
    (SELECT {NOW} - max(confirmed_at) FROM preterite_stream),
    (SELECT {NOW} - max(moved_at) FROM preterite_cursor),
    (SELECT {NOW} - 60 * (max(minute) + 1) FROM preterite_activity),
    (SELECT ? - min(due_at) FROM (
        SELECT CASE WHEN due_at > 0 THEN due_at ELSE failed_at END AS due_at -- 0: at once
        FROM preterite_parked p WHERE state = 'parked' AND due_at <= ? AND {_IS_HEAD}
        UNION ALL SELECT due_at FROM preterite_scheduled l WHERE due_at <= ? AND {_NOT_HELD_UP}) AS due)
"""
    NUMBERED_AGE = f"""
SELECT {NOW} - numbered_at FROM preterite_journal WHERE partition = ? AND number > ? ORDER BY number LIMIT 1
"""

    def __init__(self) -> None:
        """Translate every statement into this dialect."""
        for name in dir(self):
            if name.isupper():
                setattr(self, name, self.translated(getattr(self, name)))

    def translated(self, statement: str) -> str:
        """The statement in this dialect."""
        return statement

    def marks(self, count: int) -> str:
        """`count` placeholders for values, separated by commas."""
        return self.translated(",".join("?" * count))
