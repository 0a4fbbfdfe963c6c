-- Preterite's tables in a component's own PostgreSQL database, in a schema of their own.
-- Times are seconds since 1970; due_at and failed_at are business time, everything else is the server's time.

CREATE SCHEMA IF NOT EXISTS preterite;

-- Whose database this is.

CREATE TABLE preterite.migration (number integer PRIMARY KEY); -- scripts like this one that were run

CREATE TABLE preterite.component (           -- whose database this is: one row
    id integer PRIMARY KEY CHECK (id = 1),
    component text NOT NULL,
    component_id bytea NOT NULL,
    system text NOT NULL,
    system_id bytea NOT NULL,
    partitions integer NOT NULL,
    handlers_version bigint NOT NULL DEFAULT 0,
    contracts text NOT NULL DEFAULT '',      -- fingerprint of the declared events at the last start
    relay_halt text                          -- why nothing is published, if so
) WITH (fillfactor = 50);

-- The way out: what the component publishes.

CREATE TABLE preterite.outbox (              -- committed, not numbered yet; of one key, ids are in commit order
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    partition integer NOT NULL,
    event_id bytea NOT NULL,
    envelope bytea NOT NULL,
    added_at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp())
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE preterite.stream (              -- one row per partition this component publishes in
    partition integer PRIMARY KEY,
    last_number bigint NOT NULL DEFAULT 0,
    last_id bytea NOT NULL DEFAULT '',
    confirmed bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    confirmed_at double precision            -- when the log confirmed more than before
) WITH (fillfactor = 50);

CREATE TABLE preterite.journal (             -- numbered; kept to resend what the log lost, and for audit; insert only
    partition integer NOT NULL,
    number bigint NOT NULL,
    event_id bytea NOT NULL,
    numbered_at double precision NOT NULL,
    envelope bytea NOT NULL,
    void text,                               -- why the log does not take it: a void travels under its number
    PRIMARY KEY (partition, number)
);
CREATE INDEX journal_void ON preterite.journal (partition, number) WHERE void IS NOT NULL;

CREATE TABLE preterite.forgotten (           -- published before this database was restored: never published again
    event_id bytea PRIMARY KEY,
    envelope bytea NOT NULL
);

-- Who does what alone.

