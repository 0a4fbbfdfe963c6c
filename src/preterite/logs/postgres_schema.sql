-- A log in PostgreSQL, in a schema of its own. Times are seconds since 1970, by the server's clock.

CREATE SCHEMA IF NOT EXISTS preterite_log;

CREATE TABLE IF NOT EXISTS preterite_log.identity (
    id integer PRIMARY KEY CHECK (id = 1),
    system text NOT NULL,
    system_id bytea NOT NULL,
    partitions integer NOT NULL
);

CREATE TABLE IF NOT EXISTS preterite_log.stream (  -- claims and heads are columns here: retention keeps them
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    publisher text NOT NULL,
    partition integer NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    claim bytea NOT NULL DEFAULT '',
    last_number bigint NOT NULL DEFAULT 0,
    forgotten bigint NOT NULL DEFAULT 0,           -- the highest number that retention has dropped
    head_epoch bigint,
    head_number bigint,
    head_id bytea,
    UNIQUE (publisher, partition)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE IF NOT EXISTS preterite_log.record (  -- insert only, until retention
    stream integer NOT NULL,
    number bigint NOT NULL,
    kind text NOT NULL,
    epoch bigint NOT NULL,
    event_id bytea NOT NULL,
    appended_at double precision NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (stream, number)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE IF NOT EXISTS preterite_log.asked (   -- numbers that a reader misses; its publisher sends them again
    publisher text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (publisher, partition)
);

CREATE TABLE IF NOT EXISTS preterite_log.clock (   -- of a demo
    id integer PRIMARY KEY CHECK (id = 1),
    frozen_at double precision,
    offset_seconds double precision NOT NULL
);
