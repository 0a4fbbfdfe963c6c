-- History for handlers that came late, or that are to handle it again.

CREATE TABLE preterite_replay (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    handlers TEXT NOT NULL,                  -- their names, a line each
    again INTEGER NOT NULL,                  -- 1: also what they have handled before
    publishes INTEGER NOT NULL,              -- 0: what they publish or ask for later is dropped
    rate REAL,                               -- events a second at most; null: as fast as it goes
    from_time REAL,                          -- only events from this time on; null: all
    state TEXT NOT NULL,                     -- running | paused | done | cancelled
    reason TEXT NOT NULL,                    -- why it is paused, if not by a person
    fed INTEGER NOT NULL,                    -- events handled so far
    started_at REAL NOT NULL
) STRICT;

CREATE TABLE preterite_replay_cursor (       -- where a replay stands in a stream; gone once it has caught up there
    replay_id INTEGER NOT NULL,
    publisher TEXT NOT NULL,
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    live_number INTEGER NOT NULL,            -- where live reading stood when the replay began
    PRIMARY KEY (replay_id, publisher, partition)
) STRICT, WITHOUT ROWID;

ALTER TABLE preterite_parked ADD COLUMN replay TEXT;  -- of an event that a replay fed: its number, and if it is quiet
