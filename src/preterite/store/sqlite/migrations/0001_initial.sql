-- Preterite's tables in a component's own SQLite database. Times are seconds since 1970;
-- due_at and failed_at are business time, everything else is the machine's time.

-- Whose database this is.

CREATE TABLE preterite_migration (number INTEGER PRIMARY KEY) STRICT; -- scripts like this one that were run

CREATE TABLE preterite_component (           -- whose database this is: one row
    id INTEGER PRIMARY KEY CHECK (id = 1),
    component TEXT NOT NULL,
    component_id BLOB NOT NULL,
    system TEXT NOT NULL,
    system_id BLOB NOT NULL,
    partitions INTEGER NOT NULL,
    handlers_version INTEGER NOT NULL DEFAULT 0,
    contracts TEXT NOT NULL DEFAULT '',      -- fingerprint of the declared events at the last start
    relay_halt TEXT                          -- why nothing is published, if so
) STRICT;

-- The way out: what the component publishes.

CREATE TABLE preterite_outbox (              -- committed, not numbered yet; ids are in commit order
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    envelope BLOB NOT NULL,
    added_at REAL NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0)
) STRICT;

CREATE TABLE preterite_stream (              -- one row per partition this component publishes in
    partition INTEGER PRIMARY KEY,
    last_number INTEGER NOT NULL DEFAULT 0,
    last_id BLOB NOT NULL DEFAULT x'',
    confirmed INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    confirmed_at REAL                        -- when the log confirmed more than before
) STRICT;

CREATE TABLE preterite_journal (             -- numbered; kept to resend what the log lost, and for audit
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    numbered_at REAL NOT NULL,
    envelope BLOB NOT NULL,
    void TEXT,                               -- why the log does not take it: a void travels under its number
    UNIQUE (partition, number)
) STRICT;
CREATE INDEX preterite_journal_void ON preterite_journal (partition, number) WHERE void IS NOT NULL;

