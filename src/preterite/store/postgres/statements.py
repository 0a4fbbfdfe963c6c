"""The SQL of stores where PostgreSQL's dialect differs, or where one statement changes many rows."""

from __future__ import annotations

from preterite.store.sql.statements import NOW, Statements


class PostgresStatements(Statements):
    """The same statements, on tables in the schema `preterite`.

    A transaction under a lease locks the lease's row until it ends; what two transactions may change at
    once is locked in a statement of its own before it is read (rule R6).
    """

    ANY_VIEW_OR_TRIGGER = """
SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'preterite')
UNION ALL SELECT 1 FROM pg_inherits UNION ALL SELECT 1 FROM pg_policy
UNION ALL SELECT 1 FROM pg_rewrite WHERE rulename <> '_RETURN' AND ev_class >= 16384
UNION ALL SELECT 1 FROM pg_trigger WHERE NOT tgisinternal LIMIT 1
"""
    TABLE_NAMES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    """
    # Not by to_regclass: after a wait for another process that makes the tables, it answers from a stale cache.
    HAS_TABLES = """
SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'preterite' AND c.relname = 'migration'
"""
    LOCK_MIGRATIONS = "SELECT pg_advisory_xact_lock(hashtext('preterite.migration'))"
    TERMINATE_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = ? AND state LIKE 'idle in transaction%%'
"""
    # Between two handlers a worker runs none.
    HEARTBEAT = """
INSERT INTO preterite_worker (owner, until) VALUES (?, ?)
ON CONFLICT (owner) DO UPDATE SET until = excluded.until, handler = NULL, handler_since = NULL
"""
    NOTE_RUNNING = """
INSERT INTO preterite_worker (owner, until, handler, handler_since)
SELECT ?, n.now + ?, ?, n.now - ? FROM (SELECT extract(epoch FROM clock_timestamp())::double precision AS now) n
ON CONFLICT (owner) DO UPDATE
SET until = excluded.until, handler = excluded.handler, handler_since = excluded.handler_since
"""
    RUNNING = """
SELECT w.owner, w.handler, greatest(n.now - w.handler_since, 0) FROM preterite_worker w,
    (SELECT extract(epoch FROM clock_timestamp())::double precision AS now) n
WHERE w.handler IS NOT NULL AND w.until > n.now ORDER BY w.owner
"""
    # By the index: the table's pages may be full of rows that were moved already.
    HAS_OUTBOX_ABOVE = "SELECT 1 FROM preterite_outbox WHERE id > ? ORDER BY id LIMIT 1"
    SERVER_TIME = "SELECT extract(epoch FROM clock_timestamp())::double precision"
    # Every unit of work waits for the disk when it commits, whatever its session is set to.
    IDENTITY = """
SELECT component, component_id, system, system_id, partitions, set_config('synchronous_commit', 'on', true)
FROM preterite_component
"""
    ADD_ONE_TO_OUTBOX = "INSERT INTO preterite_outbox (partition, event_id, envelope) VALUES (?, ?, ?) RETURNING id"
    # What a savepoint has taken back is not found, and so not placed anew.
    PLACE_LAST = """
WITH moved AS (DELETE FROM preterite_outbox WHERE id = ANY(?) RETURNING id, partition, event_id, envelope)
INSERT INTO preterite_outbox (partition, event_id, envelope) SELECT partition, event_id, envelope FROM moved ORDER BY id
"""
    ADD_MANY_TO_OUTBOX = """
INSERT INTO preterite_outbox (partition, event_id, envelope)
SELECT partition, event_id, envelope
FROM unnest(%b::int[], %b::bytea[], %b::bytea[]) WITH ORDINALITY AS o (partition, event_id, envelope, place)
ORDER BY place
"""
    # Rows that are committed are moved, whatever their ids, in the order of these: the floor is not a place to go on
    # from (rule R5) but an id below which no transaction can commit any more. One statement, one round trip, one commit
    # that waits for the disk; nothing is locked where there is nothing to move. The lease's row decides who moves: a
    # relay that takes it over waits for this statement, so no other has numbered since its snapshot (rule R6), and a
    # stream's number is read as it is once it is locked. Without the lease nothing moves: a row of nulls is returned.
    # What was published before the database was restored stays: what commits between two statements would slip through
    # if another had left it out (rule 14).
    MOVE_TO_JOURNAL = """
WITH due AS MATERIALIZED (
    SELECT id FROM preterite_outbox o
    WHERE id > ? AND NOT EXISTS (SELECT 1 FROM preterite_forgotten f WHERE f.event_id = o.event_id)
    ORDER BY id LIMIT ?
), held AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'on', true) FROM preterite_lease
    WHERE name = ? AND owner = ? AND epoch = ? AND EXISTS (SELECT 1 FROM due) FOR NO KEY UPDATE
), moved AS (
    DELETE FROM preterite_outbox WHERE id = ANY (ARRAY(SELECT id FROM due)) AND EXISTS (SELECT 1 FROM held)
    RETURNING id, partition, event_id, envelope
), locked AS MATERIALIZED (
    SELECT partition, last_number FROM preterite_stream
    WHERE partition IN (SELECT partition FROM moved) ORDER BY partition FOR UPDATE
), numbered AS (
    SELECT m.partition, s.last_number + row_number() OVER (PARTITION BY m.partition ORDER BY m.id) AS number,
        m.event_id, m.envelope
    FROM moved m JOIN locked s USING (partition)
), journaled AS (
    INSERT INTO preterite_journal (partition, number, event_id, numbered_at, envelope)
    SELECT partition, number, event_id, ?, envelope FROM numbered
), advanced AS (
    UPDATE preterite_stream AS s SET last_number = n.number, last_id = n.event_id
    FROM (SELECT DISTINCT ON (partition) partition, number, event_id FROM numbered ORDER BY partition, number DESC) AS n
    WHERE s.partition = n.partition
)
SELECT partition, number, event_id, envelope FROM numbered
UNION ALL SELECT NULL, NULL, NULL, NULL WHERE EXISTS (SELECT 1 FROM due) AND NOT EXISTS (SELECT 1 FROM held)
"""
    VACUUM_OUTBOX = "VACUUM (SKIP_LOCKED, INDEX_CLEANUP on) preterite_outbox"
    HOLDS_LEASE = Statements.HOLDS_LEASE + " FOR NO KEY UPDATE"
    TAKE_LEASE = Statements.TAKE_LEASE.replace("owner IS ?", "owner IS NOT DISTINCT FROM ?")
    # A worker that has read the set of handlers blocks every change of it until it has committed.
    HANDLERS_VERSION_LOCKED = Statements.HANDLERS_VERSION + " FOR SHARE"
    # Everything that a batch checks before it begins, and everything that it checks and moves at its end, at once.
    FENCE = """
SELECT handlers_version, (
    SELECT count(*) FROM preterite_lease l
    JOIN unnest(%b::text[], %b::text[], %b::bigint[]) AS f (name, owner, epoch) USING (name, owner, epoch)),
    EXISTS (SELECT 1 FROM preterite_parked)
FROM preterite_component
"""
    RENEW_MANY = """
UPDATE preterite_lease l SET expires_at = %b, renewals = renewals + 1
FROM unnest(%b::text[], %b::text[], %b::bigint[]) AS f (name, owner, epoch)
WHERE l.name = f.name AND l.owner = f.owner AND l.epoch = f.epoch
"""
    _MOVE_CURSORS = """
WITH moved AS (
    UPDATE preterite_cursor c SET number = m.number, event_id = m.event_id, epoch = m.epoch,
        moved_at = extract(epoch FROM clock_timestamp())
    FROM unnest(%b::text[], %b::int[], %b::bigint[], %b::bytea[], %b::bigint[], %b::bytea[], %b::bigint[])
        AS m (publisher, partition, was_number, was_id, number, event_id, epoch)
    WHERE (c.publisher, c.partition, c.number, c.event_id) = (m.publisher, m.partition, m.was_number, m.was_id)
    RETURNING 1
), held AS ({held}), counted AS (
    INSERT INTO preterite_activity (minute, session, handled)
    SELECT minute, pg_backend_pid(), handled FROM (VALUES (%b::bigint, %b::bigint)) AS a (minute, handled)
    WHERE handled > 0
    ON CONFLICT (minute, session) DO UPDATE SET handled = preterite_activity.handled + excluded.handled
    RETURNING handled
)
SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM held),
    (SELECT handlers_version FROM (SELECT handlers_version FROM preterite_component FOR SHARE) AS locked),
    (SELECT handled FROM counted)
"""
    _LOCK_LEASES = """
SELECT 1 FROM preterite_lease l JOIN unnest(%b::text[], %b::text[], %b::bigint[]) AS f (name, owner, epoch)
USING (name, owner, epoch) FOR NO KEY UPDATE OF l
"""
    MOVE_CURSORS = _MOVE_CURSORS.format(held=_LOCK_LEASES)
    MOVE_CURSORS_AND_RENEW = _MOVE_CURSORS.format(held=RENEW_MANY + "RETURNING 1")
    CONFIRM_MANY = """
WITH held AS (SELECT 1 FROM preterite_lease WHERE name = ? AND owner = ? AND epoch = ? FOR NO KEY UPDATE)
UPDATE preterite_stream s SET confirmed = c.number, confirmed_at =
    CASE WHEN s.confirmed = c.number THEN s.confirmed_at ELSE extract(epoch FROM clock_timestamp()) END
FROM unnest(%b::int[], %b::bigint[]) AS c (partition, number)
WHERE s.partition = c.partition AND EXISTS (SELECT 1 FROM held)
"""
    PRUNE_ACTIVITY = """
DELETE FROM preterite_activity WHERE (minute, session) IN (
    SELECT minute, session FROM preterite_activity WHERE minute < ? FOR UPDATE SKIP LOCKED)
"""
    FIND_SAGA = Statements.FIND_SAGA + " FOR UPDATE"
    GET_SAGA = Statements.GET_SAGA + " FOR UPDATE"

    def translated(self, statement: str) -> str:
        """The statement in PostgreSQL's dialect."""
        for theirs, ours in (
            ("preterite_", "preterite."),
            ("?", "%s"),
            ("char(10)", "chr(10)"),
            ("x''", "''::bytea"),
            (NOW, "extract(epoch FROM clock_timestamp())::double precision"),
        ):
            statement = statement.replace(theirs, ours)
        return statement
