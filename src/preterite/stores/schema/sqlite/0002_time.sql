-- Commands that wait for their time, sagas, calendars. Due times are business time.

CREATE TABLE preterite_later (               -- what this component is to do later
    id INTEGER PRIMARY KEY AUTOINCREMENT,    -- never used again: failed commands are known by it
    token BLOB NOT NULL UNIQUE,
    partition INTEGER NOT NULL,
    due_at REAL NOT NULL,
    saga_id INTEGER,                         -- the instance that it goes with, if it is a timeout of one
    key TEXT,                                -- the name of that instance, or of a calendar
    type TEXT NOT NULL,
    envelope BLOB NOT NULL
) STRICT;
CREATE INDEX preterite_later_due ON preterite_later (due_at, id);
CREATE INDEX preterite_later_saga ON preterite_later (saga_id) WHERE saga_id IS NOT NULL;

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

CREATE TABLE preterite_calendar (
    name TEXT PRIMARY KEY,
    schedule TEXT NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE preterite_parked ADD COLUMN saga TEXT;  -- the instance that an event is parked for
CREATE INDEX preterite_parked_saga ON preterite_parked (saga) WHERE saga IS NOT NULL;