CREATE TABLE preterite.lease (               -- who does what alone; owner null: released, clean
    name text PRIMARY KEY,
    owner text,
    epoch bigint NOT NULL DEFAULT 0,
    expires_at double precision NOT NULL DEFAULT 0,
    renewals bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE preterite.worker (              -- workers that share the partitions
    owner text PRIMARY KEY,
    until double precision NOT NULL,         -- counts as gone from then on, unless it renews this
    handler text,                            -- which handler it was running at its last heartbeat, if one for long
    handler_since double precision
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The way in: how far each stream was applied, and by which handlers.

CREATE TABLE preterite.cursor (              -- how far each stream has been applied here
    publisher text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    event_id bytea NOT NULL,
    epoch bigint NOT NULL,
    stall text,                              -- why the stream is stalled, if it is
    moved_at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    PRIMARY KEY (publisher, partition)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE preterite.skipped (             -- records read and skipped: unknown types, older epochs
    publisher text NOT NULL,
    what text NOT NULL,
    count integer NOT NULL,
    first_at double precision NOT NULL,
    last_at double precision NOT NULL,
    PRIMARY KEY (publisher, what)
);

CREATE TABLE preterite.activity (            -- events handled per minute, for the last hour
    minute integer NOT NULL,
    session integer NOT NULL,                -- of the server: workers do not wait for each other
    handled integer NOT NULL,
    PRIMARY KEY (minute, session)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE preterite.handler (             -- retired_at null: active
    name text PRIMARY KEY,
    event_type text NOT NULL,
    first_name text NOT NULL,                -- the name it was registered under first: its identifiers keep it
    lane text NOT NULL,
    registered_at double precision NOT NULL,
    retired_at double precision
);

CREATE TABLE preterite.handler_start (       -- the first number of each stream that a handler has been active for
    handler text NOT NULL,
    publisher text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (handler, publisher, partition)
);

-- What failed, and what operators decide about it. Times of notes and audit are business time.

CREATE TABLE preterite.parked (              -- events that wait for a retry or behind one, or are dead; each for one handler
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handler text NOT NULL,
    lane text NOT NULL,
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
    replay text,                             -- of a replayed event: the replay's number, again, quiet
    original bytea,                          -- the envelope as received, where an operator has changed it
    UNIQUE (publisher, partition, number, handler)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX parked_lane ON preterite.parked (publisher, key, lane, number) WHERE key IS NOT NULL;
CREATE INDEX parked_due ON preterite.parked (state, due_at);
CREATE INDEX parked_saga ON preterite.parked (saga) WHERE saga IS NOT NULL;

CREATE TABLE preterite.discarded (           -- what an operator decided not to apply, and why
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

CREATE TABLE preterite.note (                -- on failures of one fingerprint; kept for when they recur
    handler text NOT NULL,
    error text NOT NULL,
    place text NOT NULL,
    text text NOT NULL,
    noted_by text NOT NULL,
    noted_at double precision NOT NULL,
    PRIMARY KEY (handler, error, place)
);

CREATE TABLE preterite.audit (               -- what operators did; rows are only ever added
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    operator text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL,
    before text NOT NULL,
    after text NOT NULL
);

-- What has a time of its own. Due times are business time.

CREATE TABLE preterite.scheduled (           -- commands that are not due yet
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never used again: failed commands are known by it
    token bytea NOT NULL UNIQUE,
    partition integer NOT NULL,
    due_at double precision NOT NULL,
    saga_id bigint,                          -- the instance, if it is a timeout of one
    key text,                                -- the name of that instance, or of a calendar
    type text NOT NULL,
    envelope bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
CREATE INDEX scheduled_due ON preterite.scheduled (due_at, id);
CREATE INDEX scheduled_saga ON preterite.scheduled (saga_id) WHERE saga_id IS NOT NULL;

CREATE TABLE preterite.saga (                -- instances that have begun and not ended
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never used again: timeouts are known by it
    saga text NOT NULL,
    correlation text NOT NULL,
    revision bigint NOT NULL DEFAULT 0,      -- grows with every change
    version integer NOT NULL,                -- of the state
    state bytea NOT NULL,
    begun_at double precision NOT NULL,
    UNIQUE (saga, correlation)
);

CREATE TABLE preterite.saga_ended (          -- instances that ended lately, so that what comes too late is known
    saga text NOT NULL,
    correlation text NOT NULL,
    ended_at double precision NOT NULL,
    PRIMARY KEY (saga, correlation)
);
CREATE INDEX saga_ended_at ON preterite.saga_ended (ended_at);

CREATE TABLE preterite.calendar (            -- schedules as text, of the calendars that are active
    name text PRIMARY KEY,
    schedule text NOT NULL
);

-- History that is replayed to handlers.

CREATE TABLE preterite.replay (              -- one operation each
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handlers text NOT NULL,                  -- their names, a line each
    again integer NOT NULL,                  -- 1: also what they have handled before
    publishes integer NOT NULL,              -- 0: what they publish or schedule is dropped
    rate double precision,                   -- events a second at most; null: no limit
    from_time double precision,              -- only events from this time on; null: all
    state text NOT NULL,                     -- running | paused | done | cancelled
    reason text NOT NULL,                    -- why it is paused, if not by an operator
    cancelled integer NOT NULL DEFAULT 0,    -- 1: the rest of the history is left out, and it ends as cancelled
    replayed integer NOT NULL,               -- events handled so far
    started_at double precision NOT NULL
);

CREATE TABLE preterite.replay_cursor (       -- its cursor in a stream; deleted once it has caught up there
    replay_id bigint NOT NULL,
    publisher text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    event_id bytea NOT NULL,
    epoch bigint NOT NULL,
    live_number bigint NOT NULL,             -- the live number when the replay began
    PRIMARY KEY (replay_id, publisher, partition)
);
