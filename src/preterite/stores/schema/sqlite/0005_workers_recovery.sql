-- Workers that share a component's partitions among them.

CREATE TABLE preterite_worker (
    owner TEXT PRIMARY KEY,
    until REAL NOT NULL                      -- it is thought gone from then on, unless it says otherwise
) STRICT, WITHOUT ROWID;

CREATE TABLE preterite_forgotten (           -- published before this database was restored: never announced again
    event_id BLOB PRIMARY KEY,
    envelope BLOB NOT NULL
) STRICT, WITHOUT ROWID;
