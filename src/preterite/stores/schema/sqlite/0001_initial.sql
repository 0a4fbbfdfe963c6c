-- Preterite's tables in a component's own SQLite database. Times are seconds since 1970;
-- due_at and failed_at are business time, everything else is the machine's time.

CREATE TABLE preterite_migration (number INTEGER PRIMARY KEY) STRICT;  -- scripts like this one that were run

CREATE TABLE preterite_component (           -- whose database this is: one row
    id INTEGER PRIMARY KEY CHECK (id = 1),
    component TEXT NOT NULL,
    component_id BLOB NOT NULL,
    system TEXT NOT NULL,
    system_id BLOB NOT NULL,
    partitions INTEGER NOT NULL,
    handlers_version INTEGER NOT NULL DEFAULT 0,
    contracts TEXT NOT NULL DEFAULT '',      -- fingerprint of the declared events at the last start
    relay_stopped TEXT                       -- why nothing is announced, if so
) STRICT;

CREATE TABLE preterite_outbox (              -- committed, not numbered yet; ids are in commit order
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    envelope BLOB NOT NULL
) STRICT;

CREATE TABLE preterite_stream (              -- one row per partition this component publishes in
    partition INTEGER PRIMARY KEY,
    last_number INTEGER NOT NULL DEFAULT 0,
    last_id BLOB NOT NULL DEFAULT x'',
    confirmed INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE preterite_journal (             -- numbered; kept for healing and audit
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    numbered_at REAL NOT NULL,
    envelope BLOB NOT NULL,
    void TEXT,                               -- why the log does not take it: a void travels under its number
    UNIQUE (partition, number)
) STRICT;
CREATE INDEX preterite_journal_void ON preterite_journal (partition, number) WHERE void IS NOT NULL;

CREATE TABLE preterite_cursor (              -- how far each stream has been applied here
    publisher TEXT NOT NULL,
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    stopped TEXT,                            -- why the stream stands still, if it does
    PRIMARY KEY (publisher, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_lease (               -- who does what alone; owner null: given back, clean
    name TEXT PRIMARY KEY,
    owner TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    expires_at REAL NOT NULL DEFAULT 0,
    renewals INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_handler (
    name TEXT PRIMARY KEY,
    event_type TEXT NOT NULL,
    lane_group TEXT NOT NULL,
    registered_at REAL NOT NULL,
    retired_at REAL
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_handler_start (       -- the first number of each stream that a handler has been in force for
    handler TEXT NOT NULL,
    publisher TEXT NOT NULL,
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (handler, publisher, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_parked (              -- set aside, each event for one handler
    id INTEGER PRIMARY KEY,
    handler TEXT NOT NULL,
    lane_group TEXT NOT NULL,
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
    UNIQUE (publisher, partition, number, handler)
) STRICT;
CREATE INDEX preterite_parked_lane ON preterite_parked (publisher, key, lane_group, number) WHERE key IS NOT NULL;
CREATE INDEX preterite_parked_due ON preterite_parked (state, due_at);

CREATE TABLE preterite_discarded (           -- what a person decided not to apply, and why
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

CREATE TABLE preterite_passed_over (         -- records read and not applied: unknown types, older epochs
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
