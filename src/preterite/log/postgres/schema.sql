-- A log in PostgreSQL, in a schema of its own. Times are seconds since 1970, by the server's clock.

CREATE SCHEMA IF NOT EXISTS preterite_log;

CREATE TABLE IF NOT EXISTS preterite_log.migration (number integer PRIMARY KEY);  -- versions that these tables have had
INSERT INTO preterite_log.migration (number) VALUES (1) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS preterite_log.identity (
    id integer PRIMARY KEY CHECK (id = 1),
    system text NOT NULL,
    system_id bytea NOT NULL,
    partitions integer NOT NULL
);

CREATE TABLE IF NOT EXISTS preterite_log.stream (  -- claims and heads are columns here: retention keeps them
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    publisher text NOT NULL,
    partition integer NOT NULL CHECK (partition >= 0),
    epoch bigint NOT NULL DEFAULT 0 CHECK (epoch BETWEEN 0 AND 1152921504606846976),
    claim bytea NOT NULL DEFAULT '' CHECK (octet_length(claim) <= 64),
    last_number bigint NOT NULL DEFAULT 0 CHECK (last_number BETWEEN 0 AND 1152921504606846976),
    forgotten bigint NOT NULL DEFAULT 0,           -- the highest number that retention has dropped
    head_epoch bigint CHECK (head_epoch BETWEEN 0 AND 1152921504606846976),
    head_number bigint CHECK (head_number BETWEEN 0 AND 1152921504606846976),
    head_id bytea CHECK (octet_length(head_id) <= 64),
    head_body bytea CHECK (encode(head_body, 'escape') ~ '^[0-9]{0,18}$'),
    CHECK (num_nulls(head_epoch, head_number, head_id, head_body) IN (0, 4)),
    UNIQUE (publisher, partition)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE IF NOT EXISTS preterite_log.record (  -- insert only, until retention
    stream integer NOT NULL,
    number bigint NOT NULL CHECK (number BETWEEN 1 AND 1152921504606846976),
    kind text NOT NULL CHECK (kind IN ('event', 'void')),
    epoch bigint NOT NULL CHECK (epoch BETWEEN 0 AND 1152921504606846976),
    event_id bytea NOT NULL CHECK (octet_length(event_id) <= 64),
    appended_at double precision NOT NULL CHECK (appended_at BETWEEN 0 AND 100000000000),  -- neither NaN nor infinity
    body bytea NOT NULL CHECK (octet_length(body) <= 1048576),  -- larger would cost its reader memory
    PRIMARY KEY (stream, number)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE IF NOT EXISTS preterite_log.asked (   -- numbers that a reader misses; its publisher sends them again
    publisher text NOT NULL,
    partition integer NOT NULL CHECK (partition >= 0),
    number bigint NOT NULL CHECK (number BETWEEN 1 AND 1152921504606846976),
    PRIMARY KEY (publisher, partition)
);

CREATE TABLE IF NOT EXISTS preterite_log.clock (   -- of a demo
    id integer PRIMARY KEY CHECK (id = 1),
    frozen_at double precision,
    offset_seconds double precision NOT NULL
);

CREATE TABLE IF NOT EXISTS preterite_log.database (  -- which database is a component's: only an operator changes it
    component text PRIMARY KEY,
    database_id bytea NOT NULL CHECK (octet_length(database_id) = 16)
);

-- Rights. The owner of these tables may do everything: a log without other roles needs no row here. Every other role
-- appends to the streams of the publishers that its rows name, and reads those and the ones that it subscribes to.
CREATE TABLE IF NOT EXISTS preterite_log.access (
    role text NOT NULL,
    publisher text NOT NULL,
    may_append boolean NOT NULL,
    PRIMARY KEY (role, publisher)
);

CREATE OR REPLACE FUNCTION preterite_log.readable() RETURNS SETOF integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.id FROM preterite_log.stream s JOIN preterite_log.access a USING (publisher)
    WHERE a.role = session_user
$$;

CREATE OR REPLACE FUNCTION preterite_log.appendable() RETURNS SETOF integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.id FROM preterite_log.stream s JOIN preterite_log.access a USING (publisher)
    WHERE a.role = session_user AND a.may_append
$$;

CREATE OR REPLACE FUNCTION preterite_log.take_requests(of_publisher text)
RETURNS TABLE (partition integer, number bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM preterite_log.asked q WHERE q.publisher = of_publisher AND (
        EXISTS (SELECT FROM preterite_log.access a
            WHERE a.role = session_user AND a.publisher = of_publisher AND a.may_append)
        OR pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = 'preterite_log.asked'::regclass), 'USAGE'))
    RETURNING q.partition, q.number
$$;

-- Asks a publisher to send again, for a reader of it. It only lowers a number: no reader takes back what another asked.
CREATE OR REPLACE FUNCTION preterite_log.request_resend(of_publisher text, of_partition integer, from_number bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF of_partition >= (SELECT partitions FROM preterite_log.identity) OR NOT (
        EXISTS (SELECT FROM preterite_log.access a WHERE a.role = session_user AND a.publisher = of_publisher)
        OR pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = 'preterite_log.asked'::regclass), 'USAGE'))
    THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s may not ask %s to send again', session_user, of_publisher);
    END IF;
    INSERT INTO preterite_log.asked (publisher, partition, number) VALUES (of_publisher, of_partition, from_number)
    ON CONFLICT (publisher, partition) DO UPDATE SET number = least(asked.number, excluded.number);
