"""What store and log share of one kind of database: files of SQLite, servers of PostgreSQL."""
