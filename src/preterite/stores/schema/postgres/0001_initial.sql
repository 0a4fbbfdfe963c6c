-- Preterite's tables in a component's own PostgreSQL database, in a schema of their own.
-- Times are seconds since 1970; due_at and failed_at are business time, everything else is the server's time.

CREATE SCHEMA IF NOT EXISTS preterite;

CREATE TABLE preterite.migration (number integer PRIMARY KEY);  -- scripts like this one that were run

CREATE TABLE preterite.component (           -- whose database this is: one row
    id integer PRIMARY KEY CHECK (id = 1),
    component text NOT NULL,
    component_id bytea NOT NULL,
    system text NOT NULL,
    system_id bytea NOT NULL,
    partitions integer NOT NULL,
    handlers_version bigint NOT NULL DEFAULT 0,
    contracts text NOT NULL DEFAULT '',      -- fingerprint of the declared events at the last start
    relay_stopped text                       -- why nothing is announced, if so
) WITH (fillfactor = 50);

CREATE TABLE preterite.outbox (              -- committed, not numbered yet; of one key, ids are in commit order
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    partition integer NOT NULL,
    event_id bytea NOT NULL,
    envelope bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE preterite.stream (              -- one row per partition this component publishes in
    partition integer PRIMARY KEY,
    last_number bigint NOT NULL DEFAULT 0,
    last_id bytea NOT NULL DEFAULT '',
    confirmed bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE preterite.journal (             -- numbered; kept for healing and audit; insert only
    partition integer NOT NULL,
    number bigint NOT NULL,
    event_id bytea NOT NULL,
    numbered_at double precision NOT NULL,
    envelope bytea NOT NULL,
    void text,                               -- why the log does not take it: a void travels under its number
    PRIMARY KEY (partition, number)
);
CREATE INDEX journal_void ON preterite.journal (partition, number) WHERE void IS NOT NULL;

CREATE TABLE preterite.forgotten (           -- published before this database was restored: never announced again
    event_id bytea PRIMARY KEY,
    envelope bytea NOT NULL
);

CREATE TABLE preterite.cursor (              -- how far each stream has been applied here
    publisher text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    event_id bytea NOT NULL,
    epoch bigint NOT NULL,
    stopped text,                            -- why the stream stands still, if it does
    PRIMARY KEY (publisher, partition)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE preterite.lease (               -- who does what alone; owner null: given back, clean
    name text PRIMARY KEY,
    owner text,
    epoch bigint NOT NULL DEFAULT 0,
    expires_at double precision NOT NULL DEFAULT 0,
    renewals bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE preterite.worker (              -- those that share the partitions among them
    owner text PRIMARY KEY,
    until double precision NOT NULL          -- it is thought gone from then on, unless it says otherwise
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE preterite.handler (
    name text PRIMARY KEY,
    event_type text NOT NULL,
    lane_group text NOT NULL,
    registered_at double precision NOT NULL,
    retired_at double precision
);

CREATE TABLE preterite.handler_start (       -- the first number of each stream that a handler has been in force for
    handler text NOT NULL,
    publisher text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (handler, publisher, partition)
);

CREATE TABLE preterite.parked (              -- set aside, each event for one handler
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handler text NOT NULL,
    lane_group text NOT NULL,
    publisher text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    epoch bigint NOT NULL,
    kind text NOT NULL,
    event_id bytea NOT NULL,
    key text,                                -- null: belongs to no lane
    type text NOT NULL,
    envelope bytea NOT NULL,
    state text NOT NULL,                     -- parked | dead | undecodable
    attempts integer NOT NULL,
    running integer NOT NULL,                -- 1 from the start of an attempt until its end is known
    due_at double precision NOT NULL,
    error text,
    error_text text,
    error_place text,
    error_trace text,
    failed_at double precision,
    saga text,                               -- the instance that an event is parked for
    replay text,                             -- of an event that a replay fed: its number, and if it is quiet
    original bytea,                          -- the envelope as it came, where a person has changed it
    UNIQUE (publisher, partition, number, handler)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX parked_lane ON preterite.parked (publisher, key, lane_group, number) WHERE key IS NOT NULL;
CREATE INDEX parked_due ON preterite.parked (state, due_at);
CREATE INDEX parked_saga ON preterite.parked (saga) WHERE saga IS NOT NULL;

CREATE TABLE preterite.discarded (           -- what a person decided not to apply, and why
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handler text NOT NULL,
    publisher text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    event_id bytea NOT NULL,
    key text,
    type text NOT NULL,
    envelope bytea NOT NULL,
    error text,
    error_text text,
    reason text NOT NULL,
    discarded_by text NOT NULL,
    discarded_at double precision NOT NULL
);

CREATE TABLE preterite.passed_over (         -- records read and not applied: unknown types, older epochs
    publisher text NOT NULL,
    what text NOT NULL,
    count integer NOT NULL,
    first_at double precision NOT NULL,
    last_at double precision NOT NULL,
    PRIMARY KEY (publisher, what)
);

CREATE TABLE preterite.activity (            -- events handled per minute, for the last hour
    minute integer NOT NULL,
    session integer NOT NULL,                -- of the server: workers side by side are not in each other's way
    handled integer NOT NULL,
    PRIMARY KEY (minute, session)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE preterite.later (               -- what this component is to do later
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- never used again: failed commands are known by it
    token bytea NOT NULL UNIQUE,
    partition integer NOT NULL,
    due_at double precision NOT NULL,
    saga_id bigint,                          -- the instance that it goes with, if it is a timeout of one
    key text,                                -- the name of that instance, or of a calendar
    type text NOT NULL,
    envelope bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
CREATE INDEX later_due ON preterite.later (due_at, id);
CREATE INDEX later_saga ON preterite.later (saga_id) WHERE saga_id IS NOT NULL;

CREATE TABLE preterite.saga (                -- instances that have begun and not ended
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- never used again: timeouts are known by it
    saga text NOT NULL,
    correlation text NOT NULL,
    revision bigint NOT NULL DEFAULT 0,      -- grows with every change
    version integer NOT NULL,                -- of the state
    state bytea NOT NULL,
    begun_at double precision NOT NULL,
    UNIQUE (saga, correlation)
);

CREATE TABLE preterite.calendar (
    name text PRIMARY KEY,
    schedule text NOT NULL
);

CREATE TABLE preterite.note (                -- on failures of one kind; comes back when they do
    handler text NOT NULL,
    error text NOT NULL,
    place text NOT NULL,
    text text NOT NULL,
    noted_by text NOT NULL,
    noted_at double precision NOT NULL,
    PRIMARY KEY (handler, error, place)
);

CREATE TABLE preterite.audit (               -- what people did; rows are only ever added
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    who text NOT NULL,
    did text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL,
    before text NOT NULL,
    after text NOT NULL
);

CREATE TABLE preterite.replay (              -- history for handlers that came late, or that are to handle it again
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handlers text NOT NULL,                  -- their names, a line each
    again integer NOT NULL,                  -- 1: also what they have handled before
    publishes integer NOT NULL,              -- 0: what they publish or ask for later is dropped
    rate double precision,                   -- events a second at most; null: as fast as it goes
    from_time double precision,              -- only events from this time on; null: all
    state text NOT NULL,                     -- running | paused | done | cancelled
    reason text NOT NULL,                    -- why it is paused, if not by a person
    fed integer NOT NULL,                    -- events handled so far
    started_at double precision NOT NULL
);

CREATE TABLE preterite.replay_cursor (       -- where a replay stands in a stream; gone once it has caught up there
    replay_id bigint NOT NULL,
    publisher text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    event_id bytea NOT NULL,
    epoch bigint NOT NULL,
    live_number bigint NOT NULL,             -- where live reading stood when the replay began
    PRIMARY KEY (replay_id, publisher, partition)
);
