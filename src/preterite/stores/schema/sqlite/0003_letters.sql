-- What people do about dead letters. All times are business time.

ALTER TABLE preterite_parked ADD COLUMN original BLOB;  -- the envelope as it came, where a person has changed it

CREATE TABLE preterite_note (                -- on failures of one kind; comes back when they do
    handler TEXT NOT NULL,
    error TEXT NOT NULL,
    place TEXT NOT NULL,
    text TEXT NOT NULL,
    noted_by TEXT NOT NULL,
    noted_at REAL NOT NULL,
    PRIMARY KEY (handler, error, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_audit (               -- what people did; rows are only ever added
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    did TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL
) STRICT;
