"""A component's database as a SQLite file."""