CREATE TABLE preterite_forgotten (           -- published before this database was restored: never published again
    event_id BLOB PRIMARY KEY,
    envelope BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Who does what alone.

CREATE TABLE preterite_lease (               -- who does what alone; owner null: released, clean
    name TEXT PRIMARY KEY,
    owner TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    expires_at REAL NOT NULL DEFAULT 0,
    renewals INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_worker (              -- workers that share the partitions
    owner TEXT PRIMARY KEY,
    until REAL NOT NULL                      -- counts as gone from then on, unless it renews this
) STRICT, WITHOUT ROWID;

-- The way in: how far each stream was applied, and by which handlers.

CREATE TABLE preterite_cursor (              -- how far each stream has been applied here
    publisher TEXT NOT NULL,
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    stall TEXT,                              -- why the stream is stalled, if it is
    moved_at REAL NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0),
    PRIMARY KEY (publisher, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_skipped (             -- records read and skipped: unknown types, older epochs
    publisher TEXT NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    PRIMARY KEY (publisher, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_activity (            -- events handled per minute, for the last hour
    minute INTEGER PRIMARY KEY,
    handled INTEGER NOT NULL
) STRICT;

CREATE TABLE preterite_handler (             -- retired_at null: active
    name TEXT PRIMARY KEY,
    event_type TEXT NOT NULL,
    first_name TEXT NOT NULL,                -- the name it was registered under first: its identifiers keep it
    lane TEXT NOT NULL,
    registered_at REAL NOT NULL,
    retired_at REAL
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_handler_start (       -- the first number of each stream that a handler has been active for
    handler TEXT NOT NULL,
    publisher TEXT NOT NULL,
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (handler, publisher, partition)
) STRICT, WITHOUT ROWID;

-- What failed, and what operators decide about it. Times of notes and audit are business time.

CREATE TABLE preterite_parked (              -- events that wait for a retry or behind one, or are dead; each for one handler
    id INTEGER PRIMARY KEY,
    handler TEXT NOT NULL,
    lane TEXT NOT NULL,
    publisher TEXT NOT NULL,
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    event_id BLOB NOT NULL,
    key TEXT,                                -- null: belongs to no lane
    type TEXT NOT NULL,
    envelope BLOB NOT NULL,
    state TEXT NOT NULL,                     -- parked | dead | undecodable
    attempts INTEGER NOT NULL,
    running INTEGER NOT NULL,                -- 1 from the start of an attempt until its end is known
    due_at REAL NOT NULL,
    error TEXT,
    error_text TEXT,
    error_place TEXT,
    error_trace TEXT,
    failed_at REAL,
    saga TEXT,                               -- the instance that an event is parked for
    replay TEXT,                             -- of a replayed event: the replay's number, again, quiet
    original BLOB,                           -- the envelope as received, where an operator has changed it
    UNIQUE (publisher, partition, number, handler)
) STRICT;
CREATE INDEX preterite_parked_lane ON preterite_parked (publisher, key, lane, number) WHERE key IS NOT NULL;
CREATE INDEX preterite_parked_due ON preterite_parked (state, due_at);
CREATE INDEX preterite_parked_saga ON preterite_parked (saga) WHERE saga IS NOT NULL;

CREATE TABLE preterite_discarded (           -- what an operator decided not to apply, and why
    id INTEGER PRIMARY KEY,
    handler TEXT NOT NULL,
    publisher TEXT NOT NULL,
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    key TEXT,
    type TEXT NOT NULL,
    envelope BLOB NOT NULL,
    error TEXT,
    error_text TEXT,
    reason TEXT NOT NULL,
    discarded_by TEXT NOT NULL,
    discarded_at REAL NOT NULL
) STRICT;

CREATE TABLE preterite_note (                -- on failures of one fingerprint; kept for when they recur
    handler TEXT NOT NULL,
    error TEXT NOT NULL,
    place TEXT NOT NULL,
    text TEXT NOT NULL,
    noted_by TEXT NOT NULL,
    noted_at REAL NOT NULL,
    PRIMARY KEY (handler, error, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_audit (               -- what operators did; rows are only ever added
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    operator TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL
) STRICT;

-- What has a time of its own. Due times are business time.

CREATE TABLE preterite_scheduled (           -- commands that are not due yet
    id INTEGER PRIMARY KEY AUTOINCREMENT,    -- never used again: failed commands are known by it
    token BLOB NOT NULL UNIQUE,
    partition INTEGER NOT NULL,
    due_at REAL NOT NULL,
    saga_id INTEGER,                         -- the instance, if it is a timeout of one
    key TEXT,                                -- the name of that instance, or of a calendar
    type TEXT NOT NULL,
    envelope BLOB NOT NULL
) STRICT;
CREATE INDEX preterite_scheduled_due ON preterite_scheduled (due_at, id);
CREATE INDEX preterite_scheduled_saga ON preterite_scheduled (saga_id) WHERE saga_id IS NOT NULL;

CREATE TABLE preterite_saga (                -- instances that have begun and not ended
    id INTEGER PRIMARY KEY AUTOINCREMENT,    -- never used again: timeouts are known by it
    saga TEXT NOT NULL,
    correlation TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,     -- grows with every change
    version INTEGER NOT NULL,                -- of the state
    state BLOB NOT NULL,
    begun_at REAL NOT NULL,
    UNIQUE (saga, correlation)
) STRICT;

CREATE TABLE preterite_saga_ended (          -- instances that ended lately, so that what comes too late is known
    saga TEXT NOT NULL,
    correlation TEXT NOT NULL,
    ended_at REAL NOT NULL,
    PRIMARY KEY (saga, correlation)
) STRICT, WITHOUT ROWID;
CREATE INDEX preterite_saga_ended_at ON preterite_saga_ended (ended_at);

CREATE TABLE preterite_calendar (            -- schedules as text, of the calendars that are active
    name TEXT PRIMARY KEY,
    schedule TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- History that is replayed to handlers.

CREATE TABLE preterite_replay (              -- one operation each
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    handlers TEXT NOT NULL,                  -- their names, a line each
    again INTEGER NOT NULL,                  -- 1: also what they have handled before
    publishes INTEGER NOT NULL,              -- 0: what they publish or schedule is dropped
    rate REAL,                               -- events a second at most; null: no limit
    from_time REAL,                          -- only events from this time on; null: all
    state TEXT NOT NULL,                     -- running | paused | done | cancelled
    reason TEXT NOT NULL,                    -- why it is paused, if not by an operator
    cancelled INTEGER NOT NULL DEFAULT 0,    -- 1: the rest of the history is left out, and it ends as cancelled
    replayed INTEGER NOT NULL,               -- events handled so far
    started_at REAL NOT NULL
) STRICT;

CREATE TABLE preterite_replay_cursor (       -- its cursor in a stream; deleted once it has caught up there
    replay_id INTEGER NOT NULL,
    publisher TEXT NOT NULL,
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    live_number INTEGER NOT NULL,            -- the live number when the replay began
    PRIMARY KEY (replay_id, publisher, partition)
) STRICT, WITHOUT ROWID;