END
$$;

REVOKE ALL ON FUNCTION preterite_log.readable(), preterite_log.appendable(), preterite_log.take_requests(text),
    preterite_log.request_resend(text, integer, bigint) FROM PUBLIC;

ALTER TABLE preterite_log.stream ENABLE ROW LEVEL SECURITY;
ALTER TABLE preterite_log.record ENABLE ROW LEVEL SECURITY;
ALTER TABLE preterite_log.asked ENABLE ROW LEVEL SECURITY;
ALTER TABLE preterite_log.access ENABLE ROW LEVEL SECURITY;
ALTER TABLE preterite_log.database ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own ON preterite_log.access;
CREATE POLICY own ON preterite_log.access FOR SELECT USING (role = session_user);

DROP POLICY IF EXISTS reads ON preterite_log.database;
CREATE POLICY reads ON preterite_log.database FOR SELECT
    USING (component IN (SELECT a.publisher FROM preterite_log.access a WHERE a.role = session_user AND a.may_append));
DROP POLICY IF EXISTS binds ON preterite_log.database;
CREATE POLICY binds ON preterite_log.database FOR INSERT
    WITH CHECK (component IN (SELECT a.publisher FROM preterite_log.access a WHERE a.role = session_user AND a.may_append));

DROP POLICY IF EXISTS reads ON preterite_log.stream;
CREATE POLICY reads ON preterite_log.stream FOR SELECT
    USING (publisher IN (SELECT a.publisher FROM preterite_log.access a WHERE a.role = session_user));
DROP POLICY IF EXISTS begins ON preterite_log.stream;
CREATE POLICY begins ON preterite_log.stream FOR INSERT
    WITH CHECK (
        publisher IN (SELECT a.publisher FROM preterite_log.access a WHERE a.role = session_user AND a.may_append)
        AND partition < (SELECT partitions FROM preterite_log.identity));
DROP POLICY IF EXISTS appends ON preterite_log.stream;
CREATE POLICY appends ON preterite_log.stream FOR UPDATE
    USING (publisher IN (SELECT a.publisher FROM preterite_log.access a WHERE a.role = session_user AND a.may_append));

DROP POLICY IF EXISTS reads ON preterite_log.record;
CREATE POLICY reads ON preterite_log.record FOR SELECT USING (stream IN (SELECT preterite_log.readable()));
DROP POLICY IF EXISTS appends ON preterite_log.record;
CREATE POLICY appends ON preterite_log.record FOR INSERT WITH CHECK (stream IN (SELECT preterite_log.appendable()));
DROP POLICY IF EXISTS appends_again ON preterite_log.record;
CREATE POLICY appends_again ON preterite_log.record FOR UPDATE USING (stream IN (SELECT preterite_log.appendable()));
DROP POLICY IF EXISTS forgets ON preterite_log.record;
CREATE POLICY forgets ON preterite_log.record FOR DELETE USING (stream IN (SELECT preterite_log.appendable()));

DROP POLICY IF EXISTS requests ON preterite_log.asked;
CREATE POLICY requests ON preterite_log.asked FOR SELECT
    USING (publisher IN (SELECT a.publisher FROM preterite_log.access a WHERE a.role = session_user));
